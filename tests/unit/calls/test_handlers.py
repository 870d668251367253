"""The registry: who answers to which name."""

import functools
import itertools
import math

import pytest
from calling import LocalNode, ask_erpc
from support import Caller

from beam_bpy import BeamServer
from beam_bpy.calls.handlers import Handler, Registry
from beam_bpy.module_names import plain_module
from vendor_term_codec import Atom, encode_term


def handler(name="move", **options):
    return Handler(name, lambda args: args, spread=False, **options)


def registry(*handlers):
    found = Registry()
    for each in handlers:
        found.add(each)
    return found


def test_a_handler_for_any_module_answers_to_every_module():
    any_module = handler()

    handlers = registry(any_module)

    assert handlers.find("move") is any_module
    assert handlers.find("move", "Elixir.Blender") is any_module
    assert handlers.find("move", "blender") is any_module


@pytest.mark.parametrize("module", ["Blender", "Elixir.Blender", Atom("Elixir.Blender")])
def test_a_bound_handler_answers_to_its_module_alone(module):
    bound = handler(module="Blender")

    handlers = registry(bound)

    assert handlers.find(Atom("move"), module) is bound
    assert handlers.find("move", "Elixir.Other") is None
    assert handlers.find("move") is None


def test_the_bound_handler_is_preferred():
    any_module, bound = handler(), handler(module="Blender")

    handlers = registry(any_module, bound)

    assert handlers.find("move", "Elixir.Blender") is bound
    assert handlers.find("move", "Elixir.Other") is any_module


def test_an_unknown_name_has_no_handler():
    assert registry(handler()).find("turn", "Elixir.Blender") is None


def test_the_same_name_and_module_is_replaced():
    old, new, other = handler(), handler(), handler(module="Blender")

    handlers = registry(old, other, new)

    assert handlers.find("move") is new
    assert handlers.all() == (new, other)


def test_a_handler_is_removed_by_name_and_module():
    any_module, bound = handler(), handler(module="Blender")
    handlers = registry(any_module, bound)

    assert handlers.remove("move", "Blender") is True
    assert handlers.remove("move", "Blender") is False
    assert handlers.all() == (any_module,)
    assert handlers.remove("move") is True
    assert handlers.remove("move") is False


def test_all_handlers_of_an_owner_are_removed_at_once():
    handlers = registry(
        handler("a", owner="crates"), handler("b", owner="crates"), handler("c", owner="other"), handler("d")
    )

    assert handlers.remove_owner("crates") == 2
    assert handlers.remove_owner("crates") == 0
    assert [left.name for left in handlers.all()] == ["c", "d"]


def test_an_owner_that_is_covered_can_go():
    handlers = registry(handler(owner="first"), handler(owner="second"))

    assert handlers.remove_owner("first") == 0
    assert handlers.find("move").owner == "second"
    assert handlers.remove_owner("second") == 1
    assert handlers.find("move") is None


class TestSeveralOwners:
    """Handlers of one name that several owners have registered."""

    @pytest.mark.parametrize("gone", [*itertools.permutations(["a", "b", "c"]), *itertools.permutations(["a", "b"])])
    def test_the_last_one_that_is_left_answers(self, gone):
        handlers = registry(*[handler(owner=owner) for owner in "abc"])
        left = ["a", "b", "c"]
        for owner in gone:
            answering = left[-1]
            left.remove(owner)
            assert handlers.remove_owner(owner) == (owner == answering)
            found = handlers.find("move")
            assert (found and found.owner) == (left[-1] if left else None)
            assert [each.owner for each in handlers.all()] == left[-1:]

    def test_removing_by_name_removes_the_one_that_answers(self):
        handlers = registry(*[handler(owner=owner) for owner in ("a", "b", None)])
        for owner in (None, "b", "a"):
            assert handlers.find("move").owner == owner
            assert handlers.remove("move") is True
        assert handlers.remove("move") is False

    def test_a_second_registration_of_an_owner_replaces_its_first(self, caplog):
        first, other, second = handler(owner="a"), handler(owner="b"), handler(owner="a")
        handlers = registry(first, other)
        caplog.clear()
        handlers.add(second)
        assert handlers.find("move") is second
        assert len(caplog.records) == 1
        handlers.remove_owner("a")
        assert handlers.find("move") is other
        handlers.remove_owner("b")
        assert handlers.find("move") is None

    @pytest.mark.parametrize("owner", ["a", None])
    def test_an_owner_may_register_again_without_a_warning(self, owner, caplog):
        registry(handler(owner=owner), handler(owner=owner), handler("turn", owner="b"), handler(module="M", owner="b"))
        assert caplog.records == []

    @pytest.mark.parametrize("module", [None, "Blender"])
    @pytest.mark.parametrize(("first", "second"), [("add_on_a", "add_on_b"), ("add_on_a", None), (None, "add_on_b")])
    def test_a_warning_names_both(self, module, first, second, caplog):
        registry(handler(owner=first, module=module), handler(owner=second, module=module))
        [record] = caplog.records
        assert record.levelname == "WARNING"
        for part in (first, second, module, "move"):
            assert part is None or part in record.getMessage()

    def test_modules_are_kept_apart(self):
        everywhere, bound = handler(owner="a"), handler(owner="b", module="Blender")
        covering = handler(owner="c", module="Blender")
        handlers = registry(everywhere, bound, covering)
        assert handlers.find("move", "Elixir.Blender") is covering
        handlers.remove_owner("c")
        assert handlers.find("move", "Elixir.Blender") is bound
        handlers.remove_owner("b")
        assert handlers.find("move", "Elixir.Blender") is everywhere

    def test_a_queued_call_runs_the_handler_that_answers_now(self):
        local = LocalNode()
        for owner in "ab":
            local.register("who", lambda args, owner=owner: owner, owner=owner)
        caller = Caller(local.node)
        process, _monitor, _call = ask_erpc(caller, Atom("m"), Atom("who"), [])
        local.registry.remove_owner("b")
        local.serve()
        [down] = caller.heard()
        assert (down.target, down.reason[1:]) == (process, (Atom("return"), "a"))


