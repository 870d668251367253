"""Convert text in the syntax of Erlang or Elixir to values, for the command line; `erlang_text.show` is the reverse.

Sources of the syntax: Erlang reference manual, chapter "Data Types"; Elixir, "Syntax reference". Variables, operators,
comments and Elixir's structs are not supported. A text with both syntaxes is read too, except where a form means
different things: see `parse`.
"""

import math
import re
from typing import Any

from beam_bpy.module_names import full_module
from vendor_term_codec import Atom, BitString, ImproperList, PairsMap

_ESCAPE = r"\\(?:[xu]\{[0-9a-fA-F]+\}|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|[0-7]{1,3}|\^.|.)"
_DIGITS = r"\d+(?:_\d+)*"
_TOKEN = re.compile(
    rf"""\s*(?:
        (?P<float>-?{_DIGITS}\.{_DIGITS}(?:[eE][+-]?\d+)?)
      | (?P<prefixed>-?0(?:x[0-9a-fA-F_]+|b[01_]+|o[0-7_]+))
      | (?P<based>-?\d{{1,2}}\#[0-9a-zA-Z]+)
      | (?P<integer>-?{_DIGITS})
      | [$?](?P<character>{_ESCAPE}|.)
      | :(?P<colon>[^\W\d][\w@]*[?!]?)
      | :"(?P<colon_quoted>(?:\\.|[^"\\])*)"
      | (?P<key>[^\W\d][\w@]*[?!]?):(?!:)
      | "(?P<quoted_key>(?:\\.|[^"\\])*)":(?=\s)
      | '(?P<single>(?:\\.|[^'\\])*)'
      | "(?P<double>(?:\\.|[^"\\])*)"
      | ~(?P<sigil>[bcs]?"(?:\\.|[^"\\])*)"
      | (?P<alias>[A-Z]\w*(?:\.[A-Z]\w*)*)
      | (?P<atom>[a-z][\w@]*)
      | (?P<symbol>\#\{{|%\{{|=>|<<|>>|::|[\[\]{{}}(),|:/])
    )""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPES = dict(zip("nrtsbedfva", "\n\r\t \b\x1b\x7f\f\v\a", strict=True))
_MAX_SEGMENT = 1 << 16
"""The largest size of an integer in a binary, in bits."""

_CONSTANTS: dict[str, bool | None] = {"true": True, "false": False, "nil": None}


class TermError(ValueError):
    """A text is not a term. The message names the unexpected part and its position."""


def parse(text: str, *, elixir: bool = False) -> Any:
    """Return the value of one term in the syntax of Erlang or Elixir.

    >>> parse("{move, <<\\"Cube\\">>, [1, 2.5]}")
    (Atom('move'), 'Cube', [1, 2.5])
    >>> parse("%{name: \\"Cube\\", size: [width: 1_000]}", elixir=True)
    {Atom('name'): 'Cube', Atom('size'): [(Atom('width'), 1000)]}

    Args:
        text: the term.
        elixir: the meaning of `"text"`, of `'text'` and of a name with a capital letter. True: a binary, a list of
            characters, and a module. False, the default: a list of characters, an atom, and an error.

    Raises:
        TermError: `text` is not exactly one term.
    """
    parser = _Parser(text, elixir=elixir)
    try:
        value = parser.term()
        parser.end()
    except TermError:
        raise
    except RecursionError:
        raise TermError("the term is nested too deeply") from None
    except (ValueError, OverflowError) as error:
        raise TermError(f"the text is not a term: {error}") from None
    return value


class _Parser:
    def __init__(self, text: str, *, elixir: bool) -> None:
        self._text = text.strip()
        self._at = self._token = 0
        self._elixir = elixir

    def term(self) -> Any:
        return self._term(*self._next())

    def _term(self, kind: str, text: str) -> Any:
        match kind:
            case "float":
                return self._float(text)
            case "prefixed":
                return int(text, 0)
            case "integer":
                return int(text)
            case "based":
                return self._based(text)
            case "character":
                return ord(_unescaped(text))
            case "colon" | "atom":
                return _atom(text)
            case "colon_quoted":
                return _atom(_unescaped(text))
            case "single":
                return _characters(text) if self._elixir else _atom(_unescaped(text))
            case "double":
                return _unescaped(text) if self._elixir else _characters(text)
            case "sigil":
                return self._sigil(*text.split('"', 1))
            case "alias" if self._elixir:
                return full_module(text)
        return self._compound(text)

    def _sigil(self, letter: str, text: str) -> Any:
        is_list = letter == "c" or (letter == "s" and not self._elixir)
        return _characters(text) if is_list else _unescaped(text)

    def end(self) -> None:
        self._token = self._at
        if self._text[self._at :].strip() not in ("", "" if self._elixir else "."):
            raise self._unexpected()

    def _compound(self, symbol: str) -> Any:
        match symbol:
            case "{":
                return tuple(self._items("}"))
            case "[":
                return self._list()
            case "#{" | "%{":
                return self._map()
            case "<<":
                return self._binary()
        raise self._unexpected()

    def _items(self, end: str) -> list[Any]:
        items: list[Any] = []
        if self._accept(end):
            return items
        while True:
            items.append(self.term())
            if self._accept(end):
                return items
            self._expect(",")

    def _list(self) -> Any:
        items: list[Any] = []
        if self._accept("]"):
            return items
        while True:
            items.append(self._item())
            if self._accept("]"):
                return items
            if self._accept("|"):
                tail = self.term()
                self._expect("]")
                return [*items, *tail] if isinstance(tail, list) else ImproperList(tuple(items), tail)
            self._expect(",")

    def _item(self) -> Any:
        """A term, or a pair of a keyword list, `size: 1`."""
        kind, text = self._next()
        return (_key(kind, text), self.term()) if kind in _KEYS else self._term(kind, text)

    def _map(self) -> dict[Any, Any] | PairsMap:
        pairs: list[tuple[Any, Any]] = []
        if self._accept("}"):
            return {}
        while True:
            kind, text = self._next()
            if kind in _KEYS:
                key = _key(kind, text)
            else:
                key = self._term(kind, text)
                self._expect("=>")
            pairs.append((key, self.term()))
            if self._accept("}"):
                return _map_of(pairs)
            self._expect(",")

    def _binary(self) -> str | bytes | BitString:
        value = size = 0
        while not self._accept(">>"):
            if size:
                self._expect(",")
            number, bits = self._segment()
            value, size = value << bits | number, size + bits
        data = (value << -size % 8).to_bytes(-(-size // 8))
        if size % 8:
            return BitString(data, size % 8)
        try:
            return data.decode()
        except UnicodeDecodeError:
            return data

    def _segment(self) -> tuple[int, int]:
        kind, text = self._next()
        if kind == "double":
            utf8 = self._accept("/", "::") and self._segment_type() == "utf8"
            data = _unescaped(text).encode("utf-8" if utf8 or not text.isascii() else "latin-1")
            return int.from_bytes(data), 8 * len(data)
        if kind not in ("integer", "prefixed", "based", "character"):
            raise self._unexpected()
        bits = self._segment_size() if self._accept(":", "::") else 8
        return int(self._term(kind, text)) % (1 << bits), bits

    def _segment_type(self) -> str:
        kind, text = self._next()
        if kind != "atom" or text not in ("utf8", "binary"):
            raise self._unexpected()
        return text

    def _segment_size(self) -> int:
        kind, text = self._next()
        if kind != "integer" or not 0 <= int(text) <= _MAX_SEGMENT:
            raise self._unexpected()
        return int(text)

    def _float(self, text: str) -> float:
        value = float(text)
        if math.isinf(value):
            raise TermError(f"{text} is not a valid number: the largest float is 1.8e308")
        return value

    def _based(self, text: str) -> int:
        base, digits = text.split("#")
        if not 2 <= abs(int(base)) <= 36:
            raise TermError(f"{text!r} is not a valid number: the base must be from 2 to 36")
        try:
            return int(digits, abs(int(base))) * (-1 if base.startswith("-") else 1)
        except ValueError:
            raise TermError(f"{text!r} is not a valid number in this base") from None

    def _next(self) -> tuple[str, str]:
        self._token = self._at
        found = _TOKEN.match(self._text, self._at)
        if found is None or found.lastgroup is None:
            raise self._unexpected()
        self._at = found.end()
        return found.lastgroup, found[found.lastgroup]

    def _accept(self, *symbols: str) -> bool:
        found = _TOKEN.match(self._text, self._at)
        if found is None or found["symbol"] not in symbols:
            return False
        self._at = found.end()
        return True

    def _expect(self, symbol: str) -> None:
        self._token = self._at
        if not self._accept(symbol):
            raise self._unexpected()

    def _unexpected(self) -> TermError:
        """The error for the token that was read last."""
        rest = self._text[self._token :].lstrip()
        where = f"{rest[:20]!r} at position {len(self._text) - len(rest)}" if rest else "the end of the text"
        language = "Elixir" if self._elixir else "Erlang"
        return TermError(f"{self._text!r} is not an {language} term: {where} was not expected")


_KEYS = ("key", "quoted_key")
"""The tokens for the key of a keyword list or of a map: `size:` and `"some size":`."""


def _key(kind: str, text: str) -> Any:
    return _atom(text if kind == "key" else _unescaped(text))


def _characters(text: str) -> list[int]:
    return [ord(character) for character in _unescaped(text)]


def _atom(text: str) -> Any:
    return _CONSTANTS[text] if text in _CONSTANTS else Atom(text)


def _map_of(pairs: list[tuple[Any, Any]]) -> dict[Any, Any] | PairsMap:
    every = PairsMap(pairs)
    try:
        plain = dict(pairs)
    except TypeError:  # Python cannot hash one of the keys.
        return every
    return plain if len(plain) == len(pairs) else every


def _unescaped(text: str) -> str:
    return re.sub(_ESCAPE, lambda found: _character(found[0][1:]), text, flags=re.DOTALL)


def _character(escape: str) -> str:
    if escape[0] in "xu" and len(escape) > 1:
        return chr(int(escape[1:].strip("{}"), 16))
    if escape[0] in "01234567":
        return chr(int(escape, 8))
    if escape[0] == "^" and len(escape) > 1:
        return chr(ord(escape[1]) & 31)
    return _ESCAPES.get(escape, escape)
