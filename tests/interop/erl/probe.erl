%% What several tests ask of a node.
-module(probe).
-export([attempt/1, message/0, message/1, nothing/0, down/1, exit_of/1, waiting/1, hold/1, callers/4, start_server/1]).
-export([init/1, handle_call/3, handle_cast/2]).

-define(PATIENCE, 30000).

%% What evaluating the fun comes to: {value, V} or {Class, Reason}.
attempt(Fun) ->
    try
        {value, Fun()}
    catch
        Class:Reason -> {Class, Reason}
    end.

message() ->
    receive
        Message -> Message
    after ?PATIENCE -> exit(no_message)
    end.

message(Tag) ->
    receive
        Message when element(1, Message) =:= Tag -> Message
    after ?PATIENCE -> exit({no_message, Tag, process_info(self(), messages)})
    end.

%% True when the mailbox is empty. Ask after a call to the same node has been answered: signals keep their order.
nothing() ->
    receive
        Message -> Message
    after 0 -> true
    end.

down(Ref) ->
    receive
        {'DOWN', Ref, process, Object, Reason} -> {Object, Reason}
    after ?PATIENCE -> exit({not_down, process_info(self(), messages)})
    end.

exit_of(Pid) ->
    receive
        {'EXIT', Pid, Reason} -> Reason
    after ?PATIENCE -> exit({no_exit, process_info(self(), messages)})
    end.

%% A process that runs the fun and then waits to be killed; returns once the fun has been run.
waiting(Fun) ->
    Parent = self(),
    Pid = spawn(fun() ->
        Fun(),
        Parent ! {ran, self()},
        receive
            stop -> ok
        end
    end),
    receive
        {ran, Pid} -> Pid
    after ?PATIENCE -> exit(not_run)
    end.

%% Keeps what it is given, for ever.
hold(_Term) ->
    receive
        never -> ok
    end.

%% Count processes call Function with {Caller, Number} for each number from 1 to Each; true when each of them got
%% its own argument back every time.
callers(Node, Function, Count, Each) ->
    Run = fun(Caller) ->
        Answers = [erpc:call(Node, probe, Function, [{Caller, Number}]) || Number <- lists:seq(1, Each)],
        exit({answers, Caller, Answers})
    end,
    Started = [{Caller, spawn_monitor(fun() -> Run(Caller) end)} || Caller <- lists:seq(1, Count)],
    Right = fun({Caller, {_Pid, Ref}}) ->
        {_, Reason} = down(Ref),
        Reason =:= {answers, Caller, [[{Caller, Number}] || Number <- lists:seq(1, Each)]}
    end,
    lists:all(Right, Started).

%% A gen_server of the BEAM's own, to compare with.
start_server(Name) ->
    {ok, Pid} = gen_server:start({local, Name}, ?MODULE, [], []),
    Pid.

init([]) -> {ok, none}.

handle_call({error, [Reason]}, _From, _State) -> erlang:error(Reason);
handle_call({exit, [Reason]}, _From, _State) -> exit(Reason);
handle_call({ping, []}, _From, State) -> {reply, <<"pong">>, State}.

handle_cast(_Request, State) -> {noreply, State}.
