"""Terms as text: what a person types on a command line and reads there.

Erlang's own syntax (reference manual, "Data Types"), without variables, operators and comments.
"""

import json
import re
from typing import Any

from vendor_term_codec import Atom, BitString, ImproperList, PairsMap

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<float>-?\d+\.\d+(?:[eE][+-]?\d+)?)
      | (?P<based>-?\d{1,2}\#[0-9a-zA-Z]+)
      | (?P<integer>-?\d+)
      | \$(?P<character>\\.|.)
      | '(?P<quoted>(?:\\.|[^'\\])*)'
      | "(?P<string>(?:\\.|[^"\\])*)"
      | (?P<atom>[a-z][\w@]*)
      | (?P<symbol>\#\{|=>|<<|>>|[\[\]{}(),|:/])
    )""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPES = dict(zip("nrtsbe0dfv", "\n\r\t \b\x1b\0\x7f\f\v", strict=True))
_PLAIN_ATOM = re.compile(r"[a-z][a-zA-Z0-9_@]*\Z")
_KEYWORDS = """
after and andalso band begin bnot bor bsl bsr bxor case catch cond div else end fun if let maybe not of or orelse
receive rem try when xor
"""
_RESERVED = frozenset(_KEYWORDS.split())
_CONSTANTS: dict[str, bool | None] = {"true": True, "false": False, "nil": None}


class TermError(ValueError):
    """A text is no term; the message says what was found where."""


def parse(text: str) -> Any:
    """The value of one Erlang term.

    >>> parse("{move, <<\\"Cube\\">>, [1, 2.5]}")
    (Atom('move'), 'Cube', [1, 2.5])

    Raises:
        TermError: it is none.
    """
    parser = _Parser(text)
    value = parser.term()
    parser.end()
    return value


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text.strip()
        self._at = 0

    def term(self) -> Any:
        kind, text = self._next()
        match kind:
            case "float":
                return float(text)
            case "integer":
                return int(text)
            case "based":
                return self._based(text)
            case "character":
                return ord(_unescaped(text))
            case "quoted":
                return _atom(_unescaped(text))
            case "atom":
                return _atom(text)
            case "string":
                return [ord(character) for character in _unescaped(text)]
        return self._compound(text)

    def end(self) -> None:
        if self._text[self._at :].strip() not in ("", "."):
            raise self._unexpected()

    def _compound(self, symbol: str) -> Any:
        match symbol:
            case "{":
                return tuple(self._items("}"))
            case "[":
                return self._list()
            case "#{":
                return self._map()
            case "<<":
                return self._binary()
        raise self._unexpected(symbol)

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
            items.append(self.term())
            if self._accept("]"):
                return items
            if self._accept("|"):
                tail = self.term()
                self._expect("]")
                return [*items, *tail] if isinstance(tail, list) else ImproperList(tuple(items), tail)
            self._expect(",")

    def _map(self) -> dict[Any, Any]:
        pairs: dict[Any, Any] = {}
        if self._accept("}"):
            return pairs
        while True:
            key = self.term()
            self._expect("=>")
            pairs[key] = self.term()
            if self._accept("}"):
                return pairs
            self._expect(",")

    def _binary(self) -> str | bytes:
        data = bytearray()
        while not self._accept(">>"):
            kind, text = self._next()
            if kind == "string":
                utf8 = self._accept("/") and self._next()[1] == "utf8"
                data += _unescaped(text).encode("utf-8" if utf8 or not text.isascii() else "latin-1")
            elif kind == "integer":
                data.append(int(text) & 255)
            elif text != ",":
                raise self._unexpected(text)
        try:
            return data.decode()
        except UnicodeDecodeError:
            return bytes(data)

    def _based(self, text: str) -> int:
        base, digits = text.split("#")
        try:
            return int(digits, abs(int(base))) * (-1 if base.startswith("-") else 1)
        except ValueError:
            raise TermError(f"{text!r} is no number") from None

    def _next(self) -> tuple[str, str]:
        found = _TOKEN.match(self._text, self._at)
        if found is None or found.lastgroup is None:
            raise self._unexpected()
        self._at = found.end()
        return found.lastgroup, found[found.lastgroup]

    def _accept(self, symbol: str) -> bool:
        found = _TOKEN.match(self._text, self._at)
        if found is None or found["symbol"] != symbol:
            return False
        self._at = found.end()
        return True

    def _expect(self, symbol: str) -> None:
        if not self._accept(symbol):
            raise self._unexpected()

    def _unexpected(self, symbol: str | None = None) -> TermError:
        rest = symbol or self._text[self._at :].strip()
        where = f"{rest[:20]!r} at position {self._at}" if rest else "the end of the text"
        return TermError(f"{self._text!r} is no Erlang term: {where} was not expected")


def _atom(text: str) -> Any:
    return _CONSTANTS[text] if text in _CONSTANTS else Atom(text)


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), text, flags=re.DOTALL)


def show(value: Any) -> str:
    """A value as an Erlang programmer writes it.

    >>> show((Atom("ok"), {"size": [1, 2.5]}))
    '{ok,#{<<"size">> => [1,2.5]}}'
    """
    match value:
        case Atom():
            return _show_atom(value)
        case None | bool():
            return "nil" if value is None else str(value).lower()
        case int() | float():
            return repr(value)
        case str():
            return _show_text(value)
        case bytes() | memoryview():
            return "<<" + ",".join(map(str, bytes(value))) + ">>"
        case BitString():
            *whole, last = value.data
            return "<<" + ",".join([*map(str, whole), f"{last >> (8 - value.bits)}:{value.bits}"]) + ">>"
        case tuple():
            return "{" + ",".join(map(show, value)) + "}"
        case list():
            return "[" + ",".join(map(show, value)) + "]"
        case ImproperList():
            return "[" + ",".join(map(show, value.elements)) + "|" + show(value.tail) + "]"
        case dict() | PairsMap():
            return "#{" + ",".join(f"{show(key)} => {show(item)}" for key, item in value.items()) + "}"
    return str(value)


def _show_atom(atom: str) -> str:
    if _PLAIN_ATOM.match(atom) and atom not in _RESERVED:
        return str(atom)
    escaped = atom.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _show_text(text: str) -> str:
    quoted = json.dumps(text, ensure_ascii=False)
    return f"<<{quoted}>>" if text.isascii() else f"<<{quoted}/utf8>>"
