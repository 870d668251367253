"""The BEAM's calling conventions: how each kind of call becomes one `Call`, and how its answer goes back.

    :erpc, :rpc                  a spawn request for erpc:execute_call/4; the answer is the reason with which the
                                 spawned process ends (lib/kernel, erpc.erl)
    Node.spawn and the like      a spawn request for any other function
    gen_server                   a message {'$gen_call', {From, Tag}, Request} to a registered name, answered
                                 {Tag, Reply}; {'$gen_cast', Request} is not answered (lib/stdlib, gen.erl)
    rex                          what rpc was before OTP 23, and what C nodes still send: a gen_server call
                                 {call, M, F, A, GroupLeader}, or the bare message {Pid, {call, M, F, A, user}}
    net_kernel                   a gen_server call {is_auth, Node}: `net_adm:ping`

Arguments are decoded once the handler is known, as the handler wants them; a call for which there is no handler costs
no more than its name.
"""

import logging
import traceback
from collections.abc import Callable
from enum import Enum
from typing import Any, NamedTuple

from beam_bpy.dispatch import CallQueue, Runnable
from beam_bpy.erlang_variant import ErlangVariantEncoder
from beam_bpy.errors import ErlangError, ErlangExit, ErlangThrow
from beam_bpy.handlers import Handler, Registry
from beam_bpy.node import Node, Peer, Process, Watch
from beam_bpy.protocol import control
from beam_bpy.protocol.control import Payload
from beam_bpy.protocol.framing import Frame
from vendor_term_codec import (
    Atom,
    DecodeError,
    ImproperList,
    Pid,
    Reference,
    decode_term,
    encode_term,
    list_header,
    tuple_header,
)

log = logging.getLogger("beam_bpy")

_EMPTY_ARGUMENTS = Payload(encode_term([]), 0)
_WRAPPERS = ("call_handler", "handle_rpc")
"""Functions that name the handler in their first argument and its arguments in their second."""

_MAX_TRACEBACK = 16_000
"""The most characters of a traceback that travel to a caller; its end says the most."""


class Kind(Enum):
    """How a call fails, in the BEAM's three classes of exceptions."""

    ERROR = Atom("error")
    EXIT = Atom("exit")
    THROW = Atom("throw")


class Failure(NamedTuple):
    """Why a call has no value.

    Attributes:
        kind: the class of the exception.
        reason: the term.
        stack: the BEAM's stack trace, `[{Module, Function, ArityOrArguments, []}]`.
    """

    kind: Kind
    reason: Any
    stack: list[Any]

    @property
    def exit_reason(self) -> Any:
        """The reason with which a process ends that does not catch it (reference manual, "Exit Reasons")."""
        match self.kind:
            case Kind.EXIT:
                return self.reason
            case Kind.THROW:
                return ((Atom("nocatch"), self.reason), self.stack)
            case Kind.ERROR:
                return (self.reason, self.stack)

    @property
    def badrpc(self) -> Any:
        """What `rpc:call` returns for it: a throw is a value there."""
        if self.kind is Kind.THROW:
            return self.reason
        return (Atom("badrpc"), (Atom("EXIT"), self.exit_reason))


class Target(NamedTuple):
    """What a call names."""

    module: str
    function: str
    arity: int

    def stack(self, arguments: Any = None) -> list[Any]:
        """A stack trace with this as its only entry."""
        last = self.arity if arguments is None else arguments
        return [(Atom(self.module), Atom(self.function), last, [])]


class Answer:
    """Who waits for a call, and how they want the answer. This one: nobody waits (a cast)."""

    def wanted(self) -> bool:
        """False once nobody waits any more, so that the call need not run."""
        return True

    def abandoned(self) -> None:
        """Nobody waits any more, and the call was not run."""

    def returned(self, value: bytes) -> None:
        """The handler returned; `value` is encoded."""

    def failed(self, failure: Failure) -> None:
        """There is no value."""
        log.warning("a cast failed: %s", shortened(failure.reason))


