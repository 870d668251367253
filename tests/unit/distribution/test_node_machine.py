"""A whole node against a model of who has to hear what: everything is real, down to the sockets, on one thread.

`Network` plays up to three nodes that connect, call in every way there is, cancel, monitor, link, subscribe, stop
reading, misbehave and go. After each step each of them has heard just what it had to hear; in the end every call that
was not cut off was answered once, and when all are gone the node remembers nothing of them.
"""

import itertools
import logging
from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from support import COOKIE, TIMEOUT, Caller, decoded, headed, is_paused, message, socket_pair

from beam_bpy.calls.handlers import Handler, Registry
from beam_bpy.calls.routing import CallRouter
from beam_bpy.dispatch.call_queue import CallQueue
from beam_bpy.distribution.connections import Connections
from beam_bpy.distribution.node import Node
from beam_bpy.distribution.process import Process
from beam_bpy.erlang_variant import ErlangVariantEncoder
from beam_bpy.errors import ErlangError, NodeDownError
from beam_bpy.limits import Limits
from beam_bpy.processes.beam_process import BeamProcess
from beam_bpy.processes.client import Client
from beam_bpy.protocol import ProtocolError, control, control_reader
from beam_bpy.protocol.flags import MANDATORY_BEFORE_25, OURS, Flag
from beam_bpy.protocol.fragments import Reassembler, split
from beam_bpy.protocol.framing import FrameReader
from beam_bpy.protocol.handshake import Established, Initiator
from beam_bpy.transport.loop import Loop
from vendor_term_codec import Atom, ImproperList, Pid, Reference, encode_term

A = Atom
US, NAMES = "beam_bpy@127.0.0.1", ("ape@127.0.0.1", "bee@127.0.0.1", "cat@127.0.0.1")
LIMITS = Limits(max_in_flight=4, max_queued=6, max_unsent=300_000)
BLOB = b"\xff" * 150_000
"""More than one fragment holds; three of them are more than may wait for a node that does not read."""
MANDATORY_AND_SPAWN = MANDATORY_BEFORE_25 | Flag.SPAWN
NORMAL, KILLED, NOCONNECTION, NOPROC = map(A, ("normal", "killed", "noconnection", "noproc"))
REASON = (A("shutdown"), "why")
UNUSED, MODULE = A(""), A("Elixir.Machine")
MONITOR, LINK = A("monitor"), A("link")
TOPICS = ("selection", "frame")


@dataclass(eq=False)
class Call:
    """A call of a process elsewhere, and what is known of it.

    Attributes:
        token: what no other call has; it is in the arguments and in the answer.
        state: "waiting", "answered" or "cut off".
        pid: the process that it runs in, where the caller was told of one.
        exits: the reason with which the caller has ended that process.
        overloaded: there was too much to do when it came.
        may_be_refused: it was sent when nobody knows what else waited.
        racing: it was taken back when it may have been answered already.
        stays: it runs even though nobody waits any more.
    """

    far: "Far"
    caller: Pid
    kind: str
    handler: str
    token: int
    ref: Reference
    call_ref: Reference
    state: str = "waiting"
    pid: Pid | None = None
    exits: object = None
    overloaded: bool = False
    may_be_refused: bool = False
    racing: bool = False
    stays: bool = False
    topic: list | None = None

    @property
    def tag(self):
        return ImproperList((A("alias"),), self.ref) if self.kind.endswith("alias") else self.ref

    @property
    def surely_runs(self):
        return self.handler != "nobody" and not self.overloaded and not self.may_be_refused and self.exits is None

    @property
    def value(self):
        match self.handler:
            case "inline" | "echo":
                return [self.token]
            case "big":
                return [self.token, BLOB]
            case "long":
                return self.token
            case "subscribe" | "unsubscribe":
                return A("ok")
            case "batch":
                return [(A("ok"), [self.token]), (A("error"), (A("failed"), -self.token)), (A("error"), A("undef"))]
        return None

    def is_right(self, kind, value):
        """Whether an answer is one that this call may have."""
        if self.exits is not None and (kind, value) == ("exit", self.exits):
            return True
        if kind == "error" and isinstance(value, tuple) and value[0] == "overload":
            return self.overloaded or self.may_be_refused
        if self.overloaded:
            return False
        if self.handler == "fail":
            return (kind, value) == ("error", (A("failed"), self.token))
        if self.handler == "nobody":
            return (kind, value) == ("error", A("undef"))
        return kind == "value" and (self.kind.startswith("spawn") or value == self.value)


