"""Every term that Erlang sends comes back equal (`=:=`), whatever its size and whichever way it takes."""

from typing import Any

import pytest
from beam import Erl

from beam_bpy import BeamServer

ALL_TYPES = [
    "atom", "binary", "bitstring", "export", "float", "fun", "improper", "integer", "list", "map", "pid", "port",
    "reference", "tuple",
]  # fmt: skip


@pytest.mark.parametrize("handler", ["echo", "inline_echo"])
def test_two_thousand_random_terms_come_back_equal(erl: Erl, handler: str) -> None:
    code = """
        Echo = fun(Term) -> [Back] = erpc:call(N, terms, binary_to_atom(Handler), [Term]), Back end,
        terms:round_trips(Echo, 20251, 2000, 6)
    """
    count, wrong, types = erl.eval(code, Handler=handler)
    assert wrong == []
    assert count >= 2000
    assert types == ALL_TYPES


def test_random_terms_come_back_equal_from_a_gen_server_call(erl: Erl) -> None:
    code = """
        Echo = fun(Term) -> [Back] = gen_server:call(S, {echo, [Term]}), Back end,
        terms:round_trips(Echo, 7, 300, 6)
    """
    _count, wrong, _types = erl.eval(code)
    assert wrong == []


@pytest.mark.parametrize("options", [{"binaries": bytes}, {"binaries": memoryview}, {"arrays": True}])
def test_random_terms_come_back_equal_from_handlers_that_want_them_otherwise(
    server: BeamServer, erl: Erl, options: dict[str, Any]
) -> None:
    server.register_handler("echo_otherwise", lambda args: args, **options)
    code = """
        Echo = fun(Term) -> [Back] = erpc:call(N, terms, echo_otherwise, [Term]), Back end,
        terms:round_trips(Echo, 11, 500, 6)
    """
    _count, wrong, _types = erl.eval(code)
    server.unregister_handler("echo_otherwise")
    assert wrong == []


def test_the_whole_argument_list_comes_back_whatever_its_form(erl: Erl) -> None:
    code = """
        Lists = [[], [1, 2, 3], "text", lists:seq(1, 300), [a], [[]], ["", <<>>], lists:duplicate(70000, 65)],
        [List || List <- Lists, erpc:call(N, m, echo, List) =/= List orelse gen_server:call(S, {echo, List}) =/= List]
    """
    assert erl.eval(code) == []


def test_an_argument_of_16_mb_comes_back(erl: Erl) -> None:
    code = """
        Big = rand:bytes(16 * 1024 * 1024),
        [Back] = erpc:call(N, m, echo, [Big]),
        Back =:= Big
    """
    assert erl.eval(code) is True


def test_a_reply_of_16_mb_and_a_list_of_as_much_arrive(erl: Erl) -> None:
    code = """
        Size = 16 * 1024 * 1024,
        Zeros = erpc:call(N, m, zeros, [Size]),
        Parts = [rand:bytes(1024 * 1024) || _ <- lists:seq(1, 16)],
        {Zeros =:= <<0:Size/unit:8>>, gen_server:call(S, {echo, Parts}, 30000) =:= Parts}
    """
    assert erl.eval(code) == (True, True)


def test_big_terms_from_several_callers_do_not_mix(erl: Erl) -> None:
    code = """
        Send = fun(Byte) ->
            Big = binary:copy(<<Byte>>, 2 * 1024 * 1024),
            fun() -> exit({same, erpc:call(N, m, echo, [Big, Byte]) =:= [Big, Byte]}) end
        end,
        Started = [spawn_monitor(Send(Byte)) || Byte <- lists:seq(1, 8)],
        [element(2, probe:down(Ref)) || {_, Ref} <- Started]
    """
    assert erl.eval(code) == [("same", True)] * 8


def test_64_callers_at_once_each_get_their_own_answers(erl: Erl) -> None:
    assert erl.eval("probe:callers(N, echo, 64, 20)") is True
    assert erl.eval("probe:callers(N, inline_echo, 64, 20)") is True