class Call:
    """One call of one handler; `run` answers it, whatever happens.

    Args:
        handler: what to run.
        args: its arguments, decoded.
        target: what the caller named, for stack traces.
        answer: who waits.
        encoder: turns what the handler returns into a term.
    """

    __slots__ = ("answer", "args", "encoder", "handler", "target")

    def __init__(
        self, handler: Handler, args: list[Any], target: Target, answer: Answer, encoder: ErlangVariantEncoder
    ) -> None:
        self.handler = handler
        self.args = args
        self.target = target
        self.answer = answer
        self.encoder = encoder

    def run(self) -> None:
        """Run the handler on this thread, unless nobody waits for it any more. Never raises."""
        if not self.answer.wanted():
            self.answer.abandoned()
            return
        try:
            value = self.encoder.encode_term(self.handler.invoke(self.args))
        except BaseException as error:  # noqa: BLE001 - not even SystemExit may leave a caller waiting
            self.answer.failed(failure_of(error, self.target.stack(), self.encoder))
        else:
            self.answer.returned(value)


class Rpc:
    """Everything that a peer can call.

    Args:
        registry: where handlers are found.
        encoder: turns what handlers return into terms.
        queue: the queue for handlers that are not inline, asked for each call.
    """

    def __init__(self, registry: Registry, encoder: ErlangVariantEncoder, queue: Callable[[], CallQueue]) -> None:
        self.registry = registry
        self.encoder = encoder
        self._queue = queue

    def open(self, name: str, creation: int) -> Node:
        """The node whose calls end here, with the processes that a node is expected to have."""
        node = Node(name, creation, lambda peer, request: self._spawn(node, peer, request))
        node.add(NetKernel(node, self), "net_kernel")
        node.add(Rex(node, self), "rex")
        node.add(HandlerServer(node, self), name.partition("@")[0])
        return node

    def call(self, target: Target, arguments: Payload, answer: Answer) -> None:
        """Find the handler that `target` names and run it, here or through the queue.

        Args:
            arguments: the list of arguments, encoded.
        """
        try:
            found = self._find(target, arguments)
            if found is None:
                self._undefined(target, arguments, answer)
                return
            handler, place = found
            args = _arguments(place, handler)
        except _BAD_REQUEST as error:
            answer.failed(_badarg(error, target))
            return
        call = Call(handler, args, target, answer, self.encoder)
        if handler.inline:
            call.run()
        else:
            self.submit(call)

    def submit(self, work: Runnable) -> None:
        """Run `work` where handlers run."""
        self._queue().put(work)

    def _find(self, target: Target, arguments: Payload) -> tuple[Handler, Payload] | None:
        handler = self.registry.find(target.function, target.module)
        if handler is not None:
            return handler, arguments
        # Two small integers come as a string of bytes, and name nothing.
        if target.function in _WRAPPERS and target.arity == 2 and arguments.data[arguments.offset] == _LIST:
            _count, offset = list_header(arguments.data, arguments.offset)
            name, offset = decode_term(arguments.data, offset)
            handler = self._named(name, target.module)
            if handler is not None:
                return handler, Payload(arguments.data, offset)
        return None

    def _named(self, name: Any, module: str) -> Handler | None:
        try:
            return self.registry.find(handler_name(name), module)
        except (ValueError, OverflowError):
            return None

    @staticmethod
    def _undefined(target: Target, arguments: Payload, answer: Answer) -> None:
        answer.failed(Failure(Kind.ERROR, Atom("undef"), target.stack(arguments.decode())))

    def _spawn(self, node: Node, peer: Peer, request: control.SpawnRequest) -> None:
        if not all(map(_is_spawn_option, request.options)):
            nobody = Process(node).pid
            peer.send(control.spawn_reply(request.ref, request.sender, 0, Atom("badopt")), nobody)
            return
        process = Process(node)
        node.add(process)
        monitored, linked = "monitor" in request.options, "link" in request.options
        if monitored:
            node.add_watch(process, Watch(peer, request.sender, process.pid, request.ref))
        if linked:
            node.add_link(process, peer, request.sender)
        flags = linked * control.SPAWN_LINKED | monitored * control.SPAWN_MONITORED
        # At once, and not with the answer: a caller that gives up can only take back a monitor that it knows of.
        peer.send(control.spawn_reply(request.ref, request.sender, flags, process.pid), process.pid)
        self._run_spawned(process, request)

    def _run_spawned(self, process: Process, request: control.SpawnRequest) -> None:
        entry = Target(_atom_text(request.module), _atom_text(request.function), request.arity)
        try:
            if entry == _EXECUTE_CALL:
                self._execute_call(process, request)
            elif entry == _EXECUTE_CAST:
                _count, offset = list_header(request.payload.data, request.payload.offset)
                self.call(*_mfa(request.payload.data, offset), SpawnAnswer(process))
            else:
                self.call(entry, request.payload, SpawnAnswer(process))
        except _BAD_REQUEST as error:
            SpawnAnswer(process).failed(Failure(Kind.ERROR, (Atom("badarg"), str(error)), entry.stack()))

    def _execute_call(self, process: Process, request: control.SpawnRequest) -> None:
        _count, offset = list_header(request.payload.data, request.payload.offset)
        ref, offset = decode_term(request.payload.data, offset)
        answer = ErpcAnswer(process, request.ref, ref)
        try:
            target, arguments = _mfa(request.payload.data, offset)
        except _BAD_REQUEST as error:
            answer.failed(_badarg(error, _EXECUTE_CALL))
        else:
            self.call(target, arguments, answer)


