"""Encode Python values to Erlang's External Term Format, and decode them.

    >>> from vendor_term_codec import Atom, decode, encode
    >>> decode(encode((Atom("ok"), {"size": [1.0, 2.5]})))
    (Atom('ok'), {'size': [1.0, 2.5]})

The package is pure Python and has no dependencies. If numpy is installed, it also encodes and decodes numpy arrays.
Source: ERTS user's guide, chapter "External Term Format", https://www.erlang.org/doc/apps/erts/erl_ext_dist.html
"""

import sys

if sys.version_info < (3, 11):
    raise ImportError(f"vendor_term_codec needs Python 3.11 or later, and this is Python {sys.version.split()[0]}")

from .decoder import decode, decode_term, list_header, tuple_header
from .encoder import encode, encode_term, list_of, tuple_of
from .errors import DecodeError, EncodeError
from .types import Atom, BitString, Export, Fun, ImproperList, PairsMap, Pid, Port, Reference

__all__ = [
    "Atom",
    "BitString",
    "DecodeError",
    "EncodeError",
    "Export",
    "Fun",
    "ImproperList",
    "PairsMap",
    "Pid",
    "Port",
    "Reference",
    "decode",
    "decode_term",
    "encode",
    "encode_term",
    "list_header",
    "list_of",
    "tuple_header",
    "tuple_of",
]
