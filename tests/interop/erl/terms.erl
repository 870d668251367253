%% Random terms of every type, and their way to an echo handler and back.
-module(terms).
-export([round_trips/4, random/1, samples/0, keep/2, kept/2]).

%% Sends Count terms; returns the ones that did not come back as they were, and the types that were among them.
round_trips(Echo, Seed, Count, Depth) ->
    rand:seed(exsss, Seed),
    Terms = samples() ++ [random(Depth) || _ <- lists:seq(1, Count)],
    Wrong = [{Term, Back} || Term <- Terms, Back <- [Echo(Term)], Back =/= Term],
    {length(Terms), lists:sublist(Wrong, 3), lists:usort(lists:flatmap(fun types/1, Terms))}.

%% A list of random terms, which `kept` compares with what it became on its way.
keep(Seed, Depth) ->
    rand:seed(exsss, Seed),
    Terms = samples() ++ [random(Depth) || _ <- lists:seq(1, 100)],
    persistent_term:put({?MODULE, Seed}, Terms),
    Terms.

%% The first of the kept terms that came back as another one, with what it became.
kept(Seed, Terms) ->
    [Pair || Pair = {Term, Back} <- lists:zip(persistent_term:get({?MODULE, Seed}), Terms), Term =/= Back].

random(0) -> leaf();
random(Depth) ->
    case rand:uniform(10) of
        1 -> list_to_tuple(several(Depth));
        2 -> several(Depth);
        3 -> improper(several(Depth), leaf());
        4 -> maps:from_list([{random(Depth - 1), random(Depth - 1)} || _ <- lists:seq(1, rand:uniform(5) - 1)]);
        5 -> colliding(random(Depth - 1));
        6 -> {random(Depth - 1)};
        7 -> [random(Depth - 1) | several(Depth)];
        8 -> closure(random(Depth - 1));
        _ -> leaf()
    end.

several(Depth) -> [random(Depth - 1) || _ <- lists:seq(1, rand:uniform(4) - 1)].

improper([], Tail) -> [Tail | Tail];
improper(List, Tail) -> List ++ not_a_list(Tail).

not_a_list(Term) when is_list(Term) -> {Term};
not_a_list(Term) -> Term.

%% Keys that other languages take for one.
colliding(Term) ->
    Keys = [1, 1.0, true, 0, 0.0, false, <<"a">>, a, "a", nil, [], {}, #{}, [1], [1.0], {1}, {1.0}, Term],
    maps:from_list([{Key, rand:uniform(100)} || Key <- Keys, rand:uniform(2) =:= 1]).

closure(Term) ->
    case rand:uniform(2) of
        1 -> fun() -> Term end;
        2 -> fun(Other) -> {Term, Other} end
    end.

leaf() ->
    case rand:uniform(18) of
        1 -> rand:uniform(256) - 1;
        2 -> rand:uniform(1 bsl 32) - (1 bsl 31);
        3 -> (rand:uniform(1 bsl 64) - (1 bsl 63)) * sign();
        4 -> sign() * (rand:uniform(1 bsl 62) bsl rand:uniform(3000));
        5 -> rand:normal() * math:pow(10, rand:uniform(500) - 250);
        6 -> lists:nth(rand:uniform(6), [0.0, 1.0, -1.0, 1.7976931348623157e308, 5.0e-324, 2.2250738585072014e-308]);
        7 -> list_to_atom([lists:nth(rand:uniform(6), "az_0éλ") || _ <- lists:seq(1, rand:uniform(10) - 1)]);
        8 -> lists:nth(rand:uniform(5), [nil, true, false, undefined, 'Elixir.Enum']);
        9 -> rand:bytes(rand:uniform(40) - 1);
        10 -> unicode:characters_to_binary([lists:nth(rand:uniform(5), "aλ中😀 ") || _ <- lists:seq(1, rand:uniform(9))]);
        11 -> bits(rand:uniform(100));
        12 -> [rand:uniform(256) - 1 || _ <- lists:seq(1, rand:uniform(50))];
        13 -> [];
        14 -> make_ref();
        15 -> self();
        16 -> hd(erlang:ports());
        17 -> lists:nth(rand:uniform(2), [fun lists:map/2, fun erlang:'+'/2]);
        18 -> lists:nth(rand:uniform(3), [{}, #{}, <<>>])
    end.

sign() -> lists:nth(rand:uniform(2), [1, -1]).

bits(Size) ->
    <<Bits:Size/bitstring, _/bitstring>> = rand:bytes(Size div 8 + 1),
    Bits.

%% The edges of the external format's small and large forms.
samples() ->
    [
        list_to_tuple(lists:seq(1, 255)),
        list_to_tuple(lists:seq(1, 256)),
        lists:duplicate(65535, 7),
        lists:duplicate(65536, 7),
        lists:seq(250, 260),
        [1.5 * N || N <- lists:seq(1, 1000)],
        maps:from_list([{N, -N} || N <- lists:seq(1, 1000)]),
        1 bsl (8 * 255) - 1,
        1 bsl (8 * 255),
        -(1 bsl (8 * 300)),
        -(1 bsl 31), 1 bsl 31, (1 bsl 31) - 1, -(1 bsl 63), 1 bsl 64, -1, 255, 256,
        list_to_atom(lists:duplicate(255, $a)),
        list_to_atom(lists:duplicate(255, $中)),
        '',
        <<0:7>>, <<1:1>>, binary:copy(<<255>>, 100000),
        alias(),
        erlang:make_ref(),
        {self(), erlang:group_leader(), whereis(init)},
        lists:foldl(fun(_, Inner) -> [Inner] end, x, lists:seq(1, 100))
    ].

types(Term) when is_list(Term) -> list_types(Term, []);
types(Term) when is_tuple(Term) -> [tuple | lists:flatmap(fun types/1, tuple_to_list(Term))];
types(Term) when is_map(Term) ->
    [map | lists:flatmap(fun({Key, Value}) -> types(Key) ++ types(Value) end, maps:to_list(Term))];
types(Term) when is_function(Term) ->
    case erlang:fun_info(Term, type) of
        {type, external} -> [export];
        {type, local} -> ['fun']
    end;
types(Term) when is_integer(Term) -> [integer];
types(Term) when is_float(Term) -> [float];
types(Term) when is_atom(Term) -> [atom];
types(Term) when is_binary(Term) -> [binary];
types(Term) when is_bitstring(Term) -> [bitstring];
types(Term) when is_pid(Term) -> [pid];
types(Term) when is_port(Term) -> [port];
types(Term) when is_reference(Term) -> [reference].

list_types([], Types) -> [list | lists:usort(Types)];
list_types([Head | Tail], Types) when is_list(Tail) -> list_types(Tail, types(Head) ++ Types);
list_types([Head | Tail], Types) -> [improper | types(Head) ++ types(Tail) ++ lists:usort(Types)].