class Far:
    """A node that is connected, played byte by byte."""

    def __init__(self, network, name, flags, creation):
        self.network, self.name, self.flags, self.creation = network, name, flags, creation
        self.headers = Flag.FRAGMENTS in flags
        self.pids = [Pid(name, 77, serial, creation) for serial in (0, 1)]
        self.numbers = itertools.count(1)
        self.reads, self.here = True, True
        self.expected = []  # Events, or functions that know them.
        self.calls = []
        self.peer = None
        self.frames, self.fragments = FrameReader(), Reassembler()
        self.socket, theirs = socket_pair()
        self.socket.setblocking(False)
        network.connections.accepted(theirs, ("127.0.0.1", 1))
        self.shake_hands()

    def __repr__(self):
        return f"<far {self.name} {self.creation}>"

    def shake_hands(self):
        side = Initiator(self.name, self.creation, self.flags, COOKIE, 4711, US)
        event = None
        while event is None:
            self.socket.sendall(side.take_output())
            self.network.turn()
            event = side.receive(self.socket.recv(4096))
        assert isinstance(event, Established)
        self.take(self.frames.feed(event.rest))

    @property
    def lags(self):
        """Whether it is not known when it hears and is heard."""
        return not self.reads or any(
            is_paused(connection) and connection.peer is self.peer for connection in self.network.established()
        )

    def ref(self):
        return Reference(self.name, self.creation, (next(self.numbers), 2, 3))

    def tell(self, *term, payload=None, pieces=0):
        """Send a control message, if need be in pieces of that size."""
        if pieces and self.headers and payload is not None:
            parts = list(split(next(self.numbers), encode_term(term), encode_term(payload), pieces))
        else:
            parts = [(headed if self.headers else message)(term, payload)]
        self.socket.sendall(b"".join(len(part).to_bytes(4) + part for part in parts))

    def hear(self):
        """Read what there is; False when there is nothing."""
        if not (self.reads and self.here):
            return False
        try:
            data = self.socket.recv(1 << 20)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            data = b""
        if not data:
            assert self.network.hangs_up == self, f"the node hung up on {self.name}"
            self.here = False
            return False
        self.take(self.frames.feed(data))
        return True

    def take(self, frames):
        for frame in frames:
            whole = self.fragments.add(frame) if frame else None
            if whole is not None:
                self.happens(decoded(control_reader.parse(whole)))

    def happens(self, event):
        for expected in self.expected:
            if expected(event) if callable(expected) else expected == event:
                self.expected.remove(expected)
                return
        assert any(self.answers(call, event) for call in self.calls if call.state == "waiting"), event

    def answers(self, call, event):
        """Whether an event is the answer to a call, or tells of its process."""
        match event:
            case control.SpawnReply(call.ref, call.caller, flags, Pid() as pid) if call.pid is None:
                linked, monitored = (
                    call.kind == "spawn_link",
                    call.kind in ("erpc", "erpc in its own way", "spawn_monitor"),
                )
                assert flags == linked * control.SpawnFlag.LINKED | monitored * control.SpawnFlag.MONITORED
                self.network.is_new(pid)
                call.pid = pid
                if call.kind in ("spawn", "erpc_cast"):
                    call.state = "answered"
                return True
            case control.MonitorExit(target, call.caller, call.ref, reason) if target in (
                call.pid,
                A("beam_bpy"),
                A("rex"),
            ):
                return self.ends(call, *_ended(call, reason))
            case control.LinkExit(call.pid, call.caller, reason) if call.kind == "spawn_link":
                return self.ends(call, *_ended(call, reason))
            case control.Send(_, to, (tag, value)) if call.kind.startswith(("gen", "rex")) and tag == (
                A("rex") if call.kind == "rex_message" else call.tag
            ):
                if to != (call.ref if call.kind.endswith("alias") else call.caller):
                    return False
                return self.ends(call, *_replied(value))
        return False

    def ends(self, call, kind, value):
        assert call.is_right(kind, value), (call, kind, value)
        call.state = "answered"
        return True


def _ended(call, reason):
    match reason:
        case (call.call_ref, "return", value):
            return "value", value
        case (call.call_ref, "error", why, _stack):
            return "error", why
        case "normal":
            return "value", None
        case (why, [(module, *_rest)]) if isinstance(module, Atom):
            return "error", why
    return "exit", reason


def _replied(value):
    match value:
        case ("badrpc", ("EXIT", (why, _stack))):
            return "error", why
    return "value", value


@dataclass(eq=False)
class Here:
    """A Python process, and what is known of it."""

    process: BeamProcess
    traps: bool
    inbox: list = field(default_factory=list)
    expected: list = field(default_factory=list)
    monitored_by: dict = field(default_factory=dict)  # Monitors on it: by reference, who holds it.
    links: dict = field(default_factory=dict)  # By pid, the node of that process.
    monitors: dict = field(default_factory=dict)  # Its own monitors.
    unlinking: dict = field(default_factory=dict)

    def __repr__(self):
        return f"<here {self.process and self.process.pid} traps={self.traps}>"

    @property
    def alive(self):
        return self.process.alive


CALLS = ("erpc", "erpc", "erpc in its own way", "gen", "gen_alias", "gen_alias", "gen_unwatched", "rex", "rex_alias")
CALLS += ("rex_message", "spawn", "spawn_monitor", "spawn_link")
WATCHED = ("erpc", "erpc in its own way", "gen", "gen_alias", "rex", "rex_alias", "spawn_monitor")
"""Calls that the caller can take back by a demonitor."""
STAYING = ("spawn", "spawn_monitor", "gen_cast", "erpc_cast")
"""Calls that run whether or not anybody is left who would hear of it."""
HANDLERS = ("inline", "echo", "echo", "fail", "long", "long", "big", "nobody", "batch")


