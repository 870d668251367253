%% The BEAM's side of bench/calls*.py: a node that calls, and a node that is called.
%%
%% It prints its release, then answers each line of standard input with nanoseconds:
%%     rate KIND NODE FUNCTION CALLERS COUNT SIZE   COUNT calls each by CALLERS processes; SIZE 0 is the integer 1000,
%%                                                  any other a binary of so many bytes
%%     each KIND NODE FUNCTION PAUSE COUNT          COUNT calls, one after the other, each after PAUSE milliseconds of
%%                                                  silence: the time of each
%%     upload NODE VERTICES QUADS                   one upload_mesh of these files: the call's time, then that of parse,
%%                                                  foreach_set and update inside Blender
%%     cast NODE FUNCTION                           answered at once
%%     value NODE FUNCTION                          the value, an integer, instead of a time
%%     text NODE FUNCTION                           likewise, a line of text
%% KIND is erpc or gen (a gen_server:call to the process that is registered under the node's first name).
-module(calls_beam).
-behaviour(gen_server).
-export([main/0, echo/1, move/1, size_of/1]).
-export([init/1, handle_call/3, handle_cast/2]).

main() ->
    [Registered, _Host] = string:lexemes(atom_to_list(node()), "@"),
    {ok, _} = gen_server:start_link({local, list_to_atom(Registered)}, ?MODULE, [], []),
    io:format("~s~n", [erlang:system_info(otp_release)]),
    serve(none).

echo(Value) -> Value.
move(Value) -> Value.
size_of(Binary) -> byte_size(Binary).

init([]) -> {ok, none}.
handle_call({Function, Arguments}, _From, State) -> {reply, apply(?MODULE, Function, Arguments), State}.
handle_cast(_, State) -> {noreply, State}.

%% The last argument is kept: making sixteen megabytes anew for each line would be measured in the next one.
serve(Kept) ->
    case io:get_line("") of
        eof ->
            halt(0, [{flush, false}]);
        Line ->
            serve(obey(string:lexemes(string:trim(Line), " "), Kept))
    end.

obey(["rate", Kind, Node, Function, Callers, Count, Size], Kept) ->
    {_, Argument} = New = argument(list_to_integer(Size), Kept),
    Call = call(Kind, list_to_atom(Node), list_to_atom(Function), Argument),
    io:format("~b~n", [rate(Call, list_to_integer(Callers), list_to_integer(Count))]),
    New;
obey(["each", Kind, Node, Function, Pause, Count], Kept) ->
    Call = call(Kind, list_to_atom(Node), list_to_atom(Function), 1000),
    Times = [one(Call, list_to_integer(Pause)) || _ <- lists:seq(1, list_to_integer(Count))],
    print(Times),
    Kept;
obey(["upload", Node, VerticesFile, QuadsFile], Kept) ->
    {ok, Vertices} = file:read_file(VerticesFile),
    {ok, Quads} = file:read_file(QuadsFile),
    Mesh = #{<<"vertices">> => Vertices, <<"quads">> => Quads},
    Start = erlang:monotonic_time(nanosecond),
    #{<<"seconds">> := Seconds} = erpc:call(list_to_atom(Node), ?MODULE, upload_mesh, [<<"beam">>, Mesh], 60000),
    Took = erlang:monotonic_time(nanosecond) - Start,
    Parts = [round(1.0e9 * maps:get(Part, Seconds)) || Part <- [<<"parse">>, <<"foreach_set">>, <<"update">>]],
    print([Took | Parts]),
    Kept;
obey(["cast", Node, Function], Kept) ->
    erpc:cast(list_to_atom(Node), ?MODULE, list_to_atom(Function), []),
    print([0]),
    Kept;
obey(["value", Node, Function], Kept) ->
    print([value(Node, Function)]),
    Kept;
obey(["text", Node, Function], Kept) ->
    io:format("~s~n", [value(Node, Function)]),
    Kept.

value(Node, Function) ->
    erpc:call(list_to_atom(Node), ?MODULE, list_to_atom(Function), [], 60000).

print(Integers) ->
    io:format("~s~n", [lists:join(" ", [integer_to_list(Integer) || Integer <- Integers])]).

argument(Size, {Size, _} = Kept) -> Kept;
argument(0, _) -> {0, 1000};
argument(Size, _) -> {Size, binary:copy(<<7>>, Size)}.

call("erpc", Node, Function, Argument) ->
    fun() -> erpc:call(Node, ?MODULE, Function, [Argument], 60000) end;
call("gen", Node, Function, Argument) ->
    [Registered, _Host] = string:lexemes(atom_to_list(Node), "@"),
    Name = {list_to_atom(Registered), Node},
    fun() -> gen_server:call(Name, {Function, [Argument]}, 60000) end.

rate(Call, Callers, Count) ->
    Expected = Call(),
    Start = erlang:monotonic_time(nanosecond),
    Started = [spawn_monitor(fun() -> repeat(Call, Expected, Count) end) || _ <- lists:seq(1, Callers)],
    [receive {'DOWN', Ref, process, Pid, Reason} -> normal = Reason end || {Pid, Ref} <- Started],
    erlang:monotonic_time(nanosecond) - Start.

repeat(_, _, 0) -> ok;
repeat(Call, Expected, Count) ->
    Expected = Call(),
    repeat(Call, Expected, Count - 1).

one(Call, Pause) ->
    timer:sleep(Pause),
    Start = erlang:monotonic_time(nanosecond),
    Call(),
    erlang:monotonic_time(nanosecond) - Start.
