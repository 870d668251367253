%% Evaluates what arrives on standard input, each line a base64 of {Id, Code, Bindings}, each in a process of its own,
%% and answers "=> Id Base64", the base64 being {ok, Value} or {failed, Class, Reason, Stack}.
%% The end of standard input ends the node, so no node outlives the program that started it.
-module(session).
-export([start/0]).

start() ->
    io:put_chars("=> 0 ready\n"),
    loop().

loop() ->
    case io:get_line("") of
        Line when is_list(Line) ->
            {Id, Code, Bindings} = binary_to_term(base64:decode(string:trim(Line))),
            spawn(fun() -> answer(Id, Code, Bindings) end),
            loop();
        _End ->
            erlang:halt(0, [{flush, false}])
    end.

answer(Id, Code, Bindings) ->
    {_Pid, Ref} = spawn_monitor(fun() -> exit({answer, run(Code, Bindings)}) end),
    Answer =
        receive
            {'DOWN', Ref, process, _, {answer, Value}} -> Value;
            {'DOWN', Ref, process, _, Reason} -> {failed, killed, Reason, []}
        end,
    io:put_chars(["=> ", integer_to_list(Id), " ", base64:encode(term_to_binary(Answer)), "\n"]).

run(Code, Bindings) ->
    try
        {ok, Tokens, _} = erl_scan:string(unicode:characters_to_list(Code) ++ "."),
        {ok, Expressions} = erl_parse:parse_exprs(Tokens),
        Bound = maps:fold(fun erl_eval:add_binding/3, erl_eval:new_bindings(), Bindings),
        {value, Value, _} = erl_eval:exprs(Expressions, Bound),
        {ok, Value}
    catch
        Class:Reason:Stack -> {failed, Class, Reason, Stack}
    end.
