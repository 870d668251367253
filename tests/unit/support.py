"""Helpers of the unit tests: ports, waiting, and nodes that write and read the protocol's bytes themselves."""

import contextlib
import hashlib
import os
import socket
import struct
import threading
import time
from concurrent.futures import Future

from beam_bpy.distribution.peer import Peer
from beam_bpy.protocol import control, control_reader
from beam_bpy.protocol.control import Payload
from beam_bpy.protocol.erpc import EXECUTE_CALL, MONITORED, ErpcCall
from beam_bpy.protocol.flags import OURS, Flag
from beam_bpy.protocol.fragments import Reassembler
from beam_bpy.protocol.framing import FrameReader
from beam_bpy.protocol.gen_server import GenCall
from beam_bpy.protocol.handshake import Acceptor
from vendor_term_codec import Atom, Pid, Reference, decode_term, encode, encode_term

COOKIE = "cookie-of-the-unit-tests"
NAME = f"unit{os.getpid()}"
A_NAME, B_NAME = f"{NAME}a@127.0.0.1", f"{NAME}b@127.0.0.1"
TIMEOUT = 10.0
"""Seconds after which something that should happen never will; no test asserts how long anything takes."""

HEADER = b"\x83D\0"
"""A distribution header without atom cache references, which stands before each message once FRAGMENTS is agreed on."""


def socket_pair():
    """Two connected sockets that send each byte at once, also where they are TCP sockets."""
    pair = socket.socketpair()
    for sock in pair:
        if sock.family == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return pair


def eventually(true):
    """Wait until `true()` is."""
    end = time.monotonic() + TIMEOUT
    while not true():
        assert time.monotonic() < end, "it never became true"
        time.sleep(0.005)


def hung_up(sock):
    """Wait for the other side to close the connection."""
    with contextlib.suppress(ConnectionResetError):
        while sock.recv(65536):
            pass
    return True


def in_thread(function):
    thread = threading.Thread(target=function)
    thread.start()
    return thread


def names_of_threads():
    return {thread.name for thread in threading.enumerate()}


def nodes_of(server):
    """The names of the nodes that are connected to a server."""
    return tuple(peer.name for peer in server.peers)


# The tests look at these parts of a running server only through the functions below.


def loop_of(server):
    """The network thread of a running server."""
    return server._running.loop


def connections_of(server):
    """The established connections of a running server."""
    return tuple(server._running.connections._established.values())


def pending_of(server):
    """The pending connections of a running server, accepted ones first."""
    connections = server._running.connections
    return (*connections._half_open, *connections._outgoing)


def is_paused(connection):
    """True if a connection does not read, because of its back-pressure."""
    return connection._backpressure.paused


def unsent(connection):
    """The bytes that a connection holds for its peer."""
    return connection._stream.unsent


def on_loop(loop, function):
    """Call `function` on the network thread; returns what it returns."""
    result = Future()

    def call():
        try:
            result.set_result(function())
        except Exception as error:  # noqa: BLE001 - it is raised again where the test waits
            result.set_exception(error)

    loop.call_soon(call)
    return result.result(TIMEOUT)


def message(term, payload=None):
    """A message that is passed through: its byte, the control term and, if there is one, the payload."""
    return b"p" + encode(term) + (b"" if payload is None else encode(payload))


def headed(term, payload=None):
    """The same message behind a distribution header, where no term has a version byte."""
    return HEADER + encode_term(term) + (b"" if payload is None else encode_term(payload))


def decoded(event):
    """`event` with its payload and its reason decoded; a call as the message that carries it."""
    if isinstance(event, GenCall):
        event = event.message
    if isinstance(event, ErpcCall):
        call = [decode_term(event.call_ref)[0], Atom(event.module), Atom(event.function), event.arguments.decode()]
        return control.SpawnRequest(event.ref, event.sender, event.sender, *EXECUTE_CALL, MONITORED, call)
    fields = event._asdict().items() if hasattr(event, "_asdict") else ()
    return event._replace(**{name: value.decode() for name, value in fields if isinstance(value, Payload)})


def send_name(name="caller@127.0.0.1", flags=int(OURS), creation=0x55667788):
    """The first message of a node that calls."""
    raw = name if isinstance(name, bytes) else name.encode()
    body = struct.pack(">cQIH", b"N", flags, creation, len(raw)) + raw
    return struct.pack(">H", len(body)) + body


class Caller:
    """A connected node, and one process of it: what it tells the node goes through `parse`, as does what it hears."""

    def __init__(self, node, name="caller@127.0.0.1", flags=OURS):
        self._sent = []
        self._refs = 0
        self._headers = Flag.FRAGMENTS in flags
        self.node = node
        self.name = name
        self.pid = Pid(name, 77, 1, 5)
        self.peer = Peer(name, flags, 5, self)
        node.peer_up(self.peer)

    def send(self, message, sender):
        """See `PeerTransport`."""
        frame = message.frame(header=self._headers)
        assert int.from_bytes(frame[:4]) == len(frame) - 4
        self._sent.append((frame[4:], sender))

    def send_framed(self, data, sender):
        """See `PeerTransport`."""
        self._sent += [(frame, sender) for frame in FrameReader().feed(data)]

    def call_deferred(self, callback):
        """See `PeerTransport`: nothing waits here."""
        callback()

    def ref(self):
        """A reference that this node has not used."""
        self._refs += 1
        return Reference(self.name, 5, (self._refs, 2, 3))

    def tell(self, *term, payload=None):
        """Send a control message."""
        self.tell_raw((headed if self._headers else message)(term, payload))

    def tell_raw(self, frame):
        """Send a frame."""
        self.node.handle(self.peer, control_reader.parse(frame))

    def monitor(self, target):
        """Monitor a pid or a name; returns the reference."""
        ref = self.ref()
        self.tell(19, self.pid, target, ref)
        return ref

    def link(self, pid):
        self.tell(1, self.pid, pid)

    def heard(self):
        """The events that have come since the last time."""
        sent = self._sent[:]
        self._sent.clear()
        return [self._event(*each) for each in sent]

    def heard_first(self):
        """The first of these events; the others are left for later."""
        return self._event(*self._sent.pop(0))

    def senders(self):
        """The pids that what will be heard comes from: signals of one process arrive in order."""
        return [sender for _frame, sender in self._sent]

    def disconnect(self):
        self.node.peer_down(self.peer)

    def _event(self, sent, sender):
        assert sender.node == self.node.name
        return decoded(control_reader.parse(sent))


