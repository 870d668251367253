%% A peer of bench/live.py: a BEAM node that streams poses, or one that takes them.
%%
%% It prints its node name, then answers each line of standard input with a line:
%%     stream NODE ARMATURE BONES RATE SECONDS   casts poses for so long; answers with the number of the last one
%%     begin                                     as the node that takes poses: forget all ages
%%     ages                                      the ages of the poses that it has taken since then, in microseconds
-module(live_beam).
-behaviour(gen_server).
-export([main/0]).
-export([init/1, handle_call/3, handle_cast/2]).

main() ->
    {ok, _} = gen_server:start_link({local, beam_bpy}, ?MODULE, [], []),
    io:format("~s~n", [node()]),
    serve().

serve() ->
    case io:get_line("") of
        eof ->
            halt(0, [{flush, false}]);
        Line ->
            io:format("~s~n", [obey(string:lexemes(string:trim(Line), " "))]),
            serve()
    end.

obey(["stream", Node, Armature, Bones, Rate, Seconds]) ->
    Target = {beam_bpy, list_to_atom(Node)},
    [Count, PerSecond, Length] = [list_to_integer(Word) || Word <- [Bones, Rate, Seconds]],
    Row = << <<F:32/float-little>> || F <- [0, 0, 0, 1, 0, 0, 0] >>,
    <<_:32, Rest/binary>> = binary:copy(Row, Count),
    Begin = erlang:monotonic_time(microsecond),
    Motion = {Target, list_to_binary(Armature), Rest, PerSecond, Begin},
    integer_to_list(stream(Motion, Begin + Length * 1000000, 1));
obey(["begin"]) ->
    ok = gen_server:call(beam_bpy, 'begin'),
    "ok";
obey(["ages"]) ->
    lists:join(" ", [integer_to_list(Age) || Age <- gen_server:call(beam_bpy, ages, 60000)]).

%% The number of a pose is the first number of its first bone.
stream({Target, Armature, Rest, Rate, Begin} = Motion, End, Number) ->
    Pose = <<Number:32/float-little, Rest/binary>>,
    gen_server:cast(Target, {pose, Armature, Pose, #{at => os:system_time(microsecond) / 1.0e6}}),
    pause(Begin + Number * 1000000 div Rate),
    case erlang:monotonic_time(microsecond) < End of
        true -> stream(Motion, End, Number + 1);
        false -> Number
    end.

pause(Due) ->
    case (Due - erlang:monotonic_time(microsecond)) div 1000 of
        Milliseconds when Milliseconds > 0 -> timer:sleep(Milliseconds);
        _ -> ok
    end.

init([]) -> {ok, []}.

handle_call('begin', _From, _Ages) -> {reply, ok, []};
handle_call(ages, _From, Ages) -> {reply, Ages, Ages}.

handle_cast({pose, _Armature, _Pose, #{at := At}}, Ages) ->
    {noreply, [os:system_time(microsecond) - round(At * 1.0e6) | Ages]}.
