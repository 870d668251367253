"""The codecs that `bench/codec_bench.py` compares, each with the values that it takes for a term.

The peers come from the package index and are no dependency of the project, so they are imported by name.
"""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import numpy

from vendor_term_codec import Atom, Pid, Reference, decode, encode

OURS = "vendor_term_codec"
BEAM = "BEAM"
PURE = ("erlang_py", "erlastic")
NATIVE = ("earl", "erlpack")


@dataclass(frozen=True)
class Codec:
    """A codec written for Python.

    Attributes:
        name: what the table calls it.
        encode, decode: its functions.
        leaf: what it takes in the place of one of our values that is no list, tuple or dict.
        mode: the name of the mode, where it is one of ours.
    """

    name: str
    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]
    leaf: Callable[[Any], Any] = lambda value: value
    mode: str = ""

    def prepare(self, value: Any) -> Any:
        """Our `value` in the types of this codec."""
        if type(value) is list or type(value) is tuple:
            if self.mode == "arrays":
                return numpy.array(value)
            return type(value)(map(self.prepare, value))
        if type(value) is dict:
            return {self.leaf(key): self.prepare(item) for key, item in value.items()}
        return self.leaf(value)


def ours() -> list[Codec]:
    """The plain way first, then the modes."""
    return [
        Codec(OURS, encode, decode),
        Codec(OURS, encode, partial(decode, arrays=True), mode="arrays"),
        Codec(OURS, encode, partial(decode, binaries=memoryview), memoryview, mode="views"),
    ]


def peers() -> list[Codec]:
    """The other codecs for Python, pure ones first."""
    return [_erlang_py(), _erlastic(), _earl(), _erlpack()]


def versions() -> dict[str, str]:
    """The releases of the peers and of numpy."""
    names = {"earl": "earl-etf"}
    return {name: metadata.version(names.get(name, name)) for name in (*PURE, *NATIVE, "numpy")}


def _erlang_py() -> Codec:
    erlang: Any = import_module("erlang")
    erlang.set_undefined(b"nil")

    def leaf(value: Any) -> Any:
        if type(value) is Atom:
            return erlang.OtpErlangAtom(str(value))
        if type(value) is str:
            return erlang.OtpErlangBinary(value.encode())
        if type(value) is bytes:
            return erlang.OtpErlangBinary(value)
        if type(value) is Pid:
            node = erlang.OtpErlangAtom(str(value.node))
            return erlang.OtpErlangPid(node, *(_word(part) for part in (value.id, value.serial, value.creation)))
        if type(value) is Reference:
            node = erlang.OtpErlangAtom(str(value.node))
            return erlang.OtpErlangReference(node, b"".join(map(_word, value.ids)), _word(value.creation))
        return value

    return Codec("erlang_py", erlang.term_to_binary, erlang.binary_to_term, leaf)


def _word(number: int) -> bytes:
    return number.to_bytes(4, "big")


def _typed(module: Any, value: Any) -> Any:
    """`value` in the types that erlastic and erlpack have in common."""
    if type(value) is Atom:
        return module.Atom(value)
    if type(value) is Pid:
        return module.PID(module.Atom(value.node), value.id, value.serial, value.creation)
    if type(value) is Reference:
        return module.Reference(module.Atom(value.node), value.ids, value.creation)
    return value


def _erlastic() -> Codec:
    erlastic: Any = import_module("erlastic")

    def leaf(value: Any) -> Any:
        return erlastic.Atom("nil") if value is None else _typed(erlastic, value)  # its own None is the atom none

    return Codec("erlastic", erlastic.encode, erlastic.decode, leaf)


def _erlpack() -> Codec:
    erlpack: Any = import_module("erlpack")
    return Codec("erlpack", erlpack.pack, erlpack.unpack, partial(_typed, erlpack))


def _earl() -> Codec:
    # It has no type for atoms: told to write str as atoms, it still writes bytes as binaries.
    earl: Any = import_module("earl")

    def leaf(value: Any) -> Any:
        if type(value) is Atom:
            return str(value)
        return value.encode() if type(value) is str else value

    return Codec("earl", partial(earl.pack, encode_mode=earl.ENCODE_AS_ATOM), earl.unpack, leaf)


class Beam:
    """`term_to_binary` and `binary_to_term`, in a BEAM that runs beside.

    Args:
        folder: holds the terms as NAME.MINOR_VERSION.term; the BEAM writes NAME.beam beside each.
    """

    def __init__(self, folder: Path) -> None:
        script = Path(__file__).with_name("codec_beam.escript")
        self._process = subprocess.Popen(
            ["escript", str(script), str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.release = self._answer()

    def time(self, direction: str, name: str, count: int) -> float:
        """The seconds that `count` runs take."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{direction} {name} {count}\n")
        self._process.stdin.flush()
        return int(self._answer()) / 1e9

    def close(self) -> None:
        """End the BEAM."""
        self._process.communicate(timeout=10)

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line:
            raise RuntimeError("the BEAM's side of the measurement has ended; what it said stands above")
        return line
