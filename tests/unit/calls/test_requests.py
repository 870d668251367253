"""Requests of gen_server's style, funs and `apply`, and what is said about those that cannot be read."""

import pytest
from calling import A, LocalNode, ask_erpc, ask_gen, erpc, gen_call, rex_message, spawn
from hypothesis import given
from hypothesis import strategies as st
from support import Caller

from beam_bpy.protocol import control
from vendor_term_codec import Atom, Export, Fun, ImproperList, encode_term

BLENDER = A("Elixir.Blender")
ERLANG, KERNEL = A("erlang"), A("Elixir.Kernel")
CLOSURE = Fun(0, bytes(16), 1, "Elixir.App", 1, 2, Caller(LocalNode().node).pid, ())
SCALARS = st.one_of(st.integers(), st.text(), st.booleans(), st.none(), st.builds(Atom, st.text(max_size=9)))


@pytest.fixture
def local():
    local = LocalNode()
    local.register("echo", lambda args: [A("echo"), *args])
    local.register("inline", lambda args: [A("echo"), *args], inline=True)
    return local


@pytest.fixture
def caller(local):
    return Caller(local.node)


# Requests of gen_server's style

REQUESTS = [
    (A("echo"), []),
    ("echo", []),
    ([ord(letter) for letter in "echo"], []),
    ((A("echo"),), []),
    ((A("echo"), []), []),
    (("echo", []), []),
    ((A("echo"), "Cube"), ["Cube"]),
    ((A("echo"), ["Cube"]), ["Cube"]),
    ((A("echo"), [1, 2]), [1, 2]),
    ((A("echo"), [[1, 2]]), [[1, 2]]),
    ((A("echo"), "Cube", 1.0, 2.0, 3.0), ["Cube", 1.0, 2.0, 3.0]),
    ((A("echo"), "Cube", []), ["Cube", []]),
    ((A("echo"), [1], [2]), [[1], [2]]),
    ((A("echo"), None), [None]),
    ((A("echo"), A("on")), [A("on")]),
    ((A("echo"), {"a": 1}), [{"a": 1}]),
    ((A("echo"), ("a", 1)), [("a", 1)]),
    ((A("echo"), *range(300)), [*range(300)]),
]


@pytest.mark.parametrize(("request_", "args"), REQUESTS, ids=lambda value: repr(value)[:40])
def test_a_request_reaches_its_handler_with_the_arguments_that_it_means(local, caller, request_, args):
    assert gen_call(local, caller, A("beam_bpy"), request_) == [A("echo"), *args]


@given(st.lists(SCALARS, max_size=12))
def test_the_elements_behind_the_name_are_the_arguments(args):
    local = LocalNode()
    got = []
    local.register("note", got.append)
    caller = Caller(local.node)
    gen_call(local, caller, A("beam_bpy"), (A("note"), *args))
    caller.tell(6, caller.pid, A(""), A("beam_bpy"), payload=(A("$gen_cast"), (A("note"), *args)))
    local.serve()
    assert [encode_term(each) for each in got] == [encode_term(args)] * 2


UNREADABLE = [
    5, 1.5, None, True, b"\xff", {}, {A("echo"): []}, [], [A("echo")], [-1], [0xD800], [0x110000], [1 << 80], (),
    (5, []), (None, []), ({}, 1, 2), ([], []), ((A("echo"), []), []), "x" * 256, ("x" * 256, []), (b"\xff" * 300, []),
    ImproperList((1,), 2), ([0xD800], []), (ImproperList((A("echo"),), 1), []), CLOSURE,
]  # fmt: skip


@pytest.mark.parametrize("request_", UNREADABLE, ids=lambda value: repr(value)[:40])
def test_a_request_that_names_no_handler_is_told_the_forms(local, caller, request_):
    ref, _tag = ask_gen(caller, A("beam_bpy"), request_)

    [down] = caller.heard()
    assert isinstance(down, control.MonitorExit)
    assert down.ref == ref
    (kind, sentence), _stack = down.reason
    assert kind == A("badarg")
    assert "{:name, [argument, ...]}" in sentence
    assert "offset" not in sentence


@pytest.mark.parametrize("request_", UNREADABLE[:-1], ids=lambda value: repr(value)[:40])
def test_a_cast_that_names_no_handler_harms_nothing(local, caller, request_):
    caller.tell(6, caller.pid, A(""), A("beam_bpy"), payload=(A("$gen_cast"), request_))
    assert gen_call(local, caller, A("beam_bpy"), A("echo")) == [A("echo")]


@pytest.mark.parametrize("name", ["beam_bpy", "net_kernel", "rex"])
@pytest.mark.parametrize(
    "message",
    [A("get_state"), A("get_status"), A("suspend"), A("resume"), (A("replace_state"), CLOSURE),
     (A("terminate"), A("normal")), (A("debug"), [A("trace")]), (A("change_code"), A("m"), 1, [])],
    ids=lambda value: repr(value)[:30],
)  # fmt: skip
def test_a_system_message_is_refused_at_once_as_sys_refuses_an_unknown_one(caller, name, message):
    ref = caller.ref()
    tag = ImproperList((A("alias"),), ref)
    caller.tell(19, caller.pid, A(name), ref)
    caller.tell(6, caller.pid, A(""), A(name), payload=(A("system"), (caller.pid, tag), message))

    [answer] = caller.heard()
    assert answer.to == ref
    assert answer.payload == (tag, (A("error"), (A("unknown_system_msg"), message)))