def _is_spawn_option(option: Any) -> bool:
    """Whether a BEAM node knows it; those that ask for memory and priority mean nothing here."""
    name = option[0] if isinstance(option, tuple) and len(option) == 2 else option
    return isinstance(name, Atom) and name in _SPAWN_OPTIONS


_SPAWN_OPTIONS = frozenset(
    (
        *("link", "monitor", "priority", "fullsweep_after", "min_heap_size", "min_bin_vheap_size"),
        *("max_heap_size", "message_queue_data", "async_dist", "scheduler"),
    )
)

_EXECUTE_CALL = Target("erpc", "execute_call", 4)
_EXECUTE_CAST = Target("erpc", "execute_cast", 3)


class SpawnAnswer(Answer):
    """`spawn` and the like: nobody gets the value; who is linked or monitors gets the end."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def wanted(self) -> bool:
        """True unless an exit signal has ended the process before its turn."""
        return self._process.alive

    def returned(self, value: bytes) -> None:
        self._process.end(_NORMAL)

    def failed(self, failure: Failure) -> None:
        log.warning("process %s failed: %s", self._process.pid, shortened(failure.reason))
        self._process.end(encode_term(failure.exit_reason))


class ErpcAnswer(Answer):
    """`erpc:call`, and `rpc:call` since OTP 23: the process ends with `{Ref, return, Value}` or with the failure."""

    def __init__(self, process: Process, monitor: Reference, ref: Any) -> None:
        self._process = process
        self._monitor = monitor.ext
        self._ref = ref

    def wanted(self) -> bool:
        """False once the caller has died, given up or disconnected: each of these takes its monitor away."""
        return self._process.alive and self._monitor in self._process.watches

    def abandoned(self) -> None:
        self._process.end(_NORMAL)

    def returned(self, value: bytes) -> None:
        self._process.end(_TRIPLE + encode_term(self._ref) + _RETURN + value)

    def failed(self, failure: Failure) -> None:
        if failure.kind is Kind.ERROR:
            reason: tuple[Any, ...] = (self._ref, failure.kind.value, failure.reason, failure.stack)
        else:
            reason = (self._ref, failure.kind.value, failure.reason)
        self._process.end(encode_term(reason))


class GenAnswer(Answer):
    """A gen_server call: a message `{Tag, Reply}`, or the end of the server as far as this caller can see.

    Since OTP 24 the tag is `[alias | Ref]` and the reply goes to that alias (lib/stdlib, gen.erl).

    Args:
        server: the process that was called.
        peer: where the caller is.
        caller: the `From` of the call, `{Pid, Tag}`.
    """

    def __init__(self, server: Process, peer: Peer, caller: tuple[Pid, Any]) -> None:
        self._server = server
        self._peer = peer
        self._pid, self._tag = caller
        self._ref, self._is_alias = monitor_of(self._tag)
        self._monitored = self._ref is not None and self._ref.ext in server.watches

    def wanted(self) -> bool:
        """False once the caller has disconnected, or has taken back the monitor that it called with."""
        if not self._peer.connected:
            return False
        return not self._monitored or (self._ref is not None and self._ref.ext in self._server.watches)

    def returned(self, value: bytes) -> None:
        to = self._ref if self._is_alias and self._ref is not None else self._pid
        message = _PAIR + encode_term(self._tag) + value
        self._peer.send(control.send(self._peer.flags, self._server.pid, to, message), self._server.pid)

    def failed(self, failure: Failure) -> None:
        reason = encode_term(failure.exit_reason)
        if self._ref is None or not self._server.node.end_watch(self._server, self._ref, reason):
            self.returned(encode_term(failure.badrpc))


class RexGenAnswer(GenAnswer):
    """A gen_server call to rex: a failure is a value there."""

    def failed(self, failure: Failure) -> None:
        self.returned(encode_term(failure.badrpc))


class RexMessageAnswer(Answer):
    """The bare message of a C node to rex, answered `{rex, Value}` (erl_interface, `ei_rpc_to`)."""

    def __init__(self, server: Process, peer: Peer, caller: Pid) -> None:
        self._server = server
        self._peer = peer
        self._pid = caller

    def wanted(self) -> bool:
        """False once the caller's node has disconnected."""
        return self._peer.connected

    def returned(self, value: bytes) -> None:
        message = _PAIR + encode_term(Atom("rex")) + value
        self._peer.send(control.send(self._peer.flags, self._server.pid, self._pid, message), self._server.pid)

    def failed(self, failure: Failure) -> None:
        self.returned(encode_term(failure.badrpc))


