"""Convert text in Erlang syntax to values, and values to text, for the command line.

Source of the syntax: Erlang reference manual, chapter "Data Types". Variables, operators and comments are not
supported.
"""

import math
import re
from typing import Any

from vendor_term_codec import Atom, BitString, ImproperList, PairsMap

_ESCAPE = r"\\(?:x\{[0-9a-fA-F]+\}|x[0-9a-fA-F]{2}|[0-7]{1,3}|\^.|.)"
_TOKEN = re.compile(
    rf"""\s*(?:
        (?P<float>-?\d+\.\d+(?:[eE][+-]?\d+)?)
      | (?P<based>-?\d{{1,2}}\#[0-9a-zA-Z]+)
      | (?P<integer>-?\d+)
      | \$(?P<character>{_ESCAPE}|.)
      | '(?P<quoted>(?:\\.|[^'\\])*)'
      | "(?P<string>(?:\\.|[^"\\])*)"
      | (?P<atom>[a-z][\w@]*)
      | (?P<symbol>\#\{{|=>|<<|>>|[\[\]{{}}(),|:/])
    )""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPES = dict(zip("nrtsbedfv", "\n\r\t \b\x1b\x7f\f\v", strict=True))
_SHOWN = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_PLAIN_ATOM = re.compile(r"[a-z][a-zA-Z0-9_@]*\Z")
_KEYWORDS = """
after and andalso band begin bnot bor bsl bsr bxor case catch cond div else end fun if let maybe not of or orelse
receive rem try when xor
"""
_RESERVED = frozenset(_KEYWORDS.split())
_CONSTANTS: dict[str, bool | None] = {"true": True, "false": False, "nil": None}


class TermError(ValueError):
    """A text is not a term. The message names the unexpected part and its position."""


def parse(text: str) -> Any:
    """Return the value of one Erlang term.

    >>> parse("{move, <<\\"Cube\\">>, [1, 2.5]}")
    (Atom('move'), 'Cube', [1, 2.5])

    Raises:
        TermError: `text` is not exactly one term.
    """
    parser = _Parser(text)
    try:
        value = parser.term()
        parser.end()
    except TermError:
        raise
    except RecursionError:
        raise TermError("the term is nested too deeply") from None
    except ValueError as error:
        raise TermError(f"the text is not an Erlang term: {error}") from None
    return value


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text.strip()
        self._at = 0

    def term(self) -> Any:
        kind, text = self._next()
        match kind:
            case "float":
                return self._float(text)
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

    def _map(self) -> dict[Any, Any] | PairsMap:
        pairs: list[tuple[Any, Any]] = []
        if self._accept("}"):
            return {}
        while True:
            key = self.term()
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
        if kind == "string":
            utf8 = self._accept("/") and self._next()[1] == "utf8"
            data = _unescaped(text).encode("utf-8" if utf8 or not text.isascii() else "latin-1")
            return int.from_bytes(data), 8 * len(data)
        if kind != "integer":
            raise self._unexpected(text)
        bits = int(self._next()[1]) if self._accept(":") else 8
        return int(text) % (1 << bits), bits

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
        return TermError(f"{self._text!r} is not an Erlang term: {where} was not expected")


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
    if escape[0] == "x" and len(escape) > 1:
        return chr(int(escape[1:].strip("{}"), 16))
    if escape[0] in "01234567":
        return chr(int(escape, 8))
    if escape[0] == "^" and len(escape) > 1:
        return chr(ord(escape[1]) & 31)
    return _ESCAPES.get(escape, escape)


def show(value: Any) -> str:
    """Return a value as text in Erlang syntax.

    >>> show((Atom("ok"), {"size": [1, 2.5]}))
    '{ok,#{<<"size">> => [1,2.5]}}'
    """
    match value:
        case Atom():
            return _show_atom(value)
        case None | bool():
            return "nil" if value is None else str(value).lower()
        case int():
            return _show_integer(value)
        case float():
            return _show_float(value)
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


def _show_integer(number: int) -> str:
    try:
        return repr(number)
    except ValueError:  # Python limits the number of decimal digits (`sys.get_int_max_str_digits`).
        return f"{'-' if number < 0 else ''}16#{abs(number):x}"


def _show_float(number: float) -> str:
    mantissa, _e, exponent = repr(number).partition("e")
    if not exponent:
        return mantissa
    return f"{mantissa}{'' if '.' in mantissa else '.0'}e{int(exponent)}"


def _show_text(text: str) -> str:
    quoted = re.sub(r'["\\\x00-\x1f\x7f]', lambda found: _SHOWN.get(found[0]) or f"\\x{{{ord(found[0]):x}}}", text)
    return f'<<"{quoted}">>' if text.isascii() else f'<<"{quoted}"/utf8>>'