def test_a_system_message_that_cannot_be_answered_harms_nothing(local, caller):
    for message in [(A("system"), 5, A("get_state")), (A("system"), A("get_state")), (A("system"), (1, 2), 3)]:
        caller.tell(6, caller.pid, A(""), A("beam_bpy"), payload=message)
    assert gen_call(local, caller, A("beam_bpy"), A("echo")) == [A("echo")]


# Funs and apply

ECHO = [A("echo"), 1, "two"]


@pytest.mark.parametrize("handler", ["echo", "inline"])
@pytest.mark.parametrize("module", [ERLANG, KERNEL])
def test_apply_stands_for_the_call_that_it_makes(local, caller, module, handler):
    name = A(handler)
    forms = [
        [Export(BLENDER, handler, 2), [1, "two"]],
        [BLENDER, name, [1, "two"]],
        [ERLANG, A("apply"), [BLENDER, name, [1, "two"]]],
        [Export(ERLANG, "apply", 3), [BLENDER, name, [1, "two"]]],
        [KERNEL, A("apply"), [Export(ERLANG, "apply", 2), [Export(BLENDER, handler, 2), [1, "two"]]]],
    ]
    for args in forms:
        assert erpc(local, caller, module, A("apply"), args) == (A("return"), ECHO)
        assert rex_message(local, caller, (A("call"), module, A("apply"), args, A("user"))) == ECHO


def test_apply_nested_a_thousand_times_is_a_call(local, caller):
    args = [BLENDER, A("echo"), []]
    for _ in range(200):
        args = [ERLANG, A("apply"), args]
    assert erpc(local, caller, ERLANG, A("apply"), args) == (A("return"), [A("echo")])


def test_arguments_of_small_integers_are_arguments(local, caller):
    """They arrive as a STRING_EXT."""
    answer = (A("return"), [A("echo"), 1, 2])
    assert erpc(local, caller, ERLANG, A("apply"), [BLENDER, A("echo"), [1, 2]]) == answer
    assert erpc(local, caller, ERLANG, A("apply"), [Export(BLENDER, "echo", 2), [1, 2]]) == answer


def test_a_spawned_fun_runs(local, caller):
    got = []
    local.register("note", got.append)
    for options in ([], [A("monitor")], [A("link")]):
        spawn(caller, ERLANG, A("apply"), [Export(BLENDER, "note", 0), []], options)
        local.serve()
        caller.heard()
    assert got == [[], [], []]


@pytest.mark.parametrize(
    "args",
    [[CLOSURE, []], [A("ping"), []], ["ping", []], [None, []], [(BLENDER, A("ping")), []], [1, 2],
     [BLENDER, "ping", []], ["Blender", A("ping"), []], [BLENDER, A("ping"), 5], [BLENDER, A("ping"), A("x")],
     [Export(BLENDER, "echo", 0), 5],
     [[1], [2]], [BLENDER, A("echo"), ImproperList((1,), 2)]],
    ids=lambda value: repr(value)[:50],
)  # fmt: skip
def test_what_cannot_be_applied_is_a_badarg_with_a_sentence(local, caller, args):
    kind, (reason, sentence), _stack = erpc(local, caller, ERLANG, A("apply"), args)
    assert (kind, reason) == (A("error"), A("badarg"))
    assert isinstance(sentence, str)
    assert "offset" not in sentence
    assert ("&Mod.fun/arity" in sentence) is (args[0] is CLOSURE)


def test_a_fun_with_another_number_of_arguments_is_a_badarity(local, caller):
    fun = Export(BLENDER, "echo", 2)
    kind, reason, _stack = erpc(local, caller, ERLANG, A("apply"), [fun, [1]])
    assert (kind, reason) == (A("error"), (A("badarity"), (fun, [1])))


def test_an_applied_function_that_is_unknown_is_named(local, caller):
    kind, reason, [(module, function, args, _location)] = erpc(
        local, caller, ERLANG, A("apply"), [Export(BLENDER, "nope", 1), [1.5]]
    )
    assert (kind, reason, module, function, args) == (A("error"), A("undef"), BLENDER, A("nope"), [1.5])


def test_apply_of_other_modules_is_a_handler_like_any_other(local, caller):
    local.register("apply", lambda args: A("own"))
    assert erpc(local, caller, BLENDER, A("apply"), [A("modifier"), []]) == (A("return"), A("own"))
    assert erpc(local, caller, ERLANG, A("apply"), [Export(BLENDER, "echo", 0), []]) == (A("return"), [A("echo")])
    assert erpc(local, caller, ERLANG, A("apply"), [1, 2, 3, 4]) == (A("return"), A("own"))


@pytest.mark.parametrize(("module", "nobody"), [(ERLANG, A("undefined")), (A("Elixir.Process"), None)])
def test_the_pid_of_a_registered_name_can_be_asked_for(local, caller, module, nobody):
    kind, pid = erpc(local, caller, module, A("whereis"), [A("beam_bpy")])
    assert kind == A("return")
    caller.tell(22, caller.pid, pid, payload=(A("$gen_call"), (caller.pid, 7), (A("echo"), 1)))
    local.serve()
    assert [answer.payload for answer in caller.heard()] == [(7, [A("echo"), 1])]
    assert erpc(local, caller, module, A("whereis"), [A("nobody")]) == (A("return"), nobody)
    assert erpc(local, caller, module, A("whereis"), ["text"])[:2][0] == A("error")


def test_whereis_of_other_modules_is_unknown(local, caller):
    process, _monitor, _call = ask_erpc(caller, BLENDER, A("whereis"), [A("beam_bpy")])
    [down] = caller.heard()
    assert (down.target, down.reason[1:3]) == (process, (A("error"), A("undef")))
