"""Types for the Erlang terms that have no Python type.

All types are immutable and can be pickled. A value can be hashed if its contents can be hashed. A decoded value encodes
to the same term.

Pids, ports and references store only their external form. This form is canonical: it has the newest tag that all
releases since OTP 25 can read, and the node name is a UTF-8 atom. So decoding one is a slice, encoding one is an
append, and two of them are equal if their bytes are equal. The properties read the fields from these bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn, Self, TypeVar, cast, overload

from . import tags

_Default = TypeVar("_Default")

MAX_ATOM_CHARACTERS = 255
MAX_REFERENCE_WORDS = 5
MAX_FREE_VARIABLES = 255

_pack_pid = struct.Struct(">III").pack
_pack_port = struct.Struct(">QI").pack
_unpack_pid = struct.Struct(">III").unpack
_new = object.__new__
_unpack_port = struct.Struct(">QI").unpack


class Atom(str):
    """An atom: a `str` that is encoded as an atom. Its repr is `Atom('name')`.

    An Atom equals the str with the same characters. Erlang limits an atom to 255 characters; `encode` raises
    EncodeError for a longer one. The atoms nil, true and false are decoded to None, True and False, not to an Atom.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Atom({str.__repr__(self)})"


def atom_ext(name: str) -> bytes:
    """Return the external form of the atom `name`: SMALL_ATOM_UTF8_EXT, or ATOM_UTF8_EXT if it has more than 255 bytes.

    Raises:
        ValueError: `name` has more than 255 characters, or contains a lone surrogate.
    """
    if len(name) > MAX_ATOM_CHARACTERS:
        raise ValueError(f"an atom has at most {MAX_ATOM_CHARACTERS} characters, this one has {len(name)}")
    raw = name.encode()
    if len(raw) <= 255:
        return bytes((tags.SMALL_ATOM_UTF8, len(raw))) + raw
    return bytes((tags.ATOM_UTF8,)) + len(raw).to_bytes(2, "big") + raw


class _Immutable:
    __slots__ = ()

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is immutable")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is immutable")


class _Identifier(_Immutable):
    """The base class of pids, ports and references.

    Attributes:
        ext: the external form, without the version byte.
    """

    __slots__ = ("ext",)
    ext: bytes
    _node_at: ClassVar[int] = 1

    @classmethod
    def from_ext(cls, ext: bytes) -> Self:
        """Create a value from its canonical external form, without the version byte. The form is not checked."""
        self = _new(cls)
        _set_ext(self, ext)
        return self

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self.ext == other.ext

    def __hash__(self) -> int:
        return hash(self.ext)

    def _split(self) -> tuple[str, bytes]:
        """Return the node name and the encoded fields that follow it."""
        ext, at = self.ext, self._node_at
        start = at + 2 if ext[at] == tags.SMALL_ATOM_UTF8 else at + 3
        end = start + int.from_bytes(ext[at + 1 : start], "big")
        return ext[start:end].decode(), ext[end:]

    @property
    def node(self) -> Atom:
        """The name of the node that created it."""
        return Atom(self._split()[0])

    def is_of(self, node: bytes) -> bool:
        """Return True if the node created it. `node` is the external form of the node name, from `encode_term`."""
        return self.ext.startswith(node, self._node_at)


# To write to the slot directly takes a third of the time of object.__setattr__.
_set_ext = _Identifier.__dict__["ext"].__set__


class Pid(_Identifier):
    """A process identifier (NEW_PID_EXT). `str()` gives `<app@host.123.0>`.

    Args:
        node: the node name, such as "app@host".
        id, serial, creation: unsigned 32-bit integers.

    Raises:
        ValueError: a number is out of range, or the node name cannot be an atom.
    """

    __slots__ = ()

    def __init__(self, node: str, id: int, serial: int, creation: int) -> None:
        try:
            fields = _pack_pid(id, serial, creation)
        except struct.error:
            raise ValueError("id, serial and creation of a pid are unsigned 32-bit integers") from None
        object.__setattr__(self, "ext", bytes((tags.NEW_PID,)) + atom_ext(node) + fields)

    def _fields(self) -> tuple[str, int, int, int]:
        node, raw = self._split()
        return node, *_unpack_pid(raw)

    @property
    def id(self) -> int:
        """The first number in the form that Erlang prints."""
        return self._fields()[1]

    @property
    def serial(self) -> int:
        """The second number in the form that Erlang prints."""
        return self._fields()[2]

    @property
    def creation(self) -> int:
        """The creation of the node, a number that differs after each start of the node."""
        return self._fields()[3]

    def __reduce__(self) -> tuple[type[Self], tuple[str, int, int, int]]:
        return type(self), self._fields()

    def __repr__(self) -> str:
        return f"Pid{self._fields()!r}"

    def __str__(self) -> str:
        node, id, serial, _ = self._fields()
        return f"<{node}.{id}.{serial}>"


