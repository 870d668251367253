"""The terms that Python has no type for.

Each is immutable, hashable as far as its contents are, pickles, and encodes back to the term that it came from.

Pids, ports and references hold nothing but their external form, written in one canonical way: the newest tag that
every release from 25 on reads, and the node's name as a UTF-8 atom. To decode one is a slice, to encode one is an
append, and two of them are equal if their bytes are. Their fields are read from the bytes when someone asks.
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

_pack_pid = struct.Struct(">III").pack
_pack_port = struct.Struct(">QI").pack
_unpack_pid = struct.Struct(">III").unpack
_new = object.__new__
_unpack_port = struct.Struct(">QI").unpack


class Atom(str):
    """An atom: a `str` that encodes to an atom and shows as `Atom('name')`.

    An Atom equals the str of the same characters. Erlang limits an atom to 255 characters; a longer one is an
    EncodeError when it is encoded. The atoms nil, true and false decode to None, True and False instead.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Atom({str.__repr__(self)})"


def atom_ext(name: str) -> bytes:
    """The external form of the atom `name` (SMALL_ATOM_UTF8_EXT, or ATOM_UTF8_EXT beyond 255 bytes).

    Raises ValueError if `name` has more than 255 characters or holds a lone surrogate.
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
    """What pids, ports and references share: the external form, without the leading 131, in `ext`."""

    __slots__ = ("ext",)
    ext: bytes
    _node_at: ClassVar[int] = 1

    @classmethod
    def from_ext(cls, ext: bytes) -> Self:
        """Wrap an external form that is known to be canonical; nothing is checked."""
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
        """The node's name and the fixed fields that follow it."""
        ext, at = self.ext, self._node_at
        start = at + 2 if ext[at] == tags.SMALL_ATOM_UTF8 else at + 3
        end = start + int.from_bytes(ext[at + 1 : start], "big")
        return ext[start:end].decode(), ext[end:]

    @property
    def node(self) -> Atom:
        """The name of the node that made it."""
        return Atom(self._split()[0])

    def is_of(self, node: bytes) -> bool:
        """Whether a node made it; `node` is the external form of its name, as `encode_term` writes that atom."""
        return self.ext.startswith(node, self._node_at)


# The slot itself: a third of the time that object.__setattr__ takes.
_set_ext = _Identifier.__dict__["ext"].__set__


