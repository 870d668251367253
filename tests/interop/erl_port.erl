%% The other side of test_codec_erl.py: reads requests from stdin and answers on stdout, both in packets of four
%% bytes of length, until stdin ends. The first byte of a request says what is asked:
%%   $T Term     is Term (an external term) what the text after it says?  -> <<"true">> or <<"false: ...">>
%%   $E Length:32 A B   are the external terms A and B =:= ?              -> likewise
%%   $R Seed:32 Options a random term by term_to_binary(Term, Options)    -> the external term
%%   $S Text     the external term of an Erlang expression                -> the external term
%%   $C Length:32 Frame Text   are the control message and the payload of a distribution message without its length
%%               the pair that the text says?                             -> as for $T
%%   $B (Length:32 Request)*   each of these requests                     -> (Length:32 Answer)*
-module(erl_port).
-export([main/0]).

main() ->
    ok = io:setopts(standard_io, [binary, {encoding, latin1}]),
    loop().

loop() ->
    case file:read(standard_io, 4) of
        {ok, <<Length:32>>} ->
            {ok, Request} = file:read(standard_io, Length),
            Answer = answered(Request),
            ok = file:write(standard_io, <<(byte_size(Answer)):32, Answer/binary>>),
            loop();
        eof ->
            halt()
    end.

answered(Request) ->
    try answer(Request) catch Class:Reason -> text("~0p", [{Class, Reason}]) end.

answer(<<"B", Requests/binary>>) ->
    << <<(byte_size(Answer)):32, Answer/binary>>
       || <<Length:32, Request:Length/binary>> <= Requests, Answer <- [answered(Request)] >>;
answer(<<"C", Length:32, Frame:Length/binary, Text/binary>>) ->
    same(unframed(Frame), eval(Text));
answer(<<"T", Length:32, Encoded:Length/binary, Text/binary>>) ->
    same(binary_to_term(Encoded), eval(Text));
answer(<<"E", Length:32, First:Length/binary, Second/binary>>) ->
    same(binary_to_term(First), binary_to_term(Second));
answer(<<"R", Seed:32, Options/binary>>) ->
    _ = rand:seed(exsss, Seed),
    term_to_binary(term(4), binary_to_term(Options));
answer(<<"S", Text/binary>>) ->
    term_to_binary(eval(Text)).

%% Passed through, each term has its version byte; behind a distribution header none has.
unframed(<<112, Terms/binary>>) ->
    {Control, Used} = binary_to_term(Terms, [used]),
    <<_:Used/binary, Payload/binary>> = Terms,
    {Control, binary_to_term(Payload)};
unframed(<<131, 68, 0, Terms/binary>>) ->
    {Control, Used} = binary_to_term(<<131, Terms/binary>>, [used]),
    <<_:Used/binary, Payload/binary>> = <<131, Terms/binary>>,
    {Control, binary_to_term(<<131, Payload/binary>>)}.

same(Same, Same) -> <<"true">>;
same(One, Other) -> text("false: ~0p is not ~0p", [One, Other]).

text(Format, Arguments) -> unicode:characters_to_binary(io_lib:format(Format, Arguments)).

eval(Text) ->
    {ok, Tokens, _} = erl_scan:string(unicode:characters_to_list(Text)),
    {ok, Expressions} = erl_parse:parse_exprs(Tokens),
    {value, Value, _} = erl_eval:exprs(Expressions, []),
    Value.

