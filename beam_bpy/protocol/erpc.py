"""The message that nearly all traffic is made of, read in one stride: the spawn request of `erpc:call`.

Chapter "Protocol between Connected Nodes", SPAWN_REQUEST; lib/kernel, erpc.erl. A message that is written in any other
way is none of ours, and `control.parse` reads it.
"""

import re
import struct
from typing import NamedTuple

from beam_bpy.protocol.framing import Frame
from beam_bpy.protocol.identifiers import HEADER, pid_of, reference_of
from vendor_term_codec import Atom, Pid, Reference, encode_term

_unpack_u16 = struct.Struct(">H").unpack_from
_unpack_u32 = struct.Struct(">I").unpack_from
_SMALL_ATOM_UTF8 = 119
_LIST = 108
_NIL = 106
_STRING = 107


class ErpcCall(NamedTuple):
    """A spawn request for `erpc:execute_call(CallRef, Module, Function, Arguments)`, monitored.

    Attributes:
        ref: the caller's monitor, and the id of the request.
        sender: the caller.
        call_ref: the external form of the reference that the answer has to hold.
        module: what is called, as the characters of an atom.
        function: likewise.
        arity: the number of arguments.
        data: the message.
        offset: where in it the list of arguments begins.
    """

    ref: Reference
    sender: Pid
    call_ref: bytes
    module: str
    function: str
    arity: int
    data: Frame
    offset: int


def _length(frame: Frame, offset: int) -> int | None:
    """How many elements the list at `offset` has; None if none stands there."""
    tag = frame[offset]
    if tag == _LIST:
        return int(_unpack_u32(frame, offset + 1)[0])
    if tag == _STRING:
        return int(_unpack_u16(frame, offset + 1)[0])
    return 0 if tag == _NIL else None


class ErpcReader:
    """Reads the calls of one node.

    Args:
        node_name: the node that they come from.
    """

    def __init__(self, node_name: str) -> None:
        pid, references = pid_of(node_name), reference_of(node_name)
        fixed = encode_term((Atom("erpc"), Atom("execute_call"), 4)) + encode_term([Atom("monitor")])
        head = HEADER + bytes((104, 6, 97, 29))
        arguments = b"l\0\0\0\4"
        self._match = re.compile(
            b"%s(%s)(%s)%s%s(%s)w" % (re.escape(head), references, pid, pid, re.escape(fixed + arguments), references),
            re.DOTALL,
        ).match

    def read(self, frame: Frame) -> ErpcCall | None:
        """The call that a message is; None if it is something else, or is written in another way."""
        found = self._match(frame)
        if found is None:
            return None
        at = found.end()
        try:
            function_at = at + 1 + frame[at]
            arguments_at = function_at + 2 + frame[function_at + 1]
            module = frame[at + 1 : function_at].decode()
            function = frame[function_at + 2 : arguments_at].decode()
            arity = _length(frame, arguments_at)
        except (IndexError, UnicodeDecodeError, struct.error):
            return None
        if arity is None or frame[function_at] != _SMALL_ATOM_UTF8:
            return None
        ref, sender, call_ref = found.groups()
        return ErpcCall(
            Reference.from_ext(ref), Pid.from_ext(sender), call_ref, module, function, arity, frame, arguments_at
        )


_SPAWN_REPLY = HEADER + bytes((104, 5, 97, 31))
_MONITORED = bytes((97, 2))
_EXIT = HEADER + bytes((104, 4, 97, 28))
_RETURN = encode_term(Atom("return"))


class ErpcReply(NamedTuple):
    """The answers to a call that was run at once: SPAWN_REPLY, and PAYLOAD_MONITOR_P_EXIT.

    Attributes:
        call: what is answered.
        pid: the process that it ran in.
        reason: with what it ends, encoded: `returned`, or the failure.
    """

    call: ErpcCall
    pid: Pid
    reason: bytes

    def frame(self, *, header: bool) -> bytes:
        """Both messages, each with its length; `header` is always True, as a call that was read here had one."""
        pid, sender, ref = self.pid.ext, self.call.sender.ext, self.call.ref.ext
        reply = b"".join((_SPAWN_REPLY, ref, sender, _MONITORED, pid))
        end = b"".join((_EXIT, pid, sender, ref, self.reason))
        return b"".join((len(reply).to_bytes(4), reply, len(end).to_bytes(4), end))


def returned(call_ref: bytes, value: bytes) -> bytes:
    """The reason with which the process of a call ends that has a value: `{CallRef, return, Value}`."""
    return b"".join((b"h\3", call_ref, _RETURN, value))