class Port(_Identifier):
    """A port identifier (V4_PORT_EXT). `str()` gives `#Port<app@host.6>`.

    Args:
        node: the node name, such as "app@host".
        id: an unsigned 64-bit integer.
        creation: an unsigned 32-bit integer.

    Raises:
        ValueError: a number is out of range, or the node name cannot be an atom.
    """

    __slots__ = ()

    def __init__(self, node: str, id: int, creation: int) -> None:
        try:
            fields = _pack_port(id, creation)
        except struct.error:
            raise ValueError(
                "the id of a port is an unsigned 64-bit integer, its creation an unsigned 32-bit integer"
            ) from None
        object.__setattr__(self, "ext", bytes((tags.V4_PORT,)) + atom_ext(node) + fields)

    def _fields(self) -> tuple[str, int, int]:
        node, raw = self._split()
        return node, *_unpack_port(raw)

    @property
    def id(self) -> int:
        """The number in the form that Erlang prints."""
        return self._fields()[1]

    @property
    def creation(self) -> int:
        """The creation of the node, a number that differs after each start of the node."""
        return self._fields()[2]

    def __reduce__(self) -> tuple[type[Self], tuple[str, int, int]]:
        return type(self), self._fields()

    def __repr__(self) -> str:
        return f"Port{self._fields()!r}"

    def __str__(self) -> str:
        node, id, _ = self._fields()
        return f"#Port<{node}.{id}>"


class Reference(_Identifier):
    """A reference or process alias (NEWER_REFERENCE_EXT). `str()` gives `#Ref<app@host.1.2.3>`.

    Args:
        node: the node name, such as "app@host".
        creation: an unsigned 32-bit integer.
        ids: one to five unsigned 32-bit integers, in the order of the external form. Erlang prints them in reverse
            order.

    Raises:
        ValueError: a number is out of range, there are too few or too many ids, or the node name cannot be an atom.
    """

    __slots__ = ()
    _node_at = 3

    def __init__(self, node: str, creation: int, ids: Iterable[int]) -> None:
        ids = tuple(ids)
        if not 1 <= len(ids) <= MAX_REFERENCE_WORDS:
            raise ValueError(f"a reference has 1 to {MAX_REFERENCE_WORDS} ids, not {len(ids)}")
        try:
            fields = struct.pack(f">{1 + len(ids)}I", creation, *ids)
        except struct.error:
            raise ValueError("creation and ids of a reference are unsigned 32-bit integers") from None
        head = bytes((tags.NEWER_REFERENCE, 0, len(ids)))
        object.__setattr__(self, "ext", head + atom_ext(node) + fields)

    def _fields(self) -> tuple[str, int, tuple[int, ...]]:
        node, raw = self._split()
        creation, *ids = struct.unpack(f">{len(raw) // 4}I", raw)
        return node, creation, tuple(ids)

    @property
    def creation(self) -> int:
        """The creation of the node, a number that differs after each start of the node."""
        return self._fields()[1]

    @property
    def ids(self) -> tuple[int, ...]:
        """The ids of the reference, in the order of the external form."""
        return self._fields()[2]

    def __reduce__(self) -> tuple[type[Self], tuple[str, int, tuple[int, ...]]]:
        return type(self), self._fields()

    def __repr__(self) -> str:
        return f"Reference{self._fields()!r}"

    def __str__(self) -> str:
        node, _, ids = self._fields()
        return f"#Ref<{node}.{'.'.join(map(str, reversed(ids)))}>"


def _is_integer(value: object, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high


@dataclass(frozen=True, slots=True)
class Export:
    """An external fun, `fun module:function/arity` (EXPORT_EXT).

    Attributes:
        module, function: the names; a str is converted to an Atom.
        arity: the number of parameters, 0 to 255.

    Raises:
        ValueError: the arity is not an integer from 0 to 255.
    """

    module: str
    function: str
    arity: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "module", Atom(self.module))
        object.__setattr__(self, "function", Atom(self.function))
        if not _is_integer(self.arity, 0, 255):
            raise ValueError("the arity of an Export is an integer from 0 to 255")

    def __str__(self) -> str:
        return f"fun {self.module}:{self.function}/{self.arity}"


