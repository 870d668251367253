"""The messages of a gen_server call, each read in one stride.

Chapter "Protocol between Connected Nodes"; lib/stdlib, gen.erl. A caller monitors the server (MONITOR_P), sends it
`{'$gen_call', {Pid, [alias | Ref]}, Request}` (REG_SEND), gets `{[alias | Ref], Reply}` (ALIAS_SEND) and takes the
monitor back (DEMONITOR_P). A message that is written in any other way, as by releases before 24, is none of ours, and
`control.parse` reads it.
"""

import re
from typing import NamedTuple

from beam_bpy.protocol.control import Demonitor, Monitor, Payload, Send
from beam_bpy.protocol.framing import Frame
from beam_bpy.protocol.identifiers import HEADER, pid_of, reference_of
from vendor_term_codec import Atom, Pid, Reference, encode_term

_MONITOR_P = 19


class From(NamedTuple):
    """Who makes a gen_server call: `{Pid, Tag}`.

    Attributes:
        pid: the caller.
        tag: what the reply has to begin with, encoded as it came.
        ref: the reference in the tag: the caller's monitor on the server; None if it holds none.
        is_alias: whether the reply goes to that reference instead of the pid.
    """

    pid: Pid
    tag: bytes
    ref: Reference | None
    is_alias: bool


class GenCall(NamedTuple):
    """A gen_server call to a registered name.

    Attributes:
        message: the message as it came.
        caller: its `From`.
        request: its request.
    """

    message: Send
    caller: From
    request: Payload


class GenReader:
    """Reads the calls of one node.

    Args:
        node_name: the node that they come from.
    """

    def __init__(self, node_name: str) -> None:
        pid, references = pid_of(node_name), reference_of(node_name)
        alias = b"l\0\0\0\1" + encode_term(Atom("alias"))
        gen_call = b"h\3" + encode_term(Atom("$gen_call"))
        self._send = re.compile(b"%sh\4a\6(%s)w\0w" % (HEADER, pid), re.DOTALL).match
        self._call = re.compile(
            b"%sh\2(%s)(%s(%s))" % (re.escape(gen_call), pid, re.escape(alias), references), re.DOTALL
        ).match
        self._monitor = re.compile(b"%sh\4a[\x13\x14](%s)w" % (HEADER, pid), re.DOTALL).match
        self._reference = re.compile(references, re.DOTALL).fullmatch

    def read_call(self, frame: Frame) -> GenCall | None:
        """The gen_server call that a REG_SEND is; None if it is something else, or is written in another way."""
        head = self._send(frame)
        if head is None:
            return None
        name, payload_at = _name(frame, head.end())
        found = self._call(frame, payload_at)
        if name is None or found is None:
            return None
        pid, tag, ref = found.groups()
        message = Send(Pid.from_ext(head[1]), name, Payload(frame, payload_at))
        caller = From(Pid.from_ext(pid), tag, Reference.from_ext(ref), is_alias=True)
        return GenCall(message, caller, Payload(frame, found.end()))

    def read_monitor(self, frame: Frame) -> Monitor | Demonitor | None:
        """The MONITOR_P or DEMONITOR_P of a registered name that a message is; None if it is something else."""
        head = self._monitor(frame)
        if head is None:
            return None
        name, reference_at = _name(frame, head.end())
        found = self._reference(frame, reference_at)
        if name is None or found is None:
            return None
        event = Monitor if frame[6] == _MONITOR_P else Demonitor
        return event(Pid.from_ext(head[1]), name, Reference.from_ext(found[0]))


def _name(frame: Frame, at: int) -> tuple[Atom | None, int]:
    """The name of which a SMALL_ATOM_UTF8_EXT has the length at `at`, None if it is none, and the offset behind it."""
    try:
        end = at + 1 + frame[at]
        return Atom(frame[at + 1 : end].decode()), end
    except (IndexError, UnicodeDecodeError):
        return None, at
