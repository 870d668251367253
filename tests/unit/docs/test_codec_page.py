"""docs/codec.md and docs/terms.md describe the codec correctly: examples, names, limits and tags."""

import doctest
import inspect
import re
from pathlib import Path

import pytest

import vendor_term_codec
from vendor_term_codec import (
    Atom,
    BitString,
    DecodeError,
    Export,
    Fun,
    Pid,
    Port,
    Reference,
    decode,
    encode_term,
    tags,
)

DOCS = Path(__file__).parents[3] / "docs"
CODEC = (DOCS / "codec.md").read_text()
HEADINGS = dict(re.findall(r"^### `(\w+)(.*)`$", CODEC, re.MULTILINE))
TAGS = {
    int(number): (name, read, written)
    for name, number, read, written in re.findall(r"^\| ([A-Z0-9_]+) \| (\d+) \| (.+) \| (.+) \|$", CODEC, re.MULTILINE)
}


@pytest.mark.parametrize("page", ["codec.md", "terms.md"])
def test_every_python_example_gives_what_the_page_shows(page):
    examples = re.findall(r"^```pycon\n(.*?)^```$", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)
    test = doctest.DocTestParser().get_doctest("\n".join(examples), {}, page, page, 0)
    said = []
    result = doctest.DocTestRunner().run(test, out=said.append)

    assert result.attempted >= len(examples) > 0
    assert result.failed == 0, "".join(said)


def test_every_public_name_has_its_heading_and_no_other():
    assert sorted(HEADINGS) == sorted(vendor_term_codec.__all__)


@pytest.mark.parametrize("name", sorted(HEADINGS))
def test_a_heading_shows_the_signature(name):
    thing = getattr(vendor_term_codec, name)
    if name == "Atom":
        assert HEADINGS[name] == "(name)"
    elif name.endswith("Error"):
        assert HEADINGS[name] == ""
    else:
        assert HEADINGS[name] == str(inspect.Signature(map(_bare, inspect.signature(thing).parameters.values())))


class _Shown:
    """A default as the page writes it."""

    def __init__(self, value):
        self.value = value

    def __repr__(self):
        return self.value.__name__ if isinstance(self.value, type) else repr(self.value)


def _bare(parameter):
    """The parameter without its type."""
    default = parameter.default if parameter.default is parameter.empty else _Shown(parameter.default)
    return parameter.replace(annotation=parameter.empty, default=default)


def test_every_tag_of_the_codec_stands_in_the_table():
    named = {number: name for number, (name, _read, _written) in TAGS.items()}

    assert named == tags.NAMES


def test_what_the_table_says_is_refused_is_and_nothing_else():
    refused = {tag for tag in range(256) if re.search("not supported|only the runtime", _complaint(tag))}

    assert {tag for tag, (_name, read, _written) in TAGS.items() if read.startswith("refused")} == refused & set(TAGS)
    assert refused | set(TAGS) == set(range(256))


def _complaint(tag):
    """The error message for a term that ends after its tag."""
    try:
        return str(decode(bytes((tags.VERSION, tag))))
    except DecodeError as error:
        return str(error)


def test_what_the_table_says_is_written_is_and_nothing_else():
    pid = Pid("a@b", 1, 0, 1)
    values = [0, 256, 2**40, 2**2040, 1.5, Atom("a"), Atom("\u00e9" * 200), pid, Port("a@b", 1, 1)]
    values += [Reference("a@b", 1, [1]), (), (0,) * 256, {}, [], [1], [1.5], "", BitString(b"a", 1)]
    values += [Export("a", "b", 1), Fun(1, bytes(16), 0, "a", 0, 0, pid, ())]
    written = {encode_term(value)[0] for value in values}

    assert {tag for tag, (_name, _read, written_for) in TAGS.items() if not written_for.startswith("never")} == written
