"""The characters of the I/O protocol, and the standard outputs that a program can have."""

import contextlib
import io
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_bpy.processes.group_leader import text_of, write_output
from vendor_term_codec import Atom, ImproperList


@pytest.mark.parametrize(
    ("characters", "encoding", "text"),
    [
        ([], "unicode", ""),
        (b"", "unicode", ""),
        ([104, 105], "latin1", "hi"),
        ([104, 0x20AC, 0x1F3AC], "unicode", "h€🎬"),
        ("h€".encode(), "unicode", "h€"),
        (b"h\xe9", "latin1", "hé"),
        ([[b"a", [98]], [[]], b"c", [100, [b"e"]]], "unicode", "abcde"),
        (ImproperList((97,), b"bc"), "unicode", "abc"),
        ([ImproperList((b"a", [98]), b"c"), 100], "unicode", "abcd"),
    ],
)
def test_characters_in_any_form_are_text(characters, encoding, text):
    assert text_of(characters, encoding) == text


@pytest.mark.parametrize(
    "characters",
    [Atom("hi"), 1.5, {}, (), None, [104, Atom("i")], [-1], [0x110000], [1 << 80], b"\xff", [b"ok", [b"\xe9"]]],
)
def test_other_terms_are_no_characters(characters):
    with pytest.raises(ValueError):
        text_of(characters, "unicode")


@given(st.recursive(st.text(st.characters(exclude_categories=["Cs"])), lambda parts: st.lists(parts, max_size=4)))
def test_the_nesting_does_not_change_the_text(text):
    def flat(part):
        return part if isinstance(part, str) else "".join(map(flat, part))

    def chardata(part, as_binary):
        if isinstance(part, str):
            return part.encode() if as_binary else [ord(character) for character in part]
        return [chardata(each, not as_binary) for each in part]

    assert text_of(chardata(text, True), "unicode") == flat(text)


def test_a_deep_nesting_is_no_recursion():
    characters = [104]
    for _ in range(100_000):
        characters = [characters, 105]
    assert text_of(characters, "unicode") == "h" + "i" * 100_000
    while characters:  # Otherwise the garbage collector recurses.
        characters = characters[0] if isinstance(characters, list) else None


class Broken(io.StringIO):
    def write(self, _text):
        raise BrokenPipeError(32, "Broken pipe")


def closed():
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize("stream", [None, Broken(), closed(), object()], ids=["none", "broken", "closed", "no stream"])
def test_a_standard_output_that_cannot_be_written_raises_nothing(stream, monkeypatch):
    monkeypatch.setattr(sys, "stdout", stream)
    write_output("hi")
    monkeypatch.undo()

    with contextlib.redirect_stdout(io.StringIO()) as out:
        write_output("hi")
    assert out.getvalue() == "hi"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_characters_that_the_output_does_not_have_are_escaped(encoding, monkeypatch):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    write_output("é🎬\ud800.")
    monkeypatch.undo()

    written = raw.getvalue().decode(encoding)
    assert written.endswith(".")
    assert written == "é🎬\ud800.".encode(encoding, "backslashreplace").decode(encoding)
