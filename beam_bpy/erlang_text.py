"""Values as text in Erlang syntax, for the command line and for log messages.

Source of the syntax: Erlang reference manual, chapter "Data Types".
"""

import re
from typing import Any

from vendor_term_codec import Atom, BitString, ImproperList, PairsMap

_SHOWN = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_PLAIN_ATOM = re.compile(r"[a-z][a-zA-Z0-9_@]*\Z")
_KEYWORDS = """
after and andalso band begin bnot bor bsl bsr bxor case catch cond div else end fun if let maybe not of or orelse
receive rem try when xor
"""
_RESERVED = frozenset(_KEYWORDS.split())


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
