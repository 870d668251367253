%% The BEAM's side of bench/calls*.py: a node that calls, and a node that is called.
%%
%% It prints its release, then answers each line of standard input with nanoseconds:
%%     rate KIND NODE FUNCTION CALLERS COUNT SIZE   COUNT calls each by CALLERS processes; SIZE 0 is the integer 1000,
%%                                                  any other a binary of so many bytes
%%     each KIND NODE FUNCTION PAUSE COUNT          COUNT calls, one after the other, each after PAUSE milliseconds of
%%                                                  silence: the time of each
%%     upload NODE VERTICES QUADS                   one upload_mesh of these files: its size in bytes, then the times of the
%%                                                  call, and of parse, foreach_set and update inside Blender
%%     upload_lists NODE VERTICES QUADS             the same, as lists of numbers that were made before
%%     upload_json NODE PORT VERTICES QUADS         the same as JSON, which is written first, over a plain socket that
%%                                                  the handler json_mesh serves
%%     move NODE VERTICES                           one move_vertices of the mesh that upload has made
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
    {Vertices, Quads} = mesh(VerticesFile, QuadsFile),
    print(upload(Node, <<"beam">>, #{<<"vertices">> => Vertices, <<"quads">> => Quads})),
    Kept;
obey(["upload_lists", Node, VerticesFile, QuadsFile], Kept) ->
    {Vertices, Quads} = mesh(VerticesFile, QuadsFile),
    Floats = [Number || <<Number:32/float-little>> <= Vertices],
    Integers = [Number || <<Number:32/little>> <= Quads],
    print(upload(Node, <<"lists">>, #{<<"vertices">> => Floats, <<"quads">> => Integers})),
    Kept;
obey(["upload_json", Node, Port, VerticesFile, QuadsFile], Kept) ->
    {Vertices, Quads} = mesh(VerticesFile, QuadsFile),
    Options = [binary, {packet, line}, {active, false}],
    {ok, Socket} = gen_tcp:connect("127.0.0.1", list_to_integer(Port), Options),
    erpc:cast(list_to_atom(Node), ?MODULE, json_mesh, []),
    {ok, <<"ready\n">>} = gen_tcp:recv(Socket, 0),
    Start = erlang:monotonic_time(nanosecond),
    Json = json(Vertices, Quads),
    ok = gen_tcp:send(Socket, Json),
    {ok, Answer} = gen_tcp:recv(Socket, 0, 60000),
    Took = erlang:monotonic_time(nanosecond) - Start,
    gen_tcp:close(Socket),
    print([iolist_size(Json), Took | [round(1.0e9 * json_number(Part, Answer)) || Part <- parts()]]),
    Kept;
obey(["move", Node, VerticesFile], Kept) ->
    {ok, Vertices} = file:read_file(VerticesFile),
    Start = erlang:monotonic_time(nanosecond),
    erpc:call(list_to_atom(Node), ?MODULE, move_vertices, [<<"beam">>, Vertices], 60000),
    print([erlang:monotonic_time(nanosecond) - Start]),
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

mesh(VerticesFile, QuadsFile) ->
    {ok, Vertices} = file:read_file(VerticesFile),
    {ok, Quads} = file:read_file(QuadsFile),
    %% What was left by an order before is not this one's.
    garbage_collect(),
    {Vertices, Quads}.

upload(Node, Name, Mesh) ->
    Start = erlang:monotonic_time(nanosecond),
    #{<<"seconds">> := Seconds} = erpc:call(list_to_atom(Node), ?MODULE, upload_mesh, [Name, Mesh], 60000),
    Took = erlang:monotonic_time(nanosecond) - Start,
    [erlang:external_size(Mesh), Took | [round(1.0e9 * maps:get(Part, Seconds)) || Part <- parts()]].

parts() -> [<<"parse">>, <<"foreach_set">>, <<"update">>].

%% As the BEAM's libraries for JSON write a float: the fewest digits that are read back as the same one.
json(Vertices, Quads) ->
    Number = fun(Float) -> float_to_binary(Float, [short]) end,
    <<_, Points/binary>> = <<
        <<",[", (Number(X))/binary, $,, (Number(Y))/binary, $,, (Number(Z))/binary, $]>>
     || <<X:32/float-little, Y:32/float-little, Z:32/float-little>> <= Vertices
    >>,
    Index = fun integer_to_binary/1,
    <<_, Faces/binary>> = <<
        <<",[", (Index(A))/binary, $,, (Index(B))/binary, $,, (Index(C))/binary, $,, (Index(D))/binary, $]>>
     || <<A:32/little, B:32/little, C:32/little, D:32/little>> <= Quads
    >>,
    [<<"{\"vertices\":[">>, Points, <<"],\"faces\":[">>, Faces, <<"]}\n">>].

json_number(Name, Line) ->
    {match, [Number]} = re:run(Line, [$", Name, "\": ([0-9.]+(?:e-[0-9]+)?)"], [{capture, all_but_first, binary}]),
    try binary_to_float(Number) catch error:badarg -> binary_to_float(binary:replace(Number, <<"e">>, <<".0e">>)) end.

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
