"""Erlang's External Term Format: bytes to Python values and back.

    >>> from vendor_term_codec import Atom, decode, encode
    >>> decode(encode((Atom("ok"), {"size": [1.0, 2.5]})))
    (Atom('ok'), {'size': [1.0, 2.5]})

Pure Python, no dependency; numpy arrays are understood where numpy is in use.
The format: https://www.erlang.org/doc/apps/erts/erl_ext_dist.html
"""

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
