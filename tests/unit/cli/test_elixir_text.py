"""Terms in Elixir's syntax. tests/interop/test_command_terms.py compares them with Elixir's own reading."""

import pytest

from beam_bpy import Atom, BitString, ImproperList
from beam_bpy.cli.term_text import TermError, parse
from vendor_term_codec import encode

A = Atom


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (":ok", A("ok")),
        (':"quoted atom"', A("quoted atom")),
        (":Upper", A("Upper")),
        (":valid?", A("valid?")),
        (":café", A("café")),
        (":nil", None),
        (":true", True),
        ("nil", None),
        ("true", True),
        ("ok", A("ok")),
        ("%{}", {}),
        ("%{a: 1}", {A("a"): 1}),
        ('%{"a" => 1}', {"a": 1}),
        ('%{"b c": 1, d: %{e: nil}}', {A("b c"): 1, A("d"): {A("e"): None}}),
        ("%{1 => :one, {2, 3} => [a: 1]}", {1: A("one"), (2, 3): [(A("a"), 1)]}),
        ("%{nil: 1, true: 2}", {None: 1, True: 2}),
        ("[a: 1, b: [c: 2]]", [(A("a"), 1), (A("b"), [(A("c"), 2)])]),
        ('["some key": 1]', [(A("some key"), 1)]),
        ("[1, a: 2]", [1, (A("a"), 2)]),
        ("[a: :b]", [(A("a"), A("b"))]),
        ("{:ok, [1 | 2]}", (A("ok"), ImproperList((1,), 2))),
        ('"text"', "text"),
        ('"größe"', "größe"),
        (r'"tab\t \u00e9 \u{1F600} \"q\""', 'tab\t é 😀 "q"'),
        ("'charlist'", [*b"charlist"]),
        ('~c"charlist"', [*b"charlist"]),
        ('~s"text"', "text"),
        ("''", []),
        ("Enum", A("Elixir.Enum")),
        ("Mod.Sub", A("Elixir.Mod.Sub")),
        ("Elixir.Mod", A("Elixir.Mod")),
        ("1_000_000", 1_000_000),
        ("0x1F", 31),
        ("-0xff", -255),
        ("0b101", 5),
        ("0o17", 15),
        ("-5", -5),
        ("1.5e3", 1500.0),
        ("1_0.2_5", 10.25),
        ("?a", 97),
        ("?\\n", 10),
        ("<<>>", ""),
        ("<<1, 2>>", b"\x01\x02"),
        ('<<"hi">>', "hi"),
        ('<<"hi", 0>>', b"hi\0"),
        ("<<1::4>>", BitString(b"\x10", 4)),
        ("<<258::16>>", b"\x01\x02"),
        ('<<"é"::utf8>>', "é"),
        ("<<0xFF, ?a>>", b"\xffa"),
        (" [ 1 , 2 ] ", [1, 2]),
        ("%{ a: 1 , 'x' => 2 }", {A("a"): 1, "placeholder": 2}),
    ],
)
def test_elixir(text, value):
    if isinstance(value, dict) and "placeholder" in value:  # A list is no key of a dict.
        assert parse(text, elixir=True).items() == ((A("a"), 1), ([120], 2))
        return
    assert encode(parse(text, elixir=True)) == encode(value)


@pytest.mark.parametrize(
    ("text", "elixir", "erlang"),
    [('"ab"', "ab", [97, 98]), ("'ab'", [97, 98], A("ab")), ('~s"ab"', "ab", [97, 98])],
)
def test_the_module_decides_what_has_two_meanings(text, elixir, erlang):
    assert (parse(text, elixir=True), parse(text)) == (elixir, erlang)


@pytest.mark.parametrize(
    ("text", "value"),
    [(":ok", A("ok")), ("%{a: 1}", {A("a"): 1}), ("[a: 1]", [(A("a"), 1)]), ("1_000", 1000), ('~"b"', "b")],
)
def test_forms_without_another_meaning_are_read_for_erlang_modules_too(text, value):
    assert parse(text) == value


@pytest.mark.parametrize(
    "text",
    [
        *("%{a: }", "%{a 1}", "%{", "[a:]", "[a: 1", "%Date{}", ":", ": a", '~x"a"', '"open', "~c'a'", "a + 1"),
        "&f/1",
        *("<<1::size(4)>>", "<<1::-1>>", "<<1::99999999>>", "<<1.5>>", "0x", "0b2", "1__0", "1_", "1.", ".5", "?"),
        *("{1, 2", "[1 | 2 | 3]", "[1 | 2, 3]", "nil nil", "Enum.", "Enum.map", "%{} %{}", r'"\u{110000}"', "@a", "#{"),
        *("%{a: 1, }", "[1,]", "fn -> 1 end", "1..2", "a: 1"),
    ],
)
def test_what_is_no_term(text):
    with pytest.raises(TermError):
        parse(text, elixir=True)


def test_a_name_with_a_capital_letter_is_a_variable_in_erlang():
    with pytest.raises(TermError, match="'Enum}' at position 5"):
        parse("{ok, Enum}")


@pytest.mark.parametrize("text", ["[" * 20_000, "%{a: " * 20_000, "{:ok, " * 20_000])
def test_deep_nesting(text):
    with pytest.raises(TermError):
        parse(text, elixir=True)


def test_a_long_integer():
    with pytest.raises(TermError):  # Python's limit, which the command lifts.
        parse("9" * 5_000)