class Pid(_Identifier):
    """A process identifier (NEW_PID_EXT). `str()` gives `<app@host.123.0>`.

    Args:
        node: name of the node, as in "app@host".
        id, serial, creation: unsigned 32-bit integers.

    Raises:
        ValueError: a field is out of its range, or the node's name is no atom.
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
        """The first number that Erlang prints."""
        return self._fields()[1]

    @property
    def serial(self) -> int:
        """The second number that Erlang prints."""
        return self._fields()[2]

    @property
    def creation(self) -> int:
        """Which incarnation of the node made it."""
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
        node: name of the node, as in "app@host".
        id: an unsigned 64-bit integer.
        creation: an unsigned 32-bit integer.

    Raises:
        ValueError: a field is out of its range, or the node's name is no atom.
    """

    __slots__ = ()

    def __init__(self, node: str, id: int, creation: int) -> None:
        try:
            fields = _pack_port(id, creation)
        except struct.error:
            raise ValueError("a port's id is an unsigned 64-bit integer, its creation a 32-bit one") from None
        object.__setattr__(self, "ext", bytes((tags.V4_PORT,)) + atom_ext(node) + fields)

    def _fields(self) -> tuple[str, int, int]:
        node, raw = self._split()
        return node, *_unpack_port(raw)

    @property
    def id(self) -> int:
        """The number that Erlang prints."""
        return self._fields()[1]

    @property
    def creation(self) -> int:
        """Which incarnation of the node made it."""
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
        node: name of the node, as in "app@host".
        creation: an unsigned 32-bit integer.
        ids: one to five unsigned 32-bit integers, in the order of the external form (Erlang prints them reversed).

    Raises:
        ValueError: a field is out of its range, or the node's name is no atom.
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
        """Which incarnation of the node made it."""
        return self._fields()[1]

    @property
    def ids(self) -> tuple[int, ...]:
        """The words of the reference, least significant first."""
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
    """An external fun, `fun module:function/arity` (EXPORT_EXT). The names are atoms; a str is made one.

    Raises:
        ValueError: the arity is no integer from 0 to 255.
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
    """A fun that was made on a BEAM node (NEW_FUN_EXT). Python cannot call it, only keep it and send it back.

    Attributes:
        arity: number of its parameters.
        uniq: the 16 bytes that identify the code of its module.
        index: its number in that module.
        module: the module's name, an atom; a str is made one.
        old_index, old_uniq: what older releases identified it by.
        pid: the process that made it.
        free: the values that it closed over.

    Raises:
        ValueError: a field is not of its type, or out of its range.
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
    """A binary whose last byte is not whole (BIT_BINARY_EXT).

    Args:
        data: the bytes, at least one.
        bits: how many bits of the last byte count, 1 to 7, from the most significant one down. The others are set to 0.

    Raises:
        ValueError: no bytes, or `bits` out of range.
    """

    __slots__ = ("bits", "data")
    data: bytes
    bits: int

    def __init__(self, data: bytes, bits: int) -> None:
        if not data or not 1 <= bits <= 7:
            raise ValueError("a BitString has at least one byte, and 1 to 7 bits of its last byte count")
        last = data[-1] & (0xFF00 >> bits)
        object.__setattr__(self, "data", bytes(data[:-1]) + bytes((last,)))
        object.__setattr__(self, "bits", bits)

    def __len__(self) -> int:
        """Its length in bits."""
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
        elements: what stands before the bar, at least one value.
        tail: what stands behind it; any value but a list.

    Raises:
        ValueError: no elements, or the tail is a list (then the whole is one too).
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
    """A map that a dict cannot hold: keys that Python takes for equal (1, 1.0 and true) or cannot hash (a list).

    It keeps its pairs in their order and looks keys up as Erlang's `=:=` does, one after the other.

    Args:
        pairs: (key, value) tuples.

    Raises:
        ValueError: the same key twice.
    """

    __slots__ = ("_pairs",)
    _pairs: tuple[tuple[Any, Any], ...]

    def __init__(self, pairs: Iterable[tuple[Any, Any]]) -> None:
        kept = tuple((key, value) for key, value in pairs)
        if len({exact(key) for key, _ in kept}) != len(kept):
            raise ValueError("the same key stands twice in a map")
        object.__setattr__(self, "_pairs", kept)

    def items(self) -> tuple[tuple[Any, Any], ...]:
        """The pairs."""
        return self._pairs

    def keys(self) -> tuple[Any, ...]:
        """The keys."""
        return tuple(key for key, _ in self._pairs)

    def values(self) -> tuple[Any, ...]:
        """The values."""
        return tuple(value for _, value in self._pairs)

    @overload
    def get(self, key: object) -> Any: ...
    @overload
    def get(self, key: object, default: _Default) -> Any | _Default: ...
    def get(self, key: object, default: Any = None) -> Any:
        """The value of `key`, or `default` (None). 1 finds neither 1.0 nor True."""
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


def exact(value: Any) -> Hashable:
    """A hashable stand-in for `value`: two of them are equal if, and only if, the terms are `=:=`.

    (The one exception: 0.0 and -0.0 differ here, as they do since OTP 27.)
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
        return int, hex(value)  # not the number: numbers can be chosen to share one hash
    if isinstance(value, float):
        return float, struct.pack(">d", value)
    if isinstance(value, list):
        return list, tuple(map(exact, value))
    if isinstance(value, tuple):
        return tuple, tuple(map(exact, value))
    if isinstance(value, dict | PairsMap):
        return dict, frozenset((exact(key), exact(item)) for key, item in value.items())
    if isinstance(value, ImproperList):
        return ImproperList, tuple(map(exact, value.elements)), exact(value.tail)
    if isinstance(value, Fun):
        return Fun, *(exact(getattr(value, field)) for field in Fun.__slots__)
    if hasattr(value, "tolist"):
        return exact(value.tolist())
    return cast(Hashable, value)
