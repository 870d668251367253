"""A second reader for the messages that make up nearly all traffic: the calls of erpc and gen_server.

It reads a message by one regular expression instead of term by term, and returns the event that
`control_reader.parse` returns for the same bytes, or None for each message that it does not know. The fields of one
node's pids and references differ only in numbers of known sizes (chapter "External Term Format", NEW_PID_EXT and
NEWER_REFERENCE_EXT), so the expressions are made for one peer.

Without this reader, erpc calls run at 0.51 (inline, 64 callers) to 0.76 (`serve_forever`, one caller) of the rate, and
gen_server calls of 64 callers at 0.60 (docs/bench/without.md).
"""

import re
import struct
from collections.abc import Callable

from beam_bpy.protocol.control import Demonitor, Monitor, Payload, Send
from beam_bpy.protocol.erpc import EXECUTE_CALL, MONITORED, ErpcCall
from beam_bpy.protocol.framing import DIST_HEADER, Frame
from beam_bpy.protocol.gen_server import CALL, From, GenCall
from beam_bpy.protocol.opcodes import Opcode
from vendor_term_codec import Atom, Pid, Reference, encode_term, list_of, tags, tuple_of

FastEvent = ErpcCall | GenCall | Monitor | Demonitor

_OPCODE_AT = len(DIST_HEADER) + 3
"""Behind the header stand the tag and arity of the control tuple, and the tag of a small integer."""

_WORDS = (3, 5, 1, 2, 4)
"""The lengths of references in words of four bytes, the frequent ones first: 3, and 5 of an alias since OTP 26."""

_MONITOR_P = int(Opcode.MONITOR_P)
_SMALL_ATOM_UTF8, _LIST, _NIL, _STRING = tags.SMALL_ATOM_UTF8, tags.LIST, tags.NIL, tags.STRING
_unpack_u16 = struct.Struct(">H").unpack_from
_unpack_u32 = struct.Struct(">I").unpack_from
_pid, _reference = Pid.from_ext, Reference.from_ext


class FastReader:
    """Reads the frequent messages of one peer.

    Args:
        node_name: the full name of the peer.

    Attributes:
        read: returns the event of a message, None for one that `control_reader.parse` has to read.
    """

    def __init__(self, node_name: str) -> None:
        node = re.escape(encode_term(Atom(node_name)))
        pid = re.escape(bytes((tags.NEW_PID,))) + node + b".{12}"
        ref = b"|".join(
            b"%s%s.{%d}" % (re.escape(bytes((tags.NEWER_REFERENCE, 0, words))), node, 4 + 4 * words) for words in _WORDS
        )
        atom = re.escape(bytes((_SMALL_ATOM_UTF8,)))
        self._erpc_call = _pattern(
            b"%s(%s)(%s)%s%s(%s)%s", _head(6, Opcode.SPAWN_REQUEST), ref, pid, pid, _erpc_fixed(), ref, atom
        )
        unused = re.escape(encode_term(Atom("")))
        self._reg_send = _pattern(b"%s(%s)%s%s", _head(4, Opcode.REG_SEND), pid, unused, atom)
        self._gen_call = _pattern(b"%s(%s)(%s(%s))", _gen_call_fixed(), pid, _alias_fixed(), ref)
        monitor = b"(?:%s|%s)" % (_head(4, Opcode.MONITOR_P), _head(4, Opcode.DEMONITOR_P))
        self._monitor = _pattern(b"%s(%s)%s", monitor, pid, atom)
        self._ref = re.compile(ref, re.DOTALL).fullmatch
        self._readers: dict[int, Callable[[Frame], FastEvent | None]] = {
            Opcode.SPAWN_REQUEST: self._read_erpc_call,
            Opcode.REG_SEND: self._read_gen_call,
            Opcode.MONITOR_P: self._read_monitor,
            Opcode.DEMONITOR_P: self._read_monitor,
        }

    def read(self, frame: Frame) -> FastEvent | None:
        """The event that a message stands for; None for a message that `control_reader.parse` has to read."""
        reader = self._readers.get(frame[_OPCODE_AT]) if len(frame) > _OPCODE_AT else None
        return reader(frame) if reader is not None else None

    def _read_erpc_call(self, frame: Frame) -> ErpcCall | None:
        found = self._erpc_call(frame)
        if found is None:
            return None
        at = found.end()
        try:
            function_at = at + 1 + frame[at]
            arguments_at = function_at + 2 + frame[function_at + 1]
            module = frame[at + 1 : function_at].decode()
            function = frame[function_at + 2 : arguments_at].decode()
            tag = frame[arguments_at]
            if tag == _LIST:
                arity = _unpack_u32(frame, arguments_at + 1)[0]
            elif tag == _NIL:
                arity = 0
            elif tag == _STRING:
                arity = _unpack_u16(frame, arguments_at + 1)[0]
            else:
                return None
        except (IndexError, UnicodeDecodeError, struct.error):
            return None
        if frame[function_at] != _SMALL_ATOM_UTF8:
            return None
        ref, sender, call_ref = found.groups()
        return ErpcCall(_reference(ref), _pid(sender), call_ref, module, function, arity, Payload(frame, arguments_at))

    def _read_gen_call(self, frame: Frame) -> GenCall | None:
        head = self._reg_send(frame)
        if head is None:
            return None
        name, payload_at = _name(frame, head.end())
        found = self._gen_call(frame, payload_at)
        if name is None or found is None:
            return None
        pid, tag, ref = found.groups()
        message = Send(_pid(head[1]), name, Payload(frame, payload_at))
        return GenCall(message, From(_pid(pid), tag, _reference(ref), True), Payload(frame, found.end()))

    def _read_monitor(self, frame: Frame) -> Monitor | Demonitor | None:
        head = self._monitor(frame)
        if head is None:
            return None
        name, reference_at = _name(frame, head.end())
        found = self._ref(frame, reference_at)
        if name is None or found is None:
            return None
        event = Monitor if frame[_OPCODE_AT] == _MONITOR_P else Demonitor
        return event(_pid(head[1]), name, _reference(found[0]))


def _pattern(template: bytes, *parts: bytes) -> "Callable[..., re.Match[bytes] | None]":
    return re.compile(template % parts, re.DOTALL).match


def _head(arity: int, opcode: Opcode) -> bytes:
    """The beginning of a message: header, control tuple, opcode."""
    return re.escape(DIST_HEADER + tuple_of(encode_term(int(opcode)), *[b""] * (arity - 1)))


def _erpc_fixed() -> bytes:
    """The bytes between the group leader and the reference of a call: function, options, head of the arguments."""
    arguments = list_of(*[b""] * EXECUTE_CALL[2])[:-1]
    return re.escape(encode_term(EXECUTE_CALL) + encode_term(MONITORED) + arguments)


def _gen_call_fixed() -> bytes:
    """The beginning of the message of a call, up to its pid."""
    return re.escape(tuple_of(encode_term(CALL), tuple_of(b"", b""), b""))


def _alias_fixed() -> bytes:
    """The beginning of a tag `[alias | Ref]`, up to the reference."""
    return re.escape(list_of(encode_term(Atom("alias")))[:-1])


def _name(frame: Frame, at: int) -> tuple[Atom | None, int]:
    """The atom whose length stands at `at`, None if it is none, and the offset behind it."""
    try:
        end = at + 1 + frame[at]
        return Atom(frame[at + 1 : end].decode()), end
    except (IndexError, UnicodeDecodeError):
        return None, at
