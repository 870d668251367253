#!/usr/bin/env escript
%% The BEAM's side of bench/codec.py. The argument is a folder of files NAME.MINOR_VERSION.term, each an external term.
%% For each it writes NAME.beam: the term as term_to_binary with that minor_version writes it. Then it answers lines
%% "encode NAME COUNT" and "decode NAME COUNT" with the nanoseconds that COUNT runs took.
-mode(compile).

main([Folder]) ->
    Terms = maps:from_list([read(File) || File <- filelib:wildcard(filename:join(Folder, "*.term"))]),
    io:format("~s~n", [erlang:system_info(otp_release)]),
    serve(Terms).

read(File) ->
    [Name, Version, "term"] = string:lexemes(filename:basename(File), "."),
    {ok, Data} = file:read_file(File),
    Term = binary_to_term(Data),
    Written = term_to_binary(Term, [{minor_version, list_to_integer(Version)}]),
    ok = file:write_file(filename:join(filename:dirname(File), Name ++ ".beam"), Written),
    {Name, {Term, Written}}.

serve(Terms) ->
    case io:get_line("") of
        eof -> ok;
        Line ->
            [Direction, Name, Count] = string:lexemes(string:trim(Line), " "),
            {Term, Data} = maps:get(Name, Terms),
            io:format("~b~n", [time(Direction, Term, Data, list_to_integer(Count))]),
            serve(Terms)
    end.

time(Direction, Term, Data, Count) ->
    Start = erlang:monotonic_time(nanosecond),
    run(Direction, Term, Data, Count, none),
    erlang:monotonic_time(nanosecond) - Start.

%% The result is handed on: the compiler leaves out a term_to_binary that nothing uses.
run(_, _, _, 0, Result) -> Result;
run("encode" = Direction, Term, Data, Count, _) ->
    run(Direction, Term, Data, Count - 1, erlang:term_to_binary(Term));
run("decode" = Direction, Term, Data, Count, _) ->
    run(Direction, Term, Data, Count - 1, erlang:binary_to_term(Data)).