class Network(RuleBasedStateMachine):
    """The node, the nodes that are connected with it, and what all of them should know."""

    outcomes = Counter()  # Of the calls of all examples, by kind and state.

    def __init__(self):
        super().__init__()
        self.loop = Loop("never started")
        self.registry, self.queue = Registry(), CallQueue()
        self.rpc = CallRouter(self.registry, ErlangVariantEncoder(), self.queue)
        self.rpc.max_queued = LIMITS.max_queued
        self.node = self.rpc.open_node(US, 9)
        self.connections = Connections(self.loop, self.node, COOKIE, 1e6, None, LIMITS, None)
        self.client = Client(self.node, self.connections, self.rpc.context.encoder)
        self.node.add(self.client)
        self.node.observers.append(self._peer_changed)
        self.permanent = set(self.node._processes)
        self.log = LogRecords()
        logging.getLogger("beam_bpy").addHandler(self.log)
        self.fars, self.heres, self.calls, self.peers = [], [], [], []
        self.tokens, self.creations = itertools.count(1), itertools.count(1)
        self.ran, self.forbidden, self.seen = Counter(), set(), set()
        self.long_running = 0
        self.sent_to_nobody = []
        self.subscribers = {topic: {} for topic in TOPICS}  # By pid, its node.
        self.monitors = {}  # By the pid of a subscriber, the reference of the monitor on it.
        self.futures = []
        self.hangs_up = None
        for name in ("inline", "echo", "fail", "big", "long"):
            self.registry.add(Handler(name, getattr(self, f"_{name}"), spread=True, inline=name == "inline"))

    # -- handlers

    def _inline(self, token):
        self.ran[token] += 1
        return [token]

    _echo = _inline

    def _fail(self, token):
        self.ran[token] += 1
        raise ErlangError((A("failed"), token))

    def _big(self, token):
        self.ran[token] += 1
        return [token, BLOB]

    def _long(self, token):
        self.ran[token] += 1
        self.long_running += 1
        try:
            yield from range(3)
            return token
        finally:
            self.long_running -= 1

    # -- running both sides

    def _peer_changed(self, peer):
        """Watch what is sent to a peer once it is gone."""
        if not peer.connected:
            return
        self.peers.append(peer)
        send, send_framed = peer.send, peer.send_framed
        peer.send = lambda *sent: self._sent(peer, send, sent)
        peer.send_framed = lambda *sent: self._sent(peer, send_framed, sent)

    def _sent(self, peer, send, sent):
        if not peer.connected:
            self.sent_to_nobody.append(sent)
        send(*sent)

    def is_new(self, pid):
        assert pid.node == US
        assert pid.ext not in self.seen
        self.seen.add(pid.ext)

    def turn(self):
        for _ in range(3):
            self.loop.run_here(0.0, _never)

    def established(self):
        return tuple(self.connections._established.values())

    def settle(self):
        """Let everything come to rest that is not up to a node or to the thread that drains."""
        quiet = 0
        while quiet < 2:
            self.turn()
            moved = [far.hear() for far in self.fars]
            for connection in self.established():
                # It is looked at again a moment after it has come down to half of its limit.
                if _resumes(connection):
                    self.loop.run_here(TIMEOUT, lambda connection=connection: not _resumes(connection))
                    moved.append(True)
            quiet = 0 if any(moved) else quiet + 1

    def check(self):
        self.settle()
        for far in self.fars:
            assert far.lags or not far.expected, far.expected
        assert self.sent_to_nobody == []
        assert self.log.records == []
        assert max(self.ran.values(), default=0) <= 1
        for here in self.heres:
            if not self.paused():
                process = here.process
                assert process.monitored_by.keys() == here.monitored_by.keys()
                assert process.links.keys() == here.links.keys()
                assert process.monitors.keys() == here.monitors.keys()
                assert process.unlinking == here.unlinking or not here.alive
                assert not here.alive or Counter(map(repr, here.inbox)) <= Counter(map(repr, here.expected))

    def paused(self):
        return any(map(is_paused, self.established()))

    def far(self, data, lagging=False):
        return data.draw(st.sampled_from([far for far in self.fars if lagging or not far.lags]))

    def anybody(self):
        return any(not far.lags for far in self.fars)

    # -- nodes

    @initialize(count=st.sampled_from([1, 2, 3]), flags=st.sampled_from([OURS, OURS, MANDATORY_AND_SPAWN]))
    def some_are_connected(self, count, flags):
        for name in NAMES[:count]:
            self.connect(name, flags)
        for traps in (True, False):
            self.a_process_begins(traps)

    @rule(name=st.sampled_from(NAMES), flags=st.sampled_from([OURS, OURS, MANDATORY_AND_SPAWN]))
    def connect(self, name, flags):
        """A node that is connected already has begun anew, and its old connection is of no use."""
        for far in self.fars:
            if far.name == name:
                self.is_gone(far)
                break
        else:
            far = None
        fresh = Far(self, name, flags, next(self.creations))
        if far is not None:
            far.socket.close()
        fresh.peer = self.node.peer(name)
        self.fars.append(fresh)
        self.check()

    @precondition(lambda self: self.fars)
    @rule(data=st.data(), half=st.booleans())
    def disconnect(self, data, half):
        far = self.far(data, lagging=True)
        if half and far.headers and not far.lags:
            # A message of which the end never comes.
            pieces = list(split(99, encode_term((22, far.pids[0], self.client.pid)), encode_term(BLOB), 1000))
            far.socket.sendall(b"".join(len(part).to_bytes(4) + part for part in pieces[:3]))
        self._disconnect(far)

    def _disconnect(self, far):
        was_paused = far.lags
        self.is_gone(far)
        far.socket.close()
        if was_paused:
            self.drain_all()
        self.check()

    def is_gone(self, far):
        """Remove a node, and expect the messages that the others then get."""
        self.fars.remove(far)
        far.here = False
        for call in far.calls:
            self._cut_off(call)
        for subscribers in self.subscribers.values():
            for pid in far.pids:
                subscribers.pop(pid.ext, None)
        for pid in far.pids:
            self.monitors.pop(pid.ext, None)
        for future, whose, _ref, _result in self.futures:
            if whose is far and not future.done():
                future.lost = True
        for here in self.heres:
            for key in [key for key, (watcher, _pid) in here.monitored_by.items() if watcher is far]:
                del here.monitored_by[key]
            for pid in far.pids:
                here.unlinking.pop(pid.ext, None)
        for here in self.heres:
            for pid in far.pids:
                if here.links.pop(pid.ext, None) is not None:
                    self.signal(here, pid, NOCONNECTION)
            for key in [key for key, (watched, _pid) in here.monitors.items() if watched is far]:
                _far, pid = here.monitors.pop(key)
                here.expected.append((A("DOWN"), Reference.from_ext(key), A("process"), pid, NOCONNECTION))

    def _cut_off(self, call):
        if far_lags := call.far.lags:
            call.racing = True
        elif call.kind not in STAYING:
            self._never_runs(call)
        else:
            call.stays = call.surely_runs
        if call.state == "waiting" or far_lags:
            call.state = "cut off"

    def _never_runs(self, call):
        if call.state == "waiting" and not self.ran[call.token]:
            self.forbidden.add(call.token)

    @precondition(lambda self: self.anybody())
    @rule(data=st.data())
    def stops_reading(self, data):
        self.far(data).reads = False

    @precondition(lambda self: not all(far.reads for far in self.fars))
    @rule()
    def all_read_again(self):
        for far in self.fars:
            far.reads = True
        self.check()

    # -- calls

    @precondition(lambda self: self.fars)
    @rule(
        data=st.data(),
        kind=st.sampled_from(CALLS),
        handler=st.sampled_from(HANDLERS),
        caller=st.sampled_from([0, 1]),
        pieces=st.sampled_from([0, 0, 0, 7, 40]),
        count=st.sampled_from([1, 1, 1, 2, 4]),
        burst=st.booleans(),
    )
    def calls_are_made(self, data, kind, handler, caller, pieces, count, burst):
        far = self.far(data, lagging=True)
        for _ in range(count):
            self._begin(self._call(far, caller, kind, handler), pieces, burst=burst and count > 1)
        self.check()

    def _call(self, far, caller, kind, handler):
        token, pid = next(self.tokens), far.pids[caller]
        if kind == "rex_message":  # Nothing but the receiver says whose answer it is.
            pid = Pid(far.name, 1000 + token, 0, far.creation)
        return Call(far, pid, kind, handler, token, far.ref(), far.ref())

    @precondition(lambda self: len(self.fars) > 1)
    @rule(kind=st.sampled_from(CALLS), handler=st.sampled_from(["echo", "batch", "fail"]), inline=st.booleans())
    def all_call_at_once(self, kind, handler, inline):
        for far in self.fars:
            for _ in range(LIMITS.max_in_flight):
                self._begin(self._call(far, 0, kind, handler))
        if inline:
            self._begin(self._call(self.fars[0], 0, kind, "inline"))
        self.check()

    def _begin(self, call, pieces=0, *, burst=False):
        call.may_be_refused = call.far.lags or burst
        if call.handler not in ("inline", "nobody", "subscribe", "unsubscribe"):
            call.overloaded = not call.may_be_refused and len(self.queue) >= LIMITS.max_queued
        call.far.calls.append(call)
        self.calls.append(call)
        self._tell(call, pieces)
        if not burst:
            self.settle()

    def _tell(self, call, pieces):
        far, pid, ref = call.far, call.caller, call.ref
        function, args = A(call.handler), [call.token]
        if call.handler == "batch":
            steps = [(A("echo"), args), (A("fail"), [-call.token]), (A("nobody"), args)]
            function, args = A("call_batch"), [steps]
        elif call.handler in ("subscribe", "unsubscribe"):
            args = call.topic
        rex = (A("call"), MODULE, function, args, pid)
        match call.kind:
            case "erpc" | "erpc in its own way":
                options = [MONITOR] if call.kind == "erpc" else [MONITOR, (A("priority"), NORMAL)]
                term = (29, ref, pid, pid, (A("erpc"), A("execute_call"), 4), options)
                far.tell(*term, payload=[call.call_ref, MODULE, function, args], pieces=pieces)
            case "erpc_cast":
                term = (29, ref, pid, pid, (A("erpc"), A("execute_cast"), 3), [])
                far.tell(*term, payload=[MODULE, function, args], pieces=pieces)
            case "gen" | "gen_alias" | "rex" | "rex_alias":
                name = A("rex" if call.kind.startswith("rex") else "beam_bpy")
                far.tell(19, pid, name, ref)
                request = rex if name == "rex" else (function, args)
                far.tell(6, pid, UNUSED, name, payload=(A("$gen_call"), (pid, call.tag), request), pieces=pieces)
            case "gen_unwatched":
                far.tell(6, pid, UNUSED, A("beam_bpy"), payload=(A("$gen_call"), (pid, ref), (function, args)))
            case "gen_cast":
                far.tell(6, pid, UNUSED, A("beam_bpy"), payload=(A("$gen_cast"), (function, args)))
            case "rex_message":
                far.tell(6, pid, UNUSED, A("rex"), payload=(pid, rex), pieces=pieces)
            case _:
                options = {"spawn": [], "spawn_monitor": [MONITOR], "spawn_link": [LINK]}[call.kind]
                far.tell(29, ref, pid, pid, (MODULE, function, 1), options, payload=args, pieces=pieces)

    @precondition(lambda self: self.fars)
    @rule(
        data=st.data(),
        kind=st.sampled_from(["gen_cast", "erpc_cast"]),
        handler=st.sampled_from(["inline", "echo", "long"]),
    )
    def casts(self, data, kind, handler):
        far = self.far(data, lagging=True)
        call = self._call(far, 0, kind, handler)
        self._begin(call)
        call.stays = call.surely_runs
        if kind == "gen_cast":
            call.state = "answered"
        self.check()

    def waiting(self, *kinds):
        return [call for call in self.calls if call.state == "waiting" and call.far.here and call.kind in kinds]

    @precondition(lambda self: self.waiting(*WATCHED))
    @rule(data=st.data())
    def gives_up(self, data):
        self._give_up(data.draw(st.sampled_from(self.waiting(*WATCHED))))

    @precondition(lambda self: self.anybody())
    @rule(
        data=st.data(),
        kind=st.sampled_from(WATCHED),
        handler=st.sampled_from(["echo", "long"]),
        slices=st.integers(0, 2),
    )
    def gives_up_soon(self, data, kind, handler, slices):
        call = self._call(self.far(data), 1, kind, handler)
        self._begin(call)
        self.some_calls_run(slices)
        if call.state == "waiting":
            self._give_up(call)

    def _give_up(self, call):
        target = A("rex") if call.kind.startswith("rex") else A("beam_bpy") if call.pid is None else call.pid
        call.far.tell(20, call.caller, target, call.ref)
        if call.far.lags:
            call.racing = True
        else:
            if call.kind == "spawn_monitor":
                call.stays = call.surely_runs
            else:
                self._never_runs(call)
            call.state = "cut off"
        self.check()

    @precondition(lambda self: self.anybody())
    @rule(
        data=st.data(), kind=st.sampled_from(CALLS), handler=st.sampled_from(["echo", "long"]), slices=st.integers(0, 2)
    )
    def calls_and_goes(self, data, kind, handler, slices):
        far = self.far(data)
        self._begin(self._call(far, 0, kind, handler))
        self.some_calls_run(slices)
        self._disconnect(far)

    @precondition(lambda self: self.told_of())
    @rule(data=st.data(), reason=st.sampled_from([A("kill"), REASON]))
    def is_killed(self, data, reason):
        call = data.draw(st.sampled_from(self.told_of()))
        call.exits, call.stays = (KILLED if reason == "kill" else reason), False
        if not self.ran[call.token]:
            self.forbidden.add(call.token)
        call.far.tell(8, call.caller, call.pid, reason)
        self.check()
        # A call that was taken back while its answer may have been on its way gets no further answer.
        assert call.state != "waiting" or call.racing

    def told_of(self):
        """Calls whose process the caller knows, and that may be running."""
        return [call for call in self.calls if call.pid and call.far.here and not call.far.lags and not call.overloaded]

    @precondition(lambda self: [call for call in self.waiting("spawn_link") if not call.far.lags])
    @rule(data=st.data(), ends=st.booleans())
    def a_linked_caller_lets_go(self, data, ends):
        call = data.draw(st.sampled_from([call for call in self.waiting("spawn_link") if not call.far.lags]))
        if ends:
            self._never_runs(call)
            call.far.tell(3, call.caller, call.pid, REASON)
        else:
            self._tell_unlink(call.far, call.caller, call.pid)
            call.stays = call.surely_runs
        call.state = "cut off"
        self.check()

    def _tell_unlink(self, far, sender, to):
        if Flag.UNLINK_ID in far.flags:
            number = next(far.numbers)
            far.tell(35, number, sender, to)
            far.expected.append(control.UnlinkAck(number, to, sender))
        else:
            far.tell(4, sender, to)

    @rule(count=st.integers(1, 4))
    def some_calls_run(self, count):
        for _ in range(count):
            self.queue.drain(0.0)
        self.check()

    @rule()
    def drain_all(self):
        self.settle()
        while self.queue.drain(5.0):
            self.settle()
        for here in self.heres:
            # When a node is gone its links and monitors end in any order.
            assert not here.alive or Counter(map(repr, here.inbox)) == Counter(map(repr, here.expected))
        self.check()

    # -- subscriptions

    @precondition(lambda self: self.anybody())
    @rule(data=st.data(), topic=st.sampled_from(TOPICS), which=st.sampled_from([0, 0, 1]), leaves=st.booleans())
    def subscribes(self, data, topic, which, leaves):
        far, whose = self.far(data), self.far(data)
        pid, subscribers = whose.pids[which], self.subscribers[topic]
        call = Call(far, far.pids[0], "erpc", "unsubscribe" if leaves else "subscribe", 0, far.ref(), far.ref())
        call.topic = [topic, pid]
        if not leaves:
            subscribers[pid.ext] = whose
            if pid.ext not in self.monitors:
                self.monitors[pid.ext] = None
                whose.expected.append(lambda event: self._watched(event, pid))
        else:
            subscribers.pop(pid.ext, None)
            if pid.ext in self.monitors and not any(pid.ext in others for others in self.subscribers.values()):
                ref = self.monitors.pop(pid.ext)
                whose.expected.append(control.Demonitor(self.rpc.subscriptions.pid, pid, ref))
        self._begin(call)
        self.check()
        assert call.state == "answered"

    def _watched(self, event, pid):
        match event:
            case control.Monitor(self.rpc.subscriptions.pid, to, ref) if to == pid:
                self.monitors[pid.ext] = ref
                return True
        return False

    @rule(topic=st.sampled_from(TOPICS), number=st.integers(0, 9))
    def publish(self, topic, number):
        assert self.rpc.subscriptions.publish(topic, number) == len(self.subscribers[topic])
        for key, far in self.subscribers[topic].items():
            self._expect_message(
                far, self.rpc.subscriptions, Pid.from_ext(key), (A("beam_bpy_event"), A(US), topic, number)
            )
        self.check()

    def _expect_message(self, far, process, pid, term):
        sender = process.pid if Flag.SEND_SENDER in far.flags else None
        far.expected.append(control.Send(sender, pid, term))

    # -- processes here

    @precondition(lambda self: len(self.heres) < 5)
    @rule(traps=st.booleans())
    def a_process_begins(self, traps):
        here = Here(None, traps)
        here.process = BeamProcess(
            self.node,
            self.connections,
            self.client,
            self.rpc.submit,
            lambda _process, received: here.inbox.append(received),
            trap_exit=traps,
        )
        self.node.add(here.process, f"here{len(self.heres)}")
        self.heres.append(here)

    def pair(self, data):
        """A process elsewhere, and one here."""
        far = self.far(data)
        return far, data.draw(st.sampled_from(far.pids)), data.draw(st.sampled_from(self.heres))

    def ends(self, here, reason):
        """Whom a process that ends tells of it."""
        for key, (far, pid) in here.monitored_by.items():
            far.expected.append(control.MonitorExit(here.process.pid, pid, Reference.from_ext(key), reason))
        for key, far in here.links.items():
            far.expected.append(control.LinkExit(here.process.pid, Pid.from_ext(key), reason))
        for key, (far, pid) in here.monitors.items():
            far.expected.append(control.Demonitor(here.process.pid, pid, Reference.from_ext(key)))
        for table in (here.monitored_by, here.links, here.monitors):
            table.clear()

    def signal(self, here, sender, reason, killed=False):
        """An exit signal has reached a process."""
        if not here.alive:
            return
        if killed:
            self.ends(here, KILLED)
        elif here.traps:
            here.expected.append((A("EXIT"), sender, reason))
        elif reason != "normal":
            self.ends(here, reason)

    @precondition(lambda self: self.anybody() and not self.paused())
    @rule(data=st.data(), twice=st.booleans())
    def is_monitored(self, data, twice):
        far, pid, here = self.pair(data)
        ref = far.ref()
        for _ in range(1 + twice):
            far.tell(19, pid, here.process.pid, ref)
            if here.alive:
                here.monitored_by[ref.ext] = (far, pid)
            else:
                far.expected.append(control.MonitorExit(here.process.pid, pid, ref, NOPROC))
        self.check()

    @precondition(lambda self: self.anybody() and not self.paused() and len(self.heres) > 1)
    @rule(data=st.data())
    def a_reference_is_used_for_two(self, data):
        """No honest node does that; it must not leave anything behind."""
        far, pid, _here = self.pair(data)
        ref = far.ref()
        for here in [here for here in self.heres if here.alive]:
            far.tell(19, pid, here.process.pid, ref)
            for other in self.heres:
                other.monitored_by.pop(ref.ext, None)
            here.monitored_by[ref.ext] = (far, pid)
        self.check()

    @precondition(lambda self: self.anybody() and not self.paused() and any(here.monitored_by for here in self.heres))
    @rule(data=st.data())
    def a_monitor_is_taken_back(self, data):
        here = data.draw(st.sampled_from([here for here in self.heres if here.monitored_by]))
        key = data.draw(st.sampled_from(sorted(here.monitored_by)))
        far, pid = here.monitored_by.pop(key)
        far.tell(20, pid, here.process.pid, Reference.from_ext(key))
        self.check()

    @precondition(lambda self: self.anybody() and not self.paused())
    @rule(data=st.data(), back=st.booleans())
    def is_linked(self, data, back):
        far, pid, here = self.pair(data)
        if back:
            here.links.pop(pid.ext, None)
            self._tell_unlink(far, pid, here.process.pid)
        else:
            far.tell(1, pid, here.process.pid)
            if not here.alive:
                far.expected.append(control.LinkExit(here.process.pid, pid, NOPROC))
            elif pid.ext not in here.unlinking:
                here.links[pid.ext] = far
        self.check()

    @precondition(lambda self: self.anybody() and not self.paused())
    @rule(data=st.data(), reason=st.sampled_from([NORMAL, REASON, A("kill")]), by_link=st.booleans())
    def is_told_to_end(self, data, reason, by_link):
        far, pid, here = self.pair(data)
        if not by_link:
            self.signal(here, pid, reason, killed=reason == "kill")
        elif here.links.pop(pid.ext, None) is not None:
            self.signal(here, pid, reason)
        far.tell(3 if by_link else 8, pid, here.process.pid, reason)
        self.check()

    @precondition(lambda self: self.anybody() and not self.paused())
    @rule(data=st.data(), by_name=st.booleans(), number=st.integers(0, 9))
    def gets_a_message(self, data, by_name, number):
        far, pid, here = self.pair(data)
        if by_name:
            far.tell(6, pid, UNUSED, A(f"here{self.heres.index(here)}"), payload=number)
        else:
            far.tell(22, pid, here.process.pid, payload=number)
        if here.alive:
            here.expected.append(number)
        self.check()

    @precondition(lambda self: self.anybody() and not self.paused())
    @rule(data=st.data(), number=st.integers(0, 9))
    def sends_a_message(self, data, number):
        far, pid, here = self.pair(data)
        self._expect_message(far, here.process, pid, number)
        here.process.send(pid, number)
        self.check()

    @precondition(lambda self: self.anybody() and not self.paused())
    @rule(data=st.data())
    def monitors_somebody(self, data):
        far, pid, here = self.pair(data)
        if here.alive:
            ref = here.process.monitor(pid)
            here.monitors[ref.ext] = (far, pid)
            far.expected.append(control.Monitor(here.process.pid, pid, ref))
            self.check()

    @precondition(lambda self: any(here.monitors for here in self.heres) and not self.paused())
    @rule(data=st.data())
    def lets_somebody_be(self, data):
        here = data.draw(st.sampled_from([here for here in self.heres if here.monitors]))
        key = data.draw(st.sampled_from(sorted(here.monitors)))
        far, pid = here.monitors.pop(key)
        far.expected.append(control.Demonitor(here.process.pid, pid, Reference.from_ext(key)))
        assert here.process.demonitor(Reference.from_ext(key))
        self.check()

    @precondition(lambda self: self.anybody() and not self.paused())
    @rule(data=st.data())
    def links_itself(self, data):
        self._link(*self.pair(data))
        self.check()

    def _link(self, far, pid, here):
        if here.alive and pid.ext not in here.links:
            here.unlinking.pop(pid.ext, None)
            here.links[pid.ext] = far
            far.expected.append(control.Link(here.process.pid, pid))
        here.process.link(pid)

    @precondition(lambda self: self.anybody() and not self.paused())
    @rule(data=st.data(), was_linked=st.booleans(), crosses=st.booleans(), answered=st.booleans())
    def unlinks_itself(self, data, was_linked, crosses, answered):
        far, pid, here = self.pair(data)
        if was_linked and here.alive:
            self._link(far, pid, here)
        if here.links.pop(pid.ext, None) is not None:
            far.expected.append(lambda event: self._unlinked(event, here, pid))
        here.process.unlink(pid)
        self.check()
        number = here.unlinking.get(pid.ext)
        if crosses and number is not None:
            far.tell(1, pid, here.process.pid)
            self.check()
        if answered and number is not None:
            far.tell(36, number, pid, here.process.pid)
            del here.unlinking[pid.ext]
            self.check()

    def _unlinked(self, event, here, pid):
        match event:
            case control.Unlink(int() as number, here.process.pid, to) if to == pid:
                here.unlinking[pid.ext] = number
                return True
        return False

    @rule(data=st.data(), reason=st.sampled_from([NORMAL, REASON]))
    def ends_by_itself(self, data, reason):
        here = data.draw(st.sampled_from(self.heres))
        if here.alive:
            self.ends(here, reason)
        here.process.exit(reason)
        self.check()

    @precondition(lambda self: self.anybody() and not self.paused())
    @rule(data=st.data(), which=st.sampled_from([0, 1]))
    def somebody_elsewhere_ends(self, data, which):
        far = self.far(data)
        pid = far.pids[which]
        for here in self.heres:
            for key in [key for key, entry in here.monitors.items() if entry == (far, pid)]:
                del here.monitors[key]
                far.tell(21, pid, here.process.pid, Reference.from_ext(key), REASON)
                here.expected.append((A("DOWN"), Reference.from_ext(key), A("process"), pid, REASON))
            if here.links.pop(pid.ext, None) is not None:
                self.signal(here, pid, REASON)
                far.tell(3, pid, here.process.pid, REASON)
            self.settle()
        if pid.ext in self.monitors:
            far.tell(21, pid, self.rpc.subscriptions.pid, self.monitors.pop(pid.ext), REASON)
            for subscribers in self.subscribers.values():
                subscribers.pop(pid.ext, None)
        self.check()

    @precondition(lambda self: len([far for far in self.fars if not far.lags]) > 1 and not self.paused())
    @rule(data=st.data(), opcode=st.sampled_from([1, 3, 19, 20, 35]))
    def speaks_for_another(self, data, opcode):
        """A node that sends a message in the name of another node is disconnected; the other node is not affected."""
        far, other, here = self.far(data), self.far(data), data.draw(st.sampled_from(self.heres))
        if far is other:
            return
        pid, to = data.draw(st.sampled_from(other.pids)), here.process.pid
        far.tell(
            *{1: (1, pid, to), 3: (3, pid, to, REASON), 35: (35, 1, pid, to)}.get(opcode, (19, pid, to, far.ref()))
        )
        self.hangs_up = far
        self.is_gone(far)
        self.check()
        assert self.node.peer(far.name) is None
        far.socket.close()

    # -- calls of Python

    @precondition(lambda self: self.anybody())
    @rule(data=st.data(), outcome=st.sampled_from(["value", "error", "later", "given up"]))
    def python_calls(self, data, outcome):
        far = self.far(data)
        asked = []
        far.expected.append(
            lambda event: isinstance(event, control.SpawnRequest) and not asked and not asked.append(event)
        )
        future = self.client.call(far.name, "m", "f", [1], binaries=str, arrays=False)
        self.connections.expect_answer(far.name, future)
        self.check()
        [request] = asked
        result, process = request.payload[0], Pid(far.name, 500 + next(far.numbers), 0, far.creation)
        far.tell(31, request.ref, self.client.pid, 2, process)
        self.settle()
        if outcome == "given up":
            far.expected.append(control.Demonitor(self.client.pid, process, request.ref))
            future.cancel()
        elif outcome != "later":
            reason = (result, A("return"), 7) if outcome == "value" else (result, A("error"), REASON, [])
            far.tell(21, process, self.client.pid, request.ref, reason)
        self.check()
        if outcome == "value":
            assert future.result(0) == 7
        elif outcome == "error":
            assert future.exception(0).reason == REASON
        elif outcome == "later":
            future.lost = False
            self.futures.append((future, far, request.ref, result))

    # -- the end

    def teardown(self):
        try:
            if self.peers:
                self._finish()
        finally:
            logging.getLogger("beam_bpy").removeHandler(self.log)
            for far in self.fars:
                far.socket.close()
            self.loop.abandon()

    def _finish(self):
        self.all_read_again()
        self.drain_all()
        self.drain_all()
        assert not self.paused()
        for call in self.calls:
            assert call.state != "waiting" or call.racing, call
            assert self.ran[call.token] == 1 or not call.stays, call
            self.outcomes[call.kind, call.state] += 1
        assert not any(self.ran[token] for token in self.forbidden)
        for far in tuple(self.fars):
            self.is_gone(far)
            far.socket.close()
        self.drain_all()
        for future, _far, _ref, _result in self.futures:
            assert future.lost
            assert isinstance(future.exception(0), NodeDownError)
        self._nothing_is_left()

    def _nothing_is_left(self):
        node, connections, events = self.node, self.connections, self.rpc.subscriptions
        alive = {here.process.pid.ext for here in self.heres if here.alive}
        assert node._processes.keys() == self.permanent | alive
        for process in node._processes.values():
            assert (process.monitored_by, process.links, process.monitors, process.unlinking) == ({}, {}, {}, {})
        for peer in self.peers:
            assert (peer.incoming_monitors, peer.outgoing_monitors, peer.links) == ({}, {}, set())
            assert peer.load.in_flight == 0
        assert (node.peers, node._peers) == ((), {})
        assert (events._topics, events._subscribers) == ({}, {})
        assert (self.client._pending, self.client._pings) == ({}, {})
        assert (connections._established, connections._outgoing, connections._half_open) == ({}, set(), {})
        assert (connections._setups, connections._awaited) == ({}, {})
        assert (len(self.queue), self.long_running) == (0, 0)