class GenServer(Process):
    """A registered process that takes gen_server calls and casts."""

    __slots__ = ("_rpc",)

    def __init__(self, node: Node, rpc: Rpc) -> None:
        super().__init__(node)
        self._rpc = rpc

    def linked_exit(self, sender: Pid, reason: Payload) -> None:
        """It outlives whatever it is linked to."""

    def exit_signal(self, sender: Pid, reason: Payload) -> None:
        """It lives as long as its node."""

    def receive(self, peer: Peer, message: control.Send) -> None:
        """A message; what is no gen_server call or cast goes to `handle_info`."""
        try:
            self._receive(peer, message.payload)
        except _BAD_REQUEST as error:
            log.warning("%s sent a message that makes no sense here: %s", peer.name, error)

    def _receive(self, peer: Peer, payload: Payload) -> None:
        tag, caller, request = _gen_message(payload)
        if tag == "$gen_call" and caller is not None:
            self.handle_call(peer, caller, request)
        elif tag == "$gen_cast":
            self.handle_cast(peer, request)
        else:
            self.handle_info(peer, payload)

    def handle_call(self, peer: Peer, caller: tuple[Pid, Any], request: Payload) -> None:
        """Answer a call; `caller` is its `From`."""

    def handle_cast(self, peer: Peer, request: Payload) -> None:
        """A cast."""

    def handle_info(self, peer: Peer, payload: Payload) -> None:
        """Any other message."""
        log.debug("%s sent a message that is no call", peer.name)


class NetKernel(GenServer):
    """`net_kernel`: answers `net_adm:ping` and `Node.ping`."""

    __slots__ = ()

    def handle_call(self, peer: Peer, caller: tuple[Pid, Any], request: Payload) -> None:
        answer = GenAnswer(self, peer, caller)
        match request.decode():
            case ("is_auth", _):
                answer.returned(encode_term(Atom("yes")))
            case other:
                target = Target("net_kernel", "handle_call", 3)
                answer.failed(Failure(Kind.ERROR, Atom("function_clause"), target.stack([other])))