def end_of(future):
    """The exception of a future."""
    return future.exception(TIMEOUT)


class Wire:
    """A node at the other end of a socket, with one process, once the handshake is done."""

    def __init__(self, sock, name):
        self.socket = sock
        self.name = name
        self.pid = Pid(name, 77, 0, 5)
        self.refs = 0
        self._fragments = Reassembler()
        self._kept = []

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self.socket.close()

    def read(self, count):
        """Just so many bytes, or fewer when the other side has closed."""
        data = bytearray()
        while len(data) < count and (part := self.socket.recv(count - len(data))):
            data += part
        return bytes(data)

    def closed(self):
        """Wait for the other side to close the connection."""
        return hung_up(self.socket)

    def tell(self, term, payload=None):
        data = headed(term, payload)
        self.socket.sendall(len(data).to_bytes(4) + data)

    def ref(self):
        self.refs += 1
        return Reference(self.pid.node, 5, (self.refs, os.getpid()))

    def event(self):
        """The next control message."""
        return self._kept.pop(0) if self._kept else self._next_event()

    def _next_event(self):
        while True:
            head = self.read(4)
            assert len(head) == 4, "the other side closed the connection"
            whole = self._fragments.add(self.read(int.from_bytes(head))) if any(head) else None
            if whole is not None:
                return decoded(control_reader.parse(whole))

    def erpc(self, function, args):
        """The control message of an erpc:call, and its payload."""
        ref, mfa = self.ref(), (Atom("erpc"), Atom("execute_call"), 4)
        term = (29, ref, self.pid, self.pid, mfa, [Atom("monitor")])
        return term, [ref, Atom("Elixir.Unit"), Atom(function), args]

    def ask(self, function, args):
        """Begin an erpc:call; `event` returns what else the node has said, like its monitor on a subscriber."""
        self.tell(*self.erpc(function, args))
        while not isinstance(event := self._next_event(), control.SpawnReply):
            self._kept.append(event)

    def answer(self):
        """The value of the call that was begun."""
        reason = self.event().reason
        assert reason[1] == Atom("return"), reason
        return reason[2]

    def call(self, function, *args):
        self.ask(function, list(args))
        return self.answer()


class Client(Wire):
    """A node that has called a server."""

    def __init__(self, server, name="caller@127.0.0.1", cookie=COOKIE, insist="true", flags=int(OURS)):
        super().__init__(socket.create_connection(("127.0.0.1", server.port), TIMEOUT), name)
        self.socket.sendall(send_name(name, flags))
        status = self._handshake_message()[1:]
        if status.startswith(b"named:"):
            self._named(status[6:])
            status = b"named"
        self.status = status.decode()
        if self.status == "alive":
            body = b"s" + insist.encode()
            self.socket.sendall(struct.pack(">H", len(body)) + body)
        if self.status in ("ok", "named", "alive") and insist == "true":
            self.answer_challenge(cookie)

    def _named(self, status):
        end = 2 + int.from_bytes(status[:2])
        self.name = status[2:end].decode()
        self.given_creation = int.from_bytes(status[end:])
        self.pid = Pid(self.name, 77, 0, self.given_creation)

    def answer_challenge(self, cookie=COOKIE):
        """Prove that we know the cookie."""
        challenge = self._handshake_message()
        _flags, number, self.creation = struct.unpack_from(">QII", challenge, 1)
        self.challenge = number
        digest = hashlib.md5((cookie + str(number)).encode()).digest()
        self.socket.sendall(struct.pack(">HcI", 21, b"r", 7) + digest)
        self.ack = self._handshake_message() if cookie == COOKIE else None

    def _handshake_message(self):
        return self.read(int.from_bytes(self.read(2)))


class Listening:
    """A node that listens, and lets a server in when the test says so."""

    def __init__(self, name="called@127.0.0.1", cookie=COOKIE):
        self.name = name
        self.cookie = cookie
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(TIMEOUT)
        self.port = self._socket.getsockname()[1]

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self._socket.close()

    def begin(self):
        """The next connection, and our side of its handshake, which has got the name."""
        sock, _address = self._socket.accept()
        sock.settimeout(TIMEOUT)
        handshake = Acceptor(self.name, 5, OURS, self.cookie, 4711)
        while handshake.receive(sock.recv(4096)) is None:
            pass
        return Wire(sock, self.name), handshake

    def accept(self, status="ok"):
        """The next connection, once the handshake is done."""
        wire, handshake = self.begin()
        return finish(wire, handshake, status)


def finish(wire, handshake, status="ok"):
    """Answer a node that has said its name; returns its connection when that is established or closed."""
    handshake.answer(status)
    wire.socket.sendall(handshake.take_output())
    while status not in ("nok", "not_allowed") and (data := wire.socket.recv(4096)):
        event = handshake.receive(data)
        wire.socket.sendall(handshake.take_output())
        if event is not None:
            break
    return wire