def _never():
    return False


def _resumes(connection):
    """Whether a connection that is not read from will be read from again in a moment."""
    return is_paused(connection) and connection.peer.connected and connection._backpressure._exceeded_limit() is None


class LogRecords(logging.Handler):
    """Keeps what the program logs of errors of its own."""

    def __init__(self):
        super().__init__(logging.ERROR)
        self.records = []

    def emit(self, record):
        self.records.append(record.getMessage() + str(record.exc_info))


def test_a_node_and_all_that_others_do_to_it():
    Network.outcomes.clear()
    run_state_machine_as_test(
        Network,
        settings=settings(
            max_examples=200,
            stateful_step_count=40,
            derandomize=True,  # Each run uses the same examples.
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    answered, cut_off = (
        {kind for kind, state in Network.outcomes if state == wanted} for wanted in ("answered", "cut off")
    )
    assert answered >= {*CALLS, *STAYING}
    assert cut_off >= {*WATCHED}


@pytest.fixture
def node():
    return Node(US, 9, pytest.fail, pytest.fail)


@pytest.fixture
def processes(node):
    processes = Process(node), Process(node)
    for process in processes:
        node.add(process)
    return processes


def test_a_reference_that_is_used_twice_leaves_nothing_behind(node, processes):
    first, second = processes
    caller = Caller(node)
    ref = caller.ref()
    caller.tell(19, caller.pid, first.pid, ref)
    caller.tell(19, caller.pid, second.pid, ref)

    caller.disconnect()

    assert (first.monitored_by, second.monitored_by) == ({}, {})


@pytest.mark.parametrize("opcode", [1, 3, 4, 19, 35])
def test_a_node_does_not_speak_for_another_one(node, processes, opcode):
    honest, hostile = Caller(node), Caller(node, "hostile@127.0.0.1")
    process = processes[0]
    honest.link(process.pid)
    ref = honest.monitor(process.pid)
    pid, to = honest.pid, process.pid
    terms = {
        1: (1, pid, to),
        3: (3, pid, to, REASON),
        4: (4, pid, to),
        19: (19, hostile.pid, to, ref),
        35: (35, 1, pid, to),
    }

    with pytest.raises(ProtocolError, match="another node"):
        hostile.tell(*terms[opcode])
    hostile.disconnect()
    process.end(encode_term(REASON))

    assert honest.heard() == [
        control.MonitorExit(process.pid, honest.pid, ref, REASON),
        control.LinkExit(process.pid, honest.pid, REASON),
    ]
