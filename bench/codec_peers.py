"""The codecs that `bench/codec_bench.py` compares. Each one has a function to convert a value to its types.

The other codecs come from the package index. The project does not depend on them, so they are imported by name.
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
        name: the name in the table.
        encode, decode: the functions of the codec.
        leaf: converts a value of `vendor_term_codec` that is not a list, tuple or dict to the types of this codec.
        mode: the name of the mode of `vendor_term_codec`; empty for its default mode and for other codecs.
    """

    name: str
    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]
    leaf: Callable[[Any], Any] = lambda value: value
    mode: str = ""

    def prepare(self, value: Any) -> Any:
        """Convert a value of `vendor_term_codec` to the types of this codec."""
        if type(value) is list or type(value) is tuple:
            if self.mode == "arrays":
                return numpy.array(value)
            return type(value)(map(self.prepare, value))
        if type(value) is dict:
            return {self.leaf(key): self.prepare(item) for key, item in value.items()}
        return self.leaf(value)


def ours() -> list[Codec]:
    """Return our codec: the default mode first, then the other modes."""
    return [
        Codec(OURS, encode, decode),
        Codec(OURS, encode, partial(decode, arrays=True), mode="arrays"),
        Codec(OURS, encode, partial(decode, binaries=memoryview), memoryview, mode="views"),
    ]


def peers() -> list[Codec]:
    """Return the other codecs for Python, those in pure Python first."""
    return [_erlang_py(), _erlastic(), _earl(), _erlpack()]


def versions() -> dict[str, str]:
    """Return the versions of the other codecs and of numpy."""
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
    """Convert a value to the types that erlastic and erlpack both have."""
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
        return (
            erlastic.Atom("nil") if value is None else _typed(erlastic, value)
        )  # erlastic encodes None as the atom none.

    return Codec("erlastic", erlastic.encode, erlastic.decode, leaf)


def _erlpack() -> Codec:
    erlpack: Any = import_module("erlpack")
    return Codec("erlpack", erlpack.pack, erlpack.unpack, partial(_typed, erlpack))


def _earl() -> Codec:
    # earl has no type for atoms. With ENCODE_AS_ATOM, it encodes str as atoms, and bytes as binaries.
    earl: Any = import_module("earl")

    def leaf(value: Any) -> Any:
        if type(value) is Atom:
            return str(value)
        return value.encode() if type(value) is str else value

    return Codec("earl", partial(earl.pack, encode_mode=earl.ENCODE_AS_ATOM), earl.unpack, leaf)


class Beam:
    """Measures `term_to_binary` and `binary_to_term` in a BEAM process.

    Args:
        folder: the folder with the terms as NAME.MINOR_VERSION.term; for each one the BEAM writes a file NAME.beam.
    """

    def __init__(self, folder: Path) -> None:
        script = Path(__file__).with_name("codec_beam.escript")
        self._process = subprocess.Popen(
            ["escript", str(script), str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.release = self._answer()

    def time(self, direction: str, name: str, count: int) -> float:
        """Measure `count` runs. Return the time in seconds."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{direction} {name} {count}\n")
        self._process.stdin.flush()
        return int(self._answer()) / 1e9

    def close(self) -> None:
        """End the BEAM process."""
        self._process.communicate(timeout=10)

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line:
            raise RuntimeError("the BEAM's side of the measurement has ended; what it said stands above")
        return line
