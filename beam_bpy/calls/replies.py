"""Replies: how each kind of caller gets its answer.

ErpcProcess          `erpc:call`: the exit reason of the process that ran it (lib/kernel, erpc.erl)
SpawnReply           `spawn` and the like: nobody gets the value
ErpcCastReply        `erpc:cast`: the same
CastReply            a gen_server cast: nobody waits
GenReply             a gen_server call: a message (lib/stdlib, gen.erl)
RexGenReply          a gen_server call to `rex`, where a failure is a value
RexMessageReply      the bare message of a C node to `rex`
"""

from typing import ClassVar, NamedTuple

from beam_bpy.calls.failure_log import Waiting, log_failure
from beam_bpy.distribution.node import Node
from beam_bpy.distribution.peer import Peer
from beam_bpy.distribution.process import Process, SpawnedProcess
from beam_bpy.failures import Failure
from beam_bpy.protocol import control_writer, erpc, gen_server
from beam_bpy.protocol.erpc import ErpcCall
from beam_bpy.protocol.gen_server import From
from vendor_term_codec import Atom, Pid, Reference, encode_term, tuple_of

_NORMAL = encode_term(Atom("normal"))
_REX = encode_term(Atom("rex"))


class Caller(NamedTuple):
    """The process that makes a call.

    Attributes:
        peer: its node.
        pid: its pid; None for a cast, which does not name it.
    """

    peer: Peer
    pid: Pid | None


class Reply:
    """How one caller gets its answer.

    Attributes:
        node: our node.
        process: the process that was called.
        peer: the caller's node.
        caller_pid: the caller; None for a cast, which does not name it.
        waiting: how the caller waits.
    """

    __slots__ = ()

    node: Node
    peer: Peer
    caller_pid: Pid | None
    waiting: ClassVar[Waiting] = Waiting.CALL

    @property
    def process(self) -> Process:
        """The process that was called."""
        raise NotImplementedError

    @property
    def spawned(self) -> SpawnedProcess | None:
        """The process that was called, if it ends with the answer."""
        process = self.process
        return process if isinstance(process, SpawnedProcess) else None

    @property
    def caller(self) -> Caller:
        """The caller."""
        return Caller(self.peer, self.caller_pid)

    def is_wanted(self) -> bool:
        """False once nobody waits for the answer any more, so that the call need not run."""
        raise NotImplementedError

    def queued(self) -> None:
        """The call will not be answered at once; called on the network thread."""

    def dropped(self) -> None:
        """The call was not run, or not to its end, because nobody waits for the answer any more."""

    def returned(self, value: bytes) -> None:
        """The handler has returned the encoded `value`."""

    def failed(self, failure: Failure) -> None:
        """There is no value: log the failure, and tell the caller."""
        self.tell_failure(failure)
        log_failure(self.waiting, self.peer.name, failure)

    def tell_failure(self, failure: Failure) -> None:
        """Tell the caller that there is no value, if it waits."""


class ErpcProcess(SpawnedProcess, Reply):
    """The process of an `erpc:call`, and of `rpc:call` since OTP 23. Its exit reason is the answer.

    Args:
        node: our node.
        peer: the caller's node.
        call: the call.
    """

    __slots__ = ("call_ref",)

    node: Node

    def __init__(self, node: Node, peer: Peer, call: ErpcCall) -> None:
        super().__init__(node, peer, call.ref, call.sender)
        self.call_ref = call.call_ref

    @property
    def process(self) -> Process:
        """See `Reply`."""
        return self

    @property
    def caller_pid(self) -> Pid:  # type: ignore[override]
        """See `Reply`."""
        return self.requester

    def is_wanted(self) -> bool:
        """False once the caller has died, given up or disconnected: each of these removes its monitor."""
        if not self.introduced:
            return self.alive and self.peer.connected
        return self.alive and self.ref.ext in self.monitored_by

    def queued(self) -> None:
        """See `Reply`: the caller has to know the process soon."""
        self.peer.call_deferred(self.introduce)

    def dropped(self) -> None:
        """See `Reply`."""
        self.end(_NORMAL)

    def returned(self, value: bytes) -> None:
        """See `Reply`."""
        self.node.end_spawned(self, erpc.returned(self.call_ref, value))

    def tell_failure(self, failure: Failure) -> None:
        """See `Reply`."""
        self.end(erpc.failed(self.call_ref, failure.kind.value, failure.reason, failure.stack))