@dataclass(frozen=True, slots=True, eq=False)
class Fun:
    """A fun that a BEAM node created (NEW_FUN_EXT). Python cannot call it, but can store it and send it to a node.

    Attributes:
        arity: the number of parameters, 0 to 255.
        uniq: the 16 bytes of the MD5 of the significant parts of the module's BEAM file.
        index: the number of the fun in its module, an unsigned 32-bit integer.
        module: the name of the module; a str is converted to an Atom.
        old_index, old_uniq: the index and the hash of the fun's parse in older releases, signed 32-bit integers.
        pid: the process that created the fun.
        free: the values of the free variables, at most 255; any iterable is converted to a tuple.

    Raises:
        ValueError: a field has the wrong type, or is out of range.
    """

    arity: int
    uniq: bytes
    index: int
    module: str
    old_index: int
    old_uniq: int
    pid: Pid
    free: tuple[Any, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "module", Atom(self.module))
        object.__setattr__(self, "free", tuple(self.free))
        if len(self.free) > MAX_FREE_VARIABLES:
            raise ValueError(f"a Fun has at most {MAX_FREE_VARIABLES} free variables, not {len(self.free)}")
        if not _is_integer(self.arity, 0, 255) or not _is_integer(self.index, 0, 2**32 - 1):
            raise ValueError("the arity of a Fun is an integer from 0 to 255, its index an unsigned 32-bit integer")
        if not all(_is_integer(old, -(2**31), 2**31 - 1) for old in (self.old_index, self.old_uniq)):
            raise ValueError("old_index and old_uniq of a Fun are 32-bit integers")
        if type(self.uniq) is not bytes or len(self.uniq) != 16 or type(self.pid) is not Pid:
            raise ValueError("uniq of a Fun is 16 bytes, and its pid a Pid")

    def __eq__(self, other: object) -> bool:
        return exact(self) == exact(other) if type(other) is Fun else NotImplemented

    def __hash__(self) -> int:
        return hash(exact(self))

    def __str__(self) -> str:
        return f"#Fun<{self.module}.{self.index}.{self.old_uniq}>"


class BitString(_Immutable):
    """A bitstring whose length is not a multiple of eight bits (BIT_BINARY_EXT).

    Args:
        data: the bytes, at least one.
        bits: the number of bits of the last byte that belong to the bitstring, 1 to 7, from the most significant bit
            down. The other bits are set to 0.

    Raises:
        ValueError: `data` is empty, or `bits` is out of range.
    """

    __slots__ = ("bits", "data")
    data: bytes
    bits: int

    def __init__(self, data: bytes, bits: int) -> None:
        if not data or not 1 <= bits <= 7:
            raise ValueError("a BitString has at least one byte, and uses 1 to 7 bits of its last byte")
        last = data[-1] & (0xFF00 >> bits)
        object.__setattr__(self, "data", bytes(data[:-1]) + bytes((last,)))
        object.__setattr__(self, "bits", bits)

    def __len__(self) -> int:
        """Return its length in bits."""
        return len(self.data) * 8 - 8 + self.bits

    def __eq__(self, other: object) -> bool:
        if type(other) is not BitString:
            return NotImplemented
        return self.bits == other.bits and self.data == other.data

    def __hash__(self) -> int:
        return hash((self.data, self.bits))

    def __reduce__(self) -> tuple[type[Self], tuple[bytes, int]]:
        return type(self), (self.data, self.bits)

    def __repr__(self) -> str:
        return f"BitString({self.data!r}, {self.bits})"


class ImproperList(_Immutable):
    """A list whose tail is not a list, `[1, 2 | Tail]`.

    Args:
        elements: the elements before the bar, at least one.
        tail: the tail after the bar; any value except a list.

    Raises:
        ValueError: there are no elements, or the tail is a list.
    """

    __slots__ = ("elements", "tail")
    elements: tuple[Any, ...]
    tail: Any

    def __init__(self, elements: Iterable[Any], tail: Any) -> None:
        elements = tuple(elements)
        if not elements or isinstance(tail, list | ImproperList):
            raise ValueError("an ImproperList has at least one element, and a tail that is not a list")
        object.__setattr__(self, "elements", elements)
        object.__setattr__(self, "tail", tail)

    def __eq__(self, other: object) -> bool:
        return exact(self) == exact(other) if type(other) is ImproperList else NotImplemented

    def __hash__(self) -> int:
        return hash(exact(self))

    def __reduce__(self) -> tuple[type[Self], tuple[tuple[Any, ...], Any]]:
        return type(self), (self.elements, self.tail)

    def __repr__(self) -> str:
        return f"ImproperList({self.elements!r}, {self.tail!r})"