%% A random term; `Depth` is how many levels of containers it may have.
term(0) -> leaf(rand:uniform(16));
term(Depth) ->
    case rand:uniform(14) of
        1 -> list_to_tuple(terms(Depth));
        2 -> terms(Depth);
        3 -> maps:from_list([{term(Depth - 1), term(Depth - 1)} || _ <- lists:seq(1, rand:uniform(6) - 1)]);
        4 -> maps:from_list([{leaf(rand:uniform(6)), term(Depth - 1)} || _ <- lists:seq(1, rand:uniform(6) - 1)]);
        5 -> [term(Depth - 1) | leaf(rand:uniform(16))];
        6 -> terms(Depth) ++ binary(3);
        7 -> fun_over(term(Depth - 1));
        8 -> [rand:uniform() * 1.0e6 || _ <- lists:seq(1, rand:uniform(600))];
        9 -> [integer() || _ <- lists:seq(1, rand:uniform(300))];
        10 -> [rand:uniform(1000) || _ <- lists:seq(1, rand:uniform(300))];
        11 -> list_to_tuple([1.5 || _ <- lists:seq(1, rand:uniform(300))]);
        _ -> leaf(rand:uniform(16))
    end.

terms(Depth) -> [term(Depth - 1) || _ <- lists:seq(1, rand:uniform(8) - 1)].

fun_over(Term) -> fun(Argument) -> {Argument, Term} end.

leaf(1) -> rand:uniform(300) - 20;
leaf(2) -> integer();
leaf(3) -> lists:nth(rand:uniform(5), [1, 1.0, true, 0.0, 0]);
leaf(4) -> (rand:uniform() - 0.5) * math:pow(10, rand:uniform(300) - 150);
leaf(5) -> lists:nth(rand:uniform(9), [ok, nil, true, false, undefined, '', 'with space', 'é', '日本']);
leaf(6) -> binary(rand:uniform(40));
leaf(7) -> list_to_atom([rand:uniform(25) + 96 || _ <- lists:seq(1, rand:uniform(3))]);
leaf(8) -> self();
leaf(9) -> make_ref();
leaf(10) -> hd(erlang:ports());
leaf(11) -> fun lists:map/2;
leaf(12) -> <<(binary(5))/binary, (rand:uniform(8) - 1):(rand:uniform(7))>>;
leaf(13) -> lists:seq(0, rand:uniform(400));
leaf(14) -> binary_to_list(binary(rand:uniform(20)));
leaf(15) -> foreign(rand:uniform(4));
leaf(16) -> unicode:characters_to_binary([rand:uniform(16#D7FF) || _ <- lists:seq(1, rand:uniform(20))]).

binary(Size) -> list_to_binary([rand:uniform(256) - 1 || _ <- lists:seq(1, Size)]).

%% An integer of a random number of bits, or next to a power of two.
integer() ->
    Power = 1 bsl rand:uniform(140),
    Sign = rand:uniform(2) * 2 - 3,
    case rand:uniform(3) of
        1 -> Sign * Power;
        2 -> Sign * (Power - 1);
        3 -> Sign * rand:uniform(Power)
    end.

%% Identifiers of another node, in the tags of all releases.
foreign(Kind) ->
    Number = rand:uniform(1 bsl 15),
    Node = lists:nth(rand:uniform(3), [<<100, 0, 3, "a@b">>, <<119, 3, "a@b">>, <<119, 4, "é@b"/utf8>>]),
    Small = rand:uniform(4) - 1,
    Big = rand:uniform(1 bsl 32) - 1,
    Bytes = case {Kind, rand:uniform(3)} of
        {1, 1} -> <<103, Node/binary, Number:32, Small:32, Small>>;
        {1, _} -> <<88, Node/binary, Number:32, Big:32, Big:32>>;
        {2, 1} -> <<102, Node/binary, Number:32, Small>>;
        {2, 2} -> <<89, Node/binary, Number:32, Big:32>>;
        {2, 3} -> <<120, Node/binary, Big:64, Big:32>>;
        {3, 1} -> <<101, Node/binary, Number:32, Small>>;
        {3, 2} -> <<114, 0, 3, Node/binary, Small, Number:32, Big:32, Big:32>>;
        {3, 3} -> <<90, 0, 3, Node/binary, Big:32, Number:32, Big:32, Big:32>>;
        {4, _} -> <<90, 0, 5, Node/binary, Big:32, Number:32, Big:32, Big:32, Number:32, Big:32>>
    end,
    binary_to_term(<<131, Bytes/binary>>).