# Names and options

TEXTS = [(5, TypeError), (b"ping", TypeError), (["ping"], TypeError), (("a", "b"), TypeError), (len, TypeError),
         ("", ValueError), ("bad\udc80", ValueError), ("\ud83d", ValueError), ("a\0b", ValueError),
         ("a\nb", ValueError), ("\x1b[31m", ValueError)]  # fmt: skip
NAMES = [*TEXTS, ("x" * 256, ValueError)]
GOOD_NAMES = [
    "ping",
    "Ping",
    "p",
    "create_cube!",
    "größe",
    "名前",
    "👩‍🚀",
    "with space",
    "x" * 255,
    "ü" * 255,
    "🎬" * 255,
]


@pytest.mark.parametrize(("name", "error"), [*NAMES, (None, TypeError), (True, TypeError)], ids=ascii)
def test_a_name_that_cannot_be_one_is_refused(name, error):
    server = BeamServer()
    with pytest.raises(error, match="name of a handler"):
        server.register_handler(name, len)
    if name is not None:
        with pytest.raises(error, match="name of a handler"):
            server.expose(name=name)(len)
        with pytest.raises(error, match="name of a handler"):
            server.expose(len, name=name)
    assert server.handlers == ()


@pytest.mark.parametrize("name", GOOD_NAMES, ids=ascii)
def test_any_other_text_is_a_name(name):
    server = BeamServer()
    server.register_handler(Atom(name), len)
    [registered] = server.handlers
    assert (registered.name, type(registered.name)) == (name, str)
    assert encode_term(Atom(name))
    server.unregister_handler(name)
    assert server.handlers == ()


@pytest.mark.parametrize(
    ("option", "value", "error"),
    [
        *[("module", value, error) for value, error in NAMES],
        *[("owner", value, error) for value, error in TEXTS],
        ("module", "Elixir.", ValueError),
        ("module", "X" * 250, ValueError),
        ("module", True, TypeError),
        *[("binaries", value, TypeError) for value in (int, "str", None, bytearray, [str])],
        *[
            (option, value, TypeError)
            for option in ("inline", "arrays", "undo", "changes_scene", "safe_during_jobs")
            for value in (1, None, "yes", [])
        ],
        *[("permit", value, TypeError) for value in ("app@*", True, ["app@h"])],
        *[("max_wait", value, TypeError) for value in ("1", True, [])],
        *[("max_wait", value, ValueError) for value in (-1, math.nan, math.inf, 1e30)],
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_an_option_that_cannot_be_used_is_refused(option, value, error):
    server = BeamServer()
    for attempt in (
        lambda: server.register_handler("ping", len, **{option: value}),
        lambda: server.expose(**{option: value})(len),
        lambda: server.expose(len, **{option: value}),
    ):
        with pytest.raises(error, match=option):
            attempt()
    assert server.handlers == ()


@pytest.mark.parametrize("function", [5, "print", [], {}], ids=repr)
def test_a_handler_is_a_function(function):
    server = BeamServer()
    for attempt in (lambda: server.register_handler("ping", function), lambda: server.expose(function, name="ping")):
        with pytest.raises(TypeError, match="function"):
            attempt()
    assert server.handlers == ()


def test_a_function_without_a_name_needs_one():
    server = BeamServer()
    with pytest.raises(TypeError, match="name of a handler"):
        server.expose(functools.partial(max, 1))
    server.expose(functools.partial(max, 1), name="max")
    assert [each.name for each in server.handlers] == ["max"]


@pytest.mark.parametrize("owner", [None, 5, b"a"])
def test_handlers_without_an_owner_are_not_removed_together(owner):
    """`__package__` is None in a program's main file."""
    server = BeamServer()
    server.register_handler("ping", len)
    with pytest.raises(TypeError, match="owner"):
        server.unregister_owner(owner)
    assert len(server.handlers) == 1


@pytest.mark.parametrize("topic", [5, b"topic", None, ["topic"]])
def test_a_topic_is_a_text(topic):
    server = BeamServer()
    for attempt in (lambda: server.publish(topic, 1), lambda: server.subscribers(topic)):
        with pytest.raises(TypeError, match="topic"):
            attempt()
        with pytest.raises(ValueError, match="surrogate"):
            server.publish("bad\udc80", 1)


def test_arguments_come_as_one_list_or_one_by_one():
    def echo(*args):
        return args

    assert Handler("h", echo, spread=False).invoke([1, 2]) == ([1, 2],)
    assert Handler("h", echo, spread=True).invoke([1, 2]) == (1, 2)


@pytest.mark.parametrize(
    ("module", "plain"),
    [
        ("Elixir.Blender", "Blender"),
        ("blender", "blender"),
        ("Elixir.My.Addon", "My.Addon"),
        ("MyElixir.A", "MyElixir.A"),
    ],
)
def test_elixirs_prefix_is_taken_away(module, plain):
    assert plain_module(module) == plain