class PairsMap(_Immutable):
    """A map that a dict cannot hold.

    A dict cannot hold two keys that are equal in Python but not in Erlang (1, 1.0 and true), and no key that Python
    cannot hash (a list). A PairsMap keeps its pairs in order, and compares keys as Erlang's `=:=` does. A lookup
    compares the keys one after the other.

    Args:
        pairs: (key, value) tuples.

    Raises:
        ValueError: two keys are the same term.
    """

    __slots__ = ("_pairs",)
    _pairs: tuple[tuple[Any, Any], ...]

    def __init__(self, pairs: Iterable[tuple[Any, Any]]) -> None:
        kept = tuple((key, value) for key, value in pairs)
        if len({exact(key) for key, _ in kept}) != len(kept):
            raise ValueError("a map contains the same key twice")
        object.__setattr__(self, "_pairs", kept)

    def items(self) -> tuple[tuple[Any, Any], ...]:
        """Return the (key, value) pairs."""
        return self._pairs

    def keys(self) -> tuple[Any, ...]:
        """Return the keys."""
        return tuple(key for key, _ in self._pairs)

    def values(self) -> tuple[Any, ...]:
        """Return the values."""
        return tuple(value for _, value in self._pairs)

    @overload
    def get(self, key: object) -> Any: ...
    @overload
    def get(self, key: object, default: _Default) -> Any | _Default: ...
    def get(self, key: object, default: Any = None) -> Any:
        """Return the value of `key`, or `default` if there is no such key. The keys 1, 1.0 and True are different."""
        wanted = exact(key)
        return next((value for key, value in self._pairs if exact(key) == wanted), default)

    def __len__(self) -> int:
        return len(self._pairs)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.keys())

    def __contains__(self, key: object) -> bool:
        wanted = exact(key)
        return any(exact(key) == wanted for key, _ in self._pairs)

    def __getitem__(self, key: object) -> Any:
        if key not in self:
            raise KeyError(key)
        return self.get(key)

    def __eq__(self, other: object) -> bool:
        return exact(self) == exact(other) if type(other) is PairsMap else NotImplemented

    def __hash__(self) -> int:
        return hash(exact(self))

    def __reduce__(self) -> tuple[type[Self], tuple[tuple[tuple[Any, Any], ...]]]:
        return type(self), (self._pairs,)

    def __repr__(self) -> str:
        return f"PairsMap({self._pairs!r})"


_CONSTANTS = {None: "nil", True: "true", False: "false"}


def exact(value: Any, signed_zero: bool = True) -> Hashable:
    """Return a hashable value that represents the term of `value`.

    Two results are equal if and only if Erlang's `=:=` is true for the two terms.

    Args:
        value: a value of the types that `decode` gives.
        signed_zero: True: 0.0 and -0.0 are different, as in OTP 27 and later. False: they are the same.
    """
    if value is None or value is True or value is False:
        return Atom, _CONSTANTS[value]
    if isinstance(value, Atom):
        return Atom, str(value)
    if isinstance(value, str):
        return bytes, value.encode(errors="surrogatepass")
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes, bytes(value)
    if isinstance(value, int):
        return int, hex(value)  # A sender could choose many numbers with the same hash; strings have a secret seed.
    if isinstance(value, float):
        return float, struct.pack(">d", value if value or signed_zero else 0.0)
    if isinstance(value, list):
        return list, tuple([exact(item, signed_zero) for item in value])
    if isinstance(value, tuple):
        return tuple, tuple([exact(item, signed_zero) for item in value])
    if isinstance(value, dict | PairsMap):
        pairs = value.items()
        return dict, frozenset([(exact(key, signed_zero), exact(item, signed_zero)) for key, item in pairs])
    if isinstance(value, ImproperList):
        return ImproperList, exact(value.elements, signed_zero), exact(value.tail, signed_zero)
    if isinstance(value, Fun):
        return Fun, *[exact(getattr(value, field), signed_zero) for field in Fun.__slots__]
    if hasattr(value, "tolist"):
        return exact(value.tolist(), signed_zero)
    return cast(Hashable, value)
