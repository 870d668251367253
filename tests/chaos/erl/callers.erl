%% Processes that call a server, each call with an id of its own, and what has become of each id.
-module(callers).
-export([run/6, one/4, asks/4, had/1, honest/2, report/1]).

-define(TIMEOUT, 60000).
%% Where nobody can be reached each call fails at once: without a pause not many were left for later.
-define(AFTER_CUT, 50).

%% What an id is marked with.
-define(BEGUN, 1).
-define(ANSWERED, 2).
-define(CUT, 3).
-define(CAST_CUT, 4).
-define(CAST, 5).

-define(KINDS, {call, call, call_inline, cast, requests, gen_call, raw}).

%% Count processes call each id from From to To - 1 once, in different ways. Meanwhile, Kill times of 1000 that it looks,
%% a process is killed and another one takes its place; Disconnect times of 1000 the connection is. It looks each
%% millisecond. Returns the marks and the answers of each id as binaries, what was wrong, and how often what was done.
run({Name, Node}, From, To, Count, Kill, Disconnect) ->
    Run = #{
        node => Node,
        name => Name,
        from => From,
        to => To,
        next => atomics:new(1, []),
        marks => counters:new(To - From, []),
        answers => counters:new(To - From, []),
        parent => self()
    },
    Callers = maps:from_list([caller(Run) || _ <- lists:seq(1, Count)]),
    {Wrong, Kills, Disconnects} = watch(Run, Callers, Kill, Disconnect, {[], 0, 0}),
    {bytes(maps:get(marks, Run), To - From), bytes(maps:get(answers, Run), To - From), Wrong, Kills, Disconnects}.

bytes(Counters, Size) -> << <<(counters:get(Counters, Index)):8>> || Index <- lists:seq(1, Size) >>.

caller(Run) ->
    {Pid, Ref} = spawn_monitor(fun() -> loop(Run) end),
    {Ref, Pid}.

