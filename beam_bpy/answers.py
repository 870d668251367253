"""Who waits for a call, and how they want the answer.

SpawnAnswer          `spawn` and the like: nobody gets the value
ErpcAnswer           `erpc:call`: the reason with which the spawned process ends (lib/kernel, erpc.erl)
CastAnswer           nobody waits
GenAnswer            a gen_server call: a message (lib/stdlib, gen.erl)
RexGenAnswer         the same to `rex`, where a failure is a value
RexMessageAnswer     the bare message of a C node to `rex`
"""

from typing import NamedTuple

from beam_bpy.failures import Failure, Kind, shortened
from beam_bpy.logs import log
from beam_bpy.node import Peer, Process
from beam_bpy.protocol import control, erpc
from beam_bpy.protocol.gen import From
from vendor_term_codec import Atom, Pid, Reference, encode_term


class Caller(NamedTuple):
    """Whoever makes a call.

    Attributes:
        peer: the node that it came from.
        pid: the process that made it; None for a cast, which does not say.
    """

    peer: Peer
    pid: Pid | None


class Answer:
    """Who waits for a call, and how they want the answer.

    Args:
        process: what was called; it ends when the node stops.
        caller: who called.
    """

    def __init__(self, process: Process, caller: Caller) -> None:
        self.process = process
        self.caller = caller

    def wanted(self) -> bool:
        """False once nobody waits any more, so that the call need not run."""
        return self.process.alive

    def queued(self) -> None:
        """The call is not done at once; called on the network thread."""
        self.process.lasts()

    def abandoned(self) -> None:
        """Nobody waits any more, and the call was not run, or not to its end."""

    def returned(self, value: bytes) -> None:
        """The handler returned; `value` is encoded."""

    def failed(self, failure: Failure) -> None:
        """There is no value."""


class CastAnswer(Answer):
    """Nobody waits. It runs unless this node stops first."""

    def failed(self, failure: Failure) -> None:
        log.warning("a cast failed: %s", shortened(failure.reason))


class SpawnAnswer(Answer):
    """`spawn` and the like: nobody gets the value; who is linked or monitors gets the end."""

    def returned(self, value: bytes) -> None:
        self.process.end(_NORMAL)

    def abandoned(self) -> None:
        self.process.end(_NORMAL)

    def failed(self, failure: Failure) -> None:
        log.warning("process %s failed: %s", self.process.pid, shortened(failure.reason))
        self.process.end(encode_term(failure.exit_reason))


class ErpcAnswer(Answer):
    """`erpc:call`, and `rpc:call` since OTP 23: the process ends with `{Ref, return, Value}` or with the failure.

    Args:
        monitor: the caller's monitor on the process.
        call_ref: the call's own reference, encoded.
    """

    def __init__(self, process: Process, caller: Caller, monitor: Reference, call_ref: bytes) -> None:
        super().__init__(process, caller)
        self._monitor = monitor.ext
        self._call_ref = call_ref

    def wanted(self) -> bool:
        """False once the caller has died, given up or disconnected: each of these takes its monitor away."""
        return self.process.alive and self.process.watched(self._monitor)

    def abandoned(self) -> None:
        self.process.end(_NORMAL)

    def returned(self, value: bytes) -> None:
        self.process.end(erpc.returned(self._call_ref, value))

    def failed(self, failure: Failure) -> None:
        self.process.end(_erpc_failure(self._call_ref, failure))


def _erpc_failure(call_ref: bytes, failure: Failure) -> bytes:
    fields = [encode_term(failure.kind.value), encode_term(failure.reason)]
    if failure.kind is Kind.ERROR:
        fields.append(encode_term(failure.stack))
    return bytes((104, 1 + len(fields))) + call_ref + b"".join(fields)


class GenAnswer(Answer):
    """A gen_server call: a message `{Tag, Reply}`, or the end of the server as far as this caller can see.

    Since OTP 24 the tag is `[alias | Ref]` and the reply goes to that alias (lib/stdlib, gen.erl).

    Args:
        server: the process that was called.
        peer: where the caller is.
        source: the `From` of the call.
    """

    def __init__(self, server: Process, peer: Peer, source: From) -> None:
        super().__init__(server, Caller(peer, source.pid))
        self._source = source
        self._monitored = source.ref is not None and server.watched(source.ref.ext)

    def wanted(self) -> bool:
        """False once the caller has disconnected, or has taken back the monitor that it called with."""
        if not (self.process.alive and self.caller.peer.connected):
            return False
        ref = self._source.ref
        return not self._monitored or (ref is not None and self.process.watched(ref.ext))

    def returned(self, value: bytes) -> None:
        source = self._source
        to = source.ref if source.is_alias and source.ref is not None else source.pid
        _reply(self, to, _PAIR + source.tag + value)

    def failed(self, failure: Failure) -> None:
        reason, ref = encode_term(failure.exit_reason), self._source.ref
        if ref is None or not self.process.node.end_watch(self.process, ref, reason):
            self.returned(encode_term(failure.badrpc))


class RexGenAnswer(GenAnswer):
    """A gen_server call to rex: a failure is a value there."""

    def failed(self, failure: Failure) -> None:
        self.returned(encode_term(failure.badrpc))


class RexMessageAnswer(Answer):
    """The bare message of a C node to rex, answered `{rex, Value}` (erl_interface, `ei_rpc_to`)."""

    def __init__(self, server: Process, peer: Peer, pid: Pid) -> None:
        super().__init__(server, Caller(peer, pid))
        self._pid = pid

    def wanted(self) -> bool:
        """False once the caller's node has disconnected."""
        return self.process.alive and self.caller.peer.connected

    def returned(self, value: bytes) -> None:
        _reply(self, self._pid, _PAIR + _REX + value)

    def failed(self, failure: Failure) -> None:
        self.returned(encode_term(failure.badrpc))


def _reply(answer: Answer, to: Pid | Reference, message: bytes) -> None:
    peer, pid = answer.caller.peer, answer.process.pid
    peer.send(control.send(peer.flags, pid, to, message), pid)


_NORMAL = encode_term(Atom("normal"))
_REX = encode_term(Atom("rex"))
_PAIR = bytes((104, 2))