class _ProcessReply(Reply):
    """A reply that is not itself the process that was called."""

    __slots__ = ("_process", "caller_pid", "node", "peer")

    def __init__(self, node: Node, process: Process, peer: Peer, caller_pid: Pid | None) -> None:
        self.node = node
        self._process = process
        self.peer = peer
        self.caller_pid = caller_pid

    @property
    def process(self) -> Process:
        """See `Reply`."""
        return self._process

    def is_wanted(self) -> bool:
        """See `Reply`."""
        return self._process.alive

    def send(self, to: Pid | Reference, message: bytes) -> None:
        """Send an encoded message from the process that was called to the caller's node."""
        pid = self._process.pid
        self.peer.send(control_writer.send(self.peer.flags, pid, to, message), pid)


class CastReply(_ProcessReply):
    """Nobody waits. The call runs unless this node stops first."""

    __slots__ = ()

    waiting = Waiting.CAST


class SpawnReply(_ProcessReply):
    """`spawn` and the like: nobody gets the value; linked processes and monitors are told of the end."""

    __slots__ = ()

    waiting = Waiting.SPAWN

    def returned(self, value: bytes) -> None:
        """See `Reply`."""
        self._process.end(_NORMAL)

    def dropped(self) -> None:
        """See `Reply`."""
        self._process.end(_NORMAL)

    def tell_failure(self, failure: Failure) -> None:
        """See `Reply`."""
        self._process.end(encode_term(failure.exit_reason))


class ErpcCastReply(SpawnReply):
    """`erpc:cast` and `rpc:cast`, which spawn a process too."""

    __slots__ = ()

    waiting = Waiting.CAST


class GenReply(_ProcessReply):
    """A gen_server call: a message `{Tag, Reply}`; a failure is the end of the server, for this caller only.

    Args:
        node: our node.
        server: the process that was called.
        peer: the caller's node.
        source: the `From` of the call.
    """

    __slots__ = ("_monitored", "_source")

    def __init__(self, node: Node, server: Process, peer: Peer, source: From) -> None:
        super().__init__(node, server, peer, source.pid)
        self._source = source
        self._monitored = source.ref is not None and server.is_monitored(source.ref.ext)

    def is_wanted(self) -> bool:
        """False once the caller has disconnected, or has removed the monitor that it called with."""
        if not (self._process.alive and self.peer.connected):
            return False
        ref = self._source.ref
        return not self._monitored or (ref is not None and self._process.is_monitored(ref.ext))

    def returned(self, value: bytes) -> None:
        """See `Reply`."""
        source = self._source
        to = source.ref if source.is_alias and source.ref is not None else source.pid
        self.send(to, gen_server.reply(source.tag, value))

    def tell_failure(self, failure: Failure) -> None:
        """See `Reply`."""
        reason, ref = encode_term(failure.exit_reason), self._source.ref
        if ref is None or not self.node.fire_monitor(self._process, ref, reason):
            self.returned(encode_term(failure.badrpc))


class RexGenReply(GenReply):
    """A gen_server call to `rex`: a failure is a value."""

    __slots__ = ()

    def tell_failure(self, failure: Failure) -> None:
        """See `Reply`."""
        self.returned(encode_term(failure.badrpc))


class RexMessageReply(_ProcessReply):
    """The bare message of a C node to `rex`, answered with `{rex, Value}` (erl_interface, `ei_rpc_to`)."""

    __slots__ = ()

    def is_wanted(self) -> bool:
        """False once the caller's node has disconnected."""
        return self._process.alive and self.peer.connected

    def returned(self, value: bytes) -> None:
        """See `Reply`."""
        assert self.caller_pid is not None
        self.send(self.caller_pid, tuple_of(_REX, value))

    def tell_failure(self, failure: Failure) -> None:
        """See `Reply`."""
        self.returned(encode_term(failure.badrpc))