watch(_Run, Callers, _Kill, _Disconnect, Done) when map_size(Callers) =:= 0 -> Done;
watch(Run = #{node := Node}, Callers, Kill, Disconnect, {Wrong, Kills, Disconnects}) ->
    receive
        {'DOWN', Ref, process, _Pid, normal} ->
            watch(Run, maps:remove(Ref, Callers), Kill, Disconnect, {Wrong, Kills, Disconnects});
        {'DOWN', Ref, process, _Pid, killed} ->
            {New, Pid} = caller(Run),
            More = maps:put(New, Pid, maps:remove(Ref, Callers)),
            watch(Run, More, Kill, Disconnect, {Wrong, Kills, Disconnects});
        {'DOWN', Ref, process, _Pid, Reason} ->
            watch(Run, maps:remove(Ref, Callers), Kill, Disconnect, {[Reason | Wrong], Kills, Disconnects});
        {wrong, Id, What} ->
            watch(Run, Callers, Kill, Disconnect, {[{Id, What} | Wrong], Kills, Disconnects})
    after 1 ->
        Killed = rand:uniform(1000) =< Kill,
        Killed andalso exit(lists:nth(rand:uniform(map_size(Callers)), maps:values(Callers)), kill),
        Disconnected = rand:uniform(1000) =< Disconnect,
        Disconnected andalso erlang:disconnect_node(Node),
        watch(Run, Callers, Kill, Disconnect, {Wrong, Kills + one_if(Killed), Disconnects + one_if(Disconnected)})
    end.

one_if(true) -> 1;
one_if(false) -> 0.

loop(Run) ->
    case take(Run) of
        none ->
            leave(Run);
        Id ->
            call(element(rand:uniform(tuple_size(?KINDS)), ?KINDS), Run, Id),
            loop(Run)
    end.

take(#{next := Next, from := From, to := To}) ->
    case From + atomics:add_get(Next, 1, 1) - 1 of
        Id when Id < To -> Id;
        _ -> none
    end.

%% Whatever is still in the mailbox is an answer too many, or one that came after its connection had been cut.
leave(Run) ->
    receive
        {{raw, Id}, Id} ->
            answer(Run, Id),
            leave(Run);
        Other ->
            wrong(Run, none, {stray, Other}),
            leave(Run)
    after 0 -> ok
    end.

mark(#{marks := Marks, from := From}, Id, Mark) -> counters:put(Marks, Id - From + 1, Mark).

answer(#{answers := Answers, from := From}, Id) -> counters:add(Answers, Id - From + 1, 1).

wrong(#{parent := Parent}, Id, What) -> Parent ! {wrong, Id, What}.

call(call, Run = #{node := Node}, Id) ->
    one_of(Run, Id, fun() -> erpc:call(Node, m, once, [Id], ?TIMEOUT) end);
call(call_inline, Run = #{node := Node}, Id) ->
    one_of(Run, Id, fun() -> erpc:call(Node, m, inline_once, [Id], ?TIMEOUT) end);
call(gen_call, Run = #{node := Node, name := Name}, Id) ->
    one_of(Run, Id, fun() -> gen_server:call({Name, Node}, {once, [Id]}, ?TIMEOUT) end);
call(requests, Run = #{node := Node}, Id) ->
    Ids = [Id | [Other || Other <- [take(Run) || _ <- lists:seq(1, rand:uniform(4))], Other =/= none]],
    [mark(Run, Each, ?BEGUN) || Each <- Ids],
    Requests = [{Each, erpc:send_request(Node, m, once, [Each])} || Each <- Ids],
    [one_of(Run, Each, fun() -> erpc:receive_response(Request, ?TIMEOUT) end) || {Each, Request} <- Requests];
call(cast, Run = #{node := Node}, Id) ->
    mark(Run, Id, ?CAST_CUT),
    Before = connection(Node),
    erpc:cast(Node, m, once, [Id]),
    Fence = (catch erpc:call(Node, m, state, [], ?TIMEOUT)),
    %% It was one connection from before the cast to after the answer to the call behind it.
    is_map(Fence) andalso Before =:= net_kernel:node_info(Node, owner) andalso mark(Run, Id, ?CAST);
call(raw, Run = #{node := Node, name := Name}, Id) ->
    %% With a bare message nothing between the server and here would hide a second answer.
    mark(Run, Id, ?BEGUN),
    Ref = monitor(process, {Name, Node}),
    {Name, Node} ! {'$gen_call', {self(), {raw, Id}}, {once, [Id]}},
    receive
        {{raw, Id}, Id} ->
            answer(Run, Id),
            mark(Run, Id, ?ANSWERED);
        {{raw, Id}, Other} ->
            wrong(Run, Id, Other);
        {'DOWN', Ref, process, _, noconnection} ->
            mark(Run, Id, ?CUT),
            timer:sleep(?AFTER_CUT);
        {'DOWN', Ref, process, _, Reason} ->
            wrong(Run, Id, Reason)
    after ?TIMEOUT -> wrong(Run, Id, no_answer)
    end,
    demonitor(Ref, [flush]).

%% Each connection has a process of its own.
connection(Node) ->
    case net_kernel:node_info(Node, owner) of
        {ok, Owner} ->
            {ok, Owner};
        _ ->
            catch erpc:call(Node, m, state, [], ?TIMEOUT),
            net_kernel:node_info(Node, owner)
    end.

one_of(Run, Id, Call) ->
    mark(Run, Id, ?BEGUN),
    case outcome(Id, Call) of
        answered ->
            answer(Run, Id),
            mark(Run, Id, ?ANSWERED);
        cut ->
            mark(Run, Id, ?CUT),
            timer:sleep(?AFTER_CUT);
        Other ->
            wrong(Run, Id, Other)
    end.

outcome(Id, Call) ->
    try Call() of
        Id -> answered;
        Other -> Other
    catch
        error:{erpc, noconnection} -> cut;
        exit:{{nodedown, _}, _} -> cut;
        exit:{noconnection, _} -> cut;
        Class:Reason -> {Class, Reason}
    end.

%% One call, of one kind: what came of it.
one(Node, Function, Id, Timeout) -> outcome(Id, fun() -> erpc:call(Node, m, Function, [Id], Timeout) end).

%% Count processes that each ask for a binary of Size bytes.
asks(Node, Function, Size, Count) ->
    spawn(fun() ->
        Ask = fun() -> exit(outcome(Size, fun() -> byte_size(erpc:call(Node, m, Function, [Size], infinity)) end)) end,
        Refs = [element(2, spawn_monitor(Ask)) || _ <- lists:seq(1, Count)],
        Outcomes = [receive {'DOWN', Ref, process, _, Outcome} -> Outcome end || Ref <- Refs],
        receive {had, From} -> From ! {self(), Outcomes} end
    end).

%% What has become of them, when all of them know.
had(Asking) ->
    Asking ! {had, self()},
    receive {Asking, Outcomes} -> Outcomes after ?TIMEOUT -> exit(no_outcome) end.

%% A caller that nobody disturbs: one call after the other, the ids counted up from First.
honest({Name, Node}, First) -> spawn(fun() -> honest(Node, Name, First, []) end).

honest(Node, Name, Id, Calls) ->
    receive
        {report, From} when Calls =/= [] ->
            From ! {self(), Id, Calls},
            honest(Node, Name, Id, [])
    after 2 ->
        Call =
            case Id rem 3 of
                0 -> fun() -> erpc:call(Node, m, once, [Id], ?TIMEOUT) end;
                1 -> fun() -> erpc:call(Node, m, inline_once, [Id], ?TIMEOUT) end;
                2 -> fun() -> gen_server:call({Name, Node}, {once, [Id]}, ?TIMEOUT) end
            end,
        {Time, Outcome} = timer:tc(fun() -> outcome(Id, Call) end),
        honest(Node, Name, Id + 1, [{Outcome, Time} | Calls])
    end.

%% The next id, and what has come of all calls since the last report, of one at least: those that went wrong, and the times, in
%% microseconds, of the others.
report(Honest) ->
    Honest ! {report, self()},
    receive
        {Honest, Next, Calls} ->
            {Next, [Outcome || {Outcome, _} <- Calls, Outcome =/= answered], [Time || {answered, Time} <- Calls]}
    after ?TIMEOUT -> exit(no_report)
    end.
