"""`describe_handlers`, which every node answers."""

import functools
from collections.abc import Generator
from fractions import Fraction
from typing import Literal, Optional

import pytest
from support import Client

from beam_bpy import Atom, BeamServer

A = Atom


def cube(name: str, size: "float" = 2.0, *layers: int) -> str:
    """Add a cube.

    Its size is in metres.
    """


def count(to: int) -> Generator[int, None, str]:
    yield to


def plain(first, second=None):
    pass


def odd(value=Fraction(1, 2)):
    pass


def described(server: BeamServer, name="caller@127.0.0.1"):
    with Client(server, name) as client:
        return {handler[A("name")]: handler for handler in client.call("describe_handlers")}


def parameter(name, kind="positional", type=None, required=True, **more):
    fields = {"name": name, "kind": A(kind), "type": type, "required": required, **more}
    return {A(key): value for key, value in fields.items()}


def test_a_function_with_annotations_and_a_docstring(server):
    server.expose(owner="shop", module="Scene", undo=True, max_wait=2.0)(cube)

    found = described(server)["cube"]

    assert (found[A("module")], found[A("owner")]) == ("Scene", "shop")
    assert found[A("doc")] == "Add a cube.\n\nIts size is in metres."
    assert found[A("parameters")] == [
        parameter("name", type="str"),
        parameter("size", type="float", required=False, default=2.0),
        parameter("layers", "variadic", "int", required=False),
    ]
    assert found[A("returns")] == "str"
    options = found[A("options")]
    assert options == {
        A("inline"): False,
        A("binaries"): A("str"),
        A("arrays"): False,
        A("undo"): True,
        A("changes_scene"): True,
        A("safe_during_jobs"): False,
        A("max_wait"): 2.0,
        A("latest"): False,
        A("after_tick"): False,
        A("long"): False,
    }


def test_a_function_without_annotations(server):
    server.expose(plain)

    found = described(server)["plain"]

    assert [found[A(key)] for key in ("doc", "module", "owner", "returns")] == [None] * 4
    assert found[A("parameters")] == [parameter("first"), parameter("second", required=False, default=None)]


def test_a_long_handler_says_so(server):
    server.expose(count)

    found = described(server)["count"]

    assert found[A("options")][A("long")] is True
    assert found[A("returns")] == "collections.abc.Generator[int, None, str]"


def test_a_default_without_a_term_is_its_text(server):
    server.expose(odd)

    assert described(server)["odd"][A("parameters")] == [parameter("value", required=False, default="Fraction(1, 2)")]


def test_a_handler_that_takes_the_list_of_arguments(server):
    assert described(server)["echo"][A("parameters")] == [parameter("args", "variadic", required=False)]


class Counter:
    """Counts."""

    def __call__(self, by: int = 1) -> int:
        """Add to the count."""

    def read(self) -> int:
        """The count."""


class Silent:
    """Answers nothing."""

    def __call__(self):
        pass


@pytest.mark.parametrize(
    ("function", "doc", "names", "returns"),
    [
        (functools.partial(cube, "Crate"), "Add a cube.\n\nIts size is in metres.", ["size", "layers"], "str"),
        (
            functools.partial(functools.partial(cube), "Crate"),
            "Add a cube.\n\nIts size is in metres.",
            ["size", "layers"],
            "str",
        ),
        (Counter(), "Add to the count.", ["by"], "int"),
        (functools.partial(Counter(), 2), "Add to the count.", [], "int"),
        (Counter().read, "The count.", [], "int"),
        (Silent(), "Answers nothing.", [], None),
    ],
    ids=["partial", "partial-without-doc", "instance", "partial-of-instance", "method", "class-doc"],
)
def test_a_callable_has_the_docstring_of_what_is_called(server, function, doc, names, returns):
    server.expose(function, name="called")

    found = described(server)["called"]

    assert found[A("doc")] == doc
    assert [one[A("name")] for one in found[A("parameters")]] == names
    assert found[A("returns")] == returns


def signatures(
    union: int | None,
    optional: Optional[str] = None,  # noqa: UP045 - as users write it
    choice: Literal["cube", "cone"] = "cube",
    numbers: dict[str, list[float]] = {},  # noqa: B006
    *rest: int | str,
    keyword: int = 3,
    **more: int,
) -> list[str] | None:
    pass


def test_types_are_those_that_the_author_has_written(server):
    server.expose(signatures)

    found = described(server)["signatures"]

    assert found[A("parameters")] == [
        parameter("union", type="int | None"),
        parameter("optional", type="Optional[str]", required=False, default=None),
        parameter("choice", type="Literal['cube', 'cone']", required=False, default="cube"),
        parameter("numbers", type="dict[str, list[float]]", required=False, default={}),
        parameter("rest", "variadic", "int | str", required=False),
    ]
    assert found[A("returns")] == "list[str] | None"


def test_a_function_of_c_without_a_signature(server):
    server.expose(max, name="max")

    assert described(server)["max"][A("parameters")] == [parameter("args", "variadic", required=False)]


def test_a_handler_is_described_to_those_who_may_call_it(server):
    server.expose(name="secret", permit=lambda node: node == "friend@127.0.0.1")(plain)

    assert "secret" not in described(server)
    assert "secret" in described(server, "friend@127.0.0.1")


def test_a_handler_of_that_name_comes_first(server):
    server.expose(lambda: "mine", name="describe_handlers")

    with Client(server) as client:
        assert client.call("describe_handlers") == "mine"


class NoDoc:
    @property
    def __doc__(self):
        raise KeyError("no doc")

    def __call__(self, args):
        pass


class NoSignature:
    @property
    def __signature__(self):
        raise KeyError("no signature")

    def __call__(self, args):
        pass


class NoRepr:
    def __repr__(self):
        raise KeyError("no repr")


def surrogates(value="\ud800", other=None):
    """A text with a lone surrogate: \ud800."""


surrogates.__annotations__["other"] = "\ud800"


def strange(value=NoRepr(), numbers=iter([1]), nothing=float("nan"), kinds={Fraction(1, 2)}, sizes={"b", "a"}):  # noqa: B006, B008
    pass


def annotated(value: NoRepr()):
    pass


def test_a_function_that_says_strange_things_of_itself_hides_no_other(server):
    for function in (NoDoc(), NoSignature()):
        server.expose(function, name=type(function).__name__)
    for function in (surrogates, strange, annotated, cube):
        server.expose(function)

    found = described(server)

    assert {"NoDoc", "NoSignature", "surrogates", "strange", "annotated", "cube"} <= set(found)
    assert found["surrogates"][A("doc")] == "A text with a lone surrogate: ?."
    assert found["surrogates"][A("parameters")][1][A("type")] == "?"
    defaults = {parameter[A("name")]: parameter[A("default")] for parameter in found["strange"][A("parameters")]}
    assert defaults["value"] == "a NoRepr"
    assert defaults["nothing"] == "nan"
    assert defaults["sizes"] == ["a", "b"]
    assert defaults["numbers"].startswith("<list_iterator")


def test_converters_change_defaults_and_nothing_else(server):
    server.encoder.register(Fraction, float)
    for type_ in (list, dict, str, tuple):
        server.encoder.register(type_, lambda value: A("converted"))
    server.expose(odd)
    server.expose(plain)

    found = described(server)

    assert found["odd"][A("parameters")] == [parameter("value", required=False, default=0.5)]
    assert found["plain"][A("parameters")][0] == parameter("first")