class Rex(GenServer):
    """`rex`: the server behind `rpc` before OTP 23, and still for C nodes, erl_call and Jinterface."""

    __slots__ = ()

    def handle_call(self, peer: Peer, caller: tuple[Pid, Any], request: Payload) -> None:
        self._call(request, RexGenAnswer(self, peer, caller))

    def handle_cast(self, peer: Peer, request: Payload) -> None:
        self._call(request, Answer())

    def handle_info(self, peer: Peer, payload: Payload) -> None:
        arity, offset = tuple_header(payload.data, payload.offset)
        caller, offset = decode_term(payload.data, offset)
        if arity != 2 or not isinstance(caller, Pid):
            raise ValueError("rex expects {Pid, Request}")
        answer = RexMessageAnswer(self, peer, caller)
        if payload.data[offset] in _ATOM_TAGS:
            self._features(peer, caller, Payload(payload.data, offset))
        else:
            self._call(Payload(payload.data, offset), answer)

    def _features(self, peer: Peer, caller: Pid, request: Payload) -> None:
        # `rpc` of OTP 23 and later asks an unknown node whether it has erpc.
        if request.decode() == "features_request":
            reply = (Atom("features_reply"), self.node.name, [Atom("erpc")])
            peer.send(control.send(peer.flags, self.pid, caller, encode_term(reply)), self.pid)

    def _call(self, request: Payload, answer: Answer) -> None:
        try:
            arity, offset = tuple_header(request.data, request.offset)
            kind, offset = decode_term(request.data, offset)
            if arity != 5 or kind not in ("call", "block_call", "cast"):
                raise ValueError("rex takes {call, Module, Function, Arguments, GroupLeader}")
            target, arguments = _mfa(request.data, offset)
        except _BAD_REQUEST as error:
            answer.failed(_badarg(error, Target("rex", "handle_call", 3)))
        else:
            self._rpc.call(target, arguments, answer)


class HandlerServer(GenServer):
    """The process registered under the node's own short name: `GenServer.call({:beam_bpy, node}, {"ping", []})`."""

    __slots__ = ()

    def handle_call(self, peer: Peer, caller: tuple[Pid, Any], request: Payload) -> None:
        self._call(request, GenAnswer(self, peer, caller))

    def handle_cast(self, peer: Peer, request: Payload) -> None:
        self._call(request, Answer())

    def _call(self, request: Payload, answer: Answer) -> None:
        module = self.node.name.partition("@")[0]
        try:
            name, arguments = _named_request(request)
            target = Target(module, name, _length(arguments))
        except _BAD_REQUEST as error:
            answer.failed(_badarg(error, Target(module, "handle_call", 3)))
        else:
            self._rpc.call(target, arguments, answer)


_BAD_REQUEST = (DecodeError, TypeError, ValueError, IndexError, OverflowError)
"""What reading a request of the wrong shape, or one that is cut short, raises."""


def _badarg(error: Exception, target: Target) -> Failure:
    return Failure(Kind.ERROR, (Atom("badarg"), str(error)), target.stack())


def handler_name(term: Any) -> str:
    """The name of a handler as a caller writes it: a binary, an atom, or a character list.

    Raises:
        ValueError: it is none of these.
    """
    if isinstance(term, str):
        return str(term)
    if isinstance(term, list) and term and all(isinstance(character, int) for character in term):
        return "".join(map(chr, term))
    raise ValueError("a handler is named by a binary, an atom or a character list")


def _atom_text(term: Any) -> str:
    match term:
        case Atom():
            return str(term)
        case None:
            return "nil"
        case bool():
            return str(term).lower()
    raise ValueError("a module and a function are named by atoms")


def _mfa(data: Frame, offset: int) -> tuple[Target, Payload]:
    """Module, function and the list of arguments, which stand one after the other at `offset`."""
    module, offset = decode_term(data, offset)
    function, offset = decode_term(data, offset)
    arguments = Payload(data, offset)
    return Target(_atom_text(module), _atom_text(function), _length(arguments)), arguments


def _length(arguments: Payload) -> int:
    """How many arguments there are; a list of small integers may come as a string of bytes (STRING_EXT)."""
    data, offset = arguments
    if data[offset] == _STRING:
        return int.from_bytes(data[offset + 1 : offset + 3])
    return list_header(data, offset)[0]


def _arguments(arguments: Payload, handler: Handler) -> list[Any]:
    """The arguments as the handler wants them; what is no list is an only argument."""
    data, offset = arguments
    if not handler.arrays:
        value = decode_term(data, offset, binaries=handler.binaries)[0]
        if isinstance(value, ImproperList):
            raise ValueError("the arguments are no proper list")
        return value if isinstance(value, list) else [value]
    if data[offset] == _STRING:
        return list(decode_term(data, offset)[0])
    if data[offset] not in (_LIST, _NIL):
        return [decode_term(data, offset, binaries=handler.binaries, arrays=True)[0]]
    count, offset = list_header(data, offset)
    values = []
    for _ in range(count):
        value, offset = decode_term(data, offset, binaries=handler.binaries, arrays=True)
        values.append(value)
    return values


