"""Terms as text: what a person types, and what is shown of values."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_bpy import Atom, BitString, ImproperList, PairsMap, Pid
from beam_bpy.cli.term_text import TermError, parse
from beam_bpy.erlang_text import show
from vendor_term_codec import encode

ATOMS = st.one_of(
    st.from_regex(r"[a-z][a-zA-Z0-9_@]{0,10}", fullmatch=True),
    st.sampled_from(
        ["when", "end", "Elixir.Enum", "", "größe", "with space", "it's", "back\\slash", "new\nline", "Up"]
    ),
    st.text(max_size=8),
).filter(lambda name: name not in ("true", "false", "nil"))
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
    st.binary().filter(lambda data: not is_utf8(data)),
    ATOMS.map(Atom),
)
KEYS = st.one_of(st.text(max_size=4), ATOMS.map(Atom), st.integers(2, 9))


def is_utf8(data):
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def improper(elements, tail):
    return ImproperList(tuple(elements), tail)


VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(KEYS, inner, max_size=3),
        st.builds(improper, st.lists(inner, min_size=1, max_size=3), st.integers() | ATOMS.map(Atom)),
    ),
    max_leaves=12,
)


@given(VALUES)
@settings(max_examples=300)
def test_what_is_shown_is_the_term_that_it_shows(value):
    assert encode(parse(show(value))) == encode(value)


PARSED = {
    "1": 1,
    "-12": -12,
    "16#fF": 255,
    "-2#101": -5,
    "36#zz": 1295,
    "1.5": 1.5,
    "-0.5e-3": -0.0005,
    "1.0E10": 1e10,
    "$a": 97,
    "$\\n": 10,
    "[$ ,1]": [32, 1],
    "ok": Atom("ok"),
    "a@b_C9": Atom("a@b_C9"),
    "'Elixir.Enum'": Atom("Elixir.Enum"),
    "'it\\'s'": Atom("it's"),
    "''": Atom(""),
    "true": True,
    "'false'": False,
    "nil": None,
    '"ab"': [97, 98],
    '""': [],
    '"\\"\\\\\\n"': [34, 92, 10],
    '<<"hello">>': "hello",
    '<<"größe"/utf8>>': "größe",
    "<<>>": "",
    "<<1,2,255>>": b"\1\2\xff",
    '<<"a",10,"b">>': "a\nb",
    "{}": (),
    "{ok, 1}": (Atom("ok"), 1),
    "[]": [],
    "[1 , [2], {3}]": [1, [2], (3,)],
    "[1|2]": ImproperList((1,), 2),
    "[1,2|[3]]": [1, 2, 3],
    "#{}": {},
    '#{a => 1, <<"b">> => #{c => [d]}}': {Atom("a"): 1, "b": {Atom("c"): [Atom("d")]}},
    " \n{ a , b } . ": (Atom("a"), Atom("b")),
    "#{[1] => 2}": PairsMap([([1], 2)]),
    "#{1 => a, 1.0 => b, true => c}": PairsMap([(1, Atom("a")), (1.0, Atom("b")), (True, Atom("c"))]),
    "<<5:3>>": BitString(b"\xa0", 3),
    '"\\x{41}\\x42\\103\\^A"': [0x41, 0x42, 0o103, 1],
}


@pytest.mark.parametrize(("text", "value"), PARSED.items(), ids=PARSED)
def test_what_a_person_types(text, value):
    assert encode(parse(text)) == encode(value)


SHOWN = [
    (Atom("ok"), "ok"),
    (Atom("Elixir.Enum"), "'Elixir.Enum'"),
    (Atom("end"), "'end'"),
    (None, "nil"),
    (True, "true"),
    (1 << 70, "1180591620717411303424"),
    (-1.5, "-1.5"),
    (1e22, "1.0e22"),
    (1e-7, "1.0e-7"),
    ("text", '<<"text">>'),
    ("größe", '<<"größe"/utf8>>'),
    ('a"b\\c\n', '<<"a\\"b\\\\c\\n">>'),
    (b"\xff\0", "<<255,0>>"),
    (memoryview(b"\1"), "<<1>>"),
    (b"", "<<>>"),
    (BitString(b"\1\xa0", 3), "<<1,5:3>>"),
    ((), "{}"),
    ((1, "a"), '{1,<<"a">>}'),
    ([1, [2]], "[1,[2]]"),
    (ImproperList((1, 2), Atom("c")), "[1,2|c]"),
    ({Atom("a"): 1, "b": 2}, '#{a => 1,<<"b">> => 2}'),
    (PairsMap([(1, 2), (1.0, 3)]), "#{1 => 2,1.0 => 3}"),
]


@pytest.mark.parametrize(("value", "text"), SHOWN, ids=[text for _value, text in SHOWN])
def test_what_is_shown(value, text):
    assert show(value) == text


def test_a_pid_is_shown_as_something():
    assert show([Pid("a@b", 1, 2, 3)]).startswith("[")


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        ".",
        "{",
        "{1",
        "{1,}",
        "{1 2}",
        "[1,]",
        "[|1]",
        "[1|2,3]",
        "[1}",
        "#{a}",
        "#{a => }",
        "#{a => 1,}",
        "<<",
        "<<1",
        "<<a>>",
        "<<1 2>>",
        "<<,>>",
        "'open",
        '"open',
        "Variable",
        "1 + 1",
        "ok ok",
        "1.5.2",
        "fun() -> ok end",
        "37#1",
        "0#12",
        "2#9",
        "1.0e999",
        "é\x00",
        "#{a => 1, a => 2}x",
    ],
)
def test_what_is_no_term_is_an_error_that_shows_it(text):
    with pytest.raises(TermError, match="is no"):
        parse(text)


def test_the_error_says_where():
    with pytest.raises(TermError) as caught:
        parse("{ok, Variable}")

    assert "'Variable}' at position" in str(caught.value)


@pytest.mark.parametrize("text", ["9" * 5000, "[" * 100_000, "{" * 100_000, "-" * 10, "16#" + "f" * 9000])
def test_whatever_is_typed_is_a_term_or_a_term_error(text):
    try:
        parse(text)
    except TermError:
        return
    assert text.lstrip("16#").isalnum()


@pytest.mark.parametrize("number", [10**5000, -(10**5000)], ids=["positive", "negative"])
def test_a_number_of_any_length_is_shown(number):
    assert parse(show(number)) == number


@given(st.text(alphabet="{}[]<>#=|,:/'\"\\$ab1.-_ \n", max_size=12))
@settings(max_examples=300)
def test_any_text_is_a_term_or_a_term_error(text):
    try:
        value = parse(text)
    except TermError:
        return
    assert encode(parse(show(value))) == encode(value)