def _gen_message(payload: Payload) -> tuple[Any, tuple[Pid, Any] | None, Payload]:
    """The tag, the `From` of a call, and where the request begins."""
    data = payload.data
    arity, offset = tuple_header(data, payload.offset)
    tag, offset = decode_term(data, offset)
    caller = None
    if arity == 3:
        caller, offset = decode_term(data, offset)
        if not (isinstance(caller, tuple) and len(caller) == 2 and isinstance(caller[0], Pid)):
            raise ValueError("a gen_server call comes from a {Pid, Tag}")
    return tag, caller, Payload(data, offset)


def _named_request(request: Payload) -> tuple[str, Payload]:
    """The handler and the arguments of a gen_server request: `{Name, Args}`, or a name alone."""
    data, offset = request
    if data[offset] != _SMALL_TUPLE:
        return handler_name(request.decode()), _EMPTY_ARGUMENTS
    arity, offset = tuple_header(data, offset)
    name, offset = decode_term(data, offset)
    if arity != 2:
        raise ValueError("a request is {Name, ListOfArguments}")
    return handler_name(name), Payload(data, offset)


def monitor_of(tag: Any) -> tuple[Reference | None, bool]:
    """The reference in a tag `Ref`, `[alias | Ref]` or `[[alias | Ref] | _]`; True for one that is an alias."""
    if isinstance(tag, Reference):
        return tag, False
    if isinstance(tag, ImproperList) and tag.elements[0] == "alias" and isinstance(tag.tail, Reference):
        return tag.tail, True
    if isinstance(tag, ImproperList):
        return monitor_of(tag.elements[0])
    return monitor_of(tag[0]) if isinstance(tag, list) and tag else (None, False)


def failure_of(error: BaseException, stack: list[Any], encoder: ErlangVariantEncoder) -> Failure:
    """What an exception is on the BEAM."""
    for kind, type_ in _CHOSEN:
        if isinstance(error, type_):
            try:
                # What a result may hold, a reason may hold; from here on it is a term that any encoder writes.
                return Failure(kind, decode_term(encoder.encode_term(error.term), binaries=bytes)[0], stack)
            except Exception as problem:  # noqa: BLE001 - a converter's error is an answer too
                return Failure(Kind.ERROR, python_error(problem), stack)
    return Failure(Kind.ERROR, python_error(error), stack)


_CHOSEN = ((Kind.ERROR, ErlangError), (Kind.EXIT, ErlangExit), (Kind.THROW, ErlangThrow))


def python_error(error: BaseException) -> tuple[Atom, dict[Atom, str]]:
    """What an exception is on the BEAM: `{python_error, #{type => …, message => …, traceback => …}}`, binaries all."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith("beam_bpy."):
        trace = trace.tb_next
    text = "".join(traceback.format_exception(type(error), error, trace))[-_MAX_TRACEBACK:]
    details = {"type": type(error).__name__, "message": _message(error), "traceback": text}
    return Atom("python_error"), {Atom(key): _utf8(value) for key, value in details.items()}


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - its __str__ is a program's own, and the caller waits
        return "its text cannot be had"


def _utf8(text: str) -> str:
    return text.encode(errors="replace").decode()


def shortened(reason: Any) -> str:
    """A reason as a log shows it."""
    match reason:
        case ("python_error", {"type": kind, "message": message}):
            return f"{kind}: {message}"
    try:
        return repr(reason)[:500]
    except ValueError:  # An integer of more digits than Python writes.
        return f"a {type(reason).__name__} that is too long to be shown"


_NORMAL = encode_term(Atom("normal"))
_RETURN = encode_term(Atom("return"))
_PAIR = bytes((104, 2))
_TRIPLE = bytes((104, 3))
_ATOM_TAGS = (100, 115, 118, 119)
_SMALL_TUPLE = 104
_STRING = 107
_LIST = 108
_NIL = 106
