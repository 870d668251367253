"""What a peer can call, and how each kind of call finds its handler.

    :erpc, :rpc                  a spawn request for erpc:execute_call/4 (lib/kernel, erpc.erl)
    Node.spawn and the like      a spawn request for any other function
    gen_server, rex              messages to registered processes: see `gen_servers`

A handler of the name that is called answers. If there is none, these names have a meaning of their own, whatever the
module is called:

    call_handler, handle_rpc     [Name, Args]: the handler Name
    call_with_progress           [To, Name, Args]: the same, and what a long handler yields is sent to To
    call_batch                   [[{Name, Args}]]: see `calls.Batch`
    subscribe, unsubscribe       [Topic] or [Topic, Pid]: see `events`

Arguments are decoded once the handler is known, as the handler wants them; a call for which there is no handler costs
no more than its name.
"""

from collections.abc import Callable
from typing import Any

from beam_bpy.answers import Answer, Caller, ErpcAnswer, SpawnAnswer
from beam_bpy.calls import Batch, Call, House, Listener, Step
from beam_bpy.dispatch import CallQueue, Runnable
from beam_bpy.erlang_variant import ErlangVariantEncoder
from beam_bpy.events import Events
from beam_bpy.failures import Failure, Target, badarg, not_allowed, overload
from beam_bpy.gen_servers import HandlerServer, NetKernel, Rex
from beam_bpy.handlers import Handler, Registry
from beam_bpy.limits import Limits
from beam_bpy.node import CalledProcess, Node, Peer, Process
from beam_bpy.protocol import control
from beam_bpy.protocol.control import Payload
from beam_bpy.protocol.erpc import ErpcCall
from beam_bpy.requests import (
    BAD_REQUEST,
    atom_text,
    behind_list,
    handler_name,
    is_list,
    mfa,
    read_arguments,
    read_name,
)
from vendor_term_codec import Atom, Pid, Reference, decode_term, encode_term, list_header, tuple_header


class Rpc:
    """Everything that a peer can call.

    Args:
        registry: where handlers are found.
        encoder: turns what handlers return into terms.
        queue: the queue for handlers that are not inline, asked for each call.

    Attributes:
        max_queued: calls that may wait there; see `Limits`.
    """

    events: Events

    def __init__(self, registry: Registry, encoder: ErlangVariantEncoder, queue: Callable[[], CallQueue]) -> None:
        self.house = House(registry, encoder)
        self._queue = queue
        self.max_queued = Limits().max_queued
        self._builtins: dict[str, Callable[[Target, Payload, Answer], bool]] = {
            "call_handler": self._call_named,
            "handle_rpc": self._call_named,
            "call_with_progress": self._call_with_progress,
            "call_batch": self._call_batch,
            "subscribe": self._subscribe,
            "unsubscribe": self._subscribe,
        }

    def open(self, name: str, creation: int) -> Node:
        """The node whose calls end here, with the processes that a node is expected to have."""
        node = Node(name, creation, self._spawn, self._erpc)
        self.events = Events(node, self.house.encoder)
        node.add(self.events)
        node.add(NetKernel(node, self.call), "net_kernel")
        node.add(Rex(node, self.call), "rex")
        node.add(HandlerServer(node, self.call), name.partition("@")[0])
        return node

    def call(self, target: Target, arguments: Payload, answer: Answer) -> None:
        """Find the handler that is called and run it, here or through the queue."""
        answer.caller.peer.calls += 1
        try:
            handler = self.house.registry.find(target.function, target.module)
            if handler is not None:
                self._run(handler, arguments, target, answer)
                return
            builtin = self._builtins.get(target.function)
            if builtin is None or not builtin(target, arguments, answer):
                answer.failed(target.undefined(arguments.decode()))
        except BAD_REQUEST as error:
            answer.failed(badarg(error, target))

    def submit(self, work: Runnable) -> None:
        """Run `work` where handlers run."""
        self._queue().put(work)

    def _run(
        self, handler: Handler, arguments: Payload, target: Target, answer: Answer, listener: Listener | None = None
    ) -> None:
        queue = None if handler.inline else self._queue()
        refusal = self._refusal(handler, target, answer.caller.peer, queue)
        if refusal is not None:
            answer.failed(refusal)
            return
        args, _end = read_arguments(handler, arguments)
        call = Call(self.house, handler, args, target, answer, listener)
        if queue is None:
            if not call.run():
                return
            # The further slices of a long call would keep the network thread from everybody else.
            queue = self._queue()
        answer.queued()
        queue.put(call)

    def _refusal(self, handler: Handler, target: Target, peer: Peer, queue: CallQueue | None) -> Failure | None:
        """Why the handler is not run for a peer, before anything is decoded; `queue` is where it would wait."""
        if not handler.permits(peer.name):
            return not_allowed(target)
        return None if queue is None else self._overload(target, peer, queue)

    def _overload(self, target: Target, peer: Peer, queue: CallQueue) -> Failure | None:
        sentence = peer.load.overloaded
        if sentence is None and len(queue) >= self.max_queued:
            sentence = f"{self.max_queued} calls wait already: this node takes no more at present"
        return overload(sentence, target) if sentence is not None else None

    # -- names with a meaning of their own; each answers, or returns False when there is no handler of that name

    def _call_named(self, target: Target, arguments: Payload, answer: Answer) -> bool:
        # Two small integers come as a string of bytes, and name nothing.
        if target.arity != 2 or not is_list(arguments):
            return False
        _count, offset = list_header(*arguments)
        try:
            name, offset = read_name(arguments.data, offset)
        except (ValueError, OverflowError):
            return False
        return self._run_named(name, Payload(arguments.data, offset), target, answer)

    def _call_with_progress(self, target: Target, arguments: Payload, answer: Answer) -> bool:
        if target.arity != 3:
            return False
        _count, offset = list_header(*arguments)
        to, offset = decode_term(arguments.data, offset)
        name, offset = read_name(arguments.data, offset)
        listener = _listener(answer, to, name)
        return self._run_named(name, Payload(arguments.data, offset), target, answer, listener)

    def _run_named(
        self, name: str, arguments: Payload, target: Target, answer: Answer, listener: Listener | None = None
    ) -> bool:
        handler = self.house.registry.find(name, target.module)
        if handler is not None:
            self._run(handler, arguments, target, answer, listener)
        return handler is not None

    def _call_batch(self, target: Target, arguments: Payload, answer: Answer) -> bool:
        if target.arity != 1:
            return False
        queue = self._queue()
        refusal = self._overload(target, answer.caller.peer, queue)
        if refusal is not None:
            answer.failed(refusal)
            return True
        _one, offset = list_header(*arguments)
        count, offset = list_header(arguments.data, offset)
        steps = []
        for _ in range(count):
            step, offset = self._step(Payload(arguments.data, offset), target.module)
            steps.append(step)
        if count:
            behind_list(arguments.data, offset)
        answer.queued()
        queue.put(Batch(self.house, steps, answer))
        return True

    def _step(self, place: Payload, module: str) -> tuple[Step, int]:
        arity, offset = tuple_header(*place)
        if arity != 2:
            raise ValueError("a batch is a list of {Name, ListOfArguments}")
        name, offset = read_name(place.data, offset)
        handler = self.house.registry.find(name, module)
        if handler is not None:
            args, offset = read_arguments(handler, Payload(place.data, offset))
        else:
            args, offset = decode_term(place.data, offset)
            args = args if isinstance(args, list) else [args]
        return Step(handler, args, Target(module, name, len(args))), offset

    def _subscribe(self, target: Target, arguments: Payload, answer: Answer) -> bool:
        if target.arity not in (1, 2):
            return False
        topic, *others = arguments.decode()
        pid = others[0] if others else answer.caller.pid
        if not isinstance(pid, Pid):
            raise ValueError("a subscriber is a pid")
        if target.function == "subscribe":
            self.events.subscribe(handler_name(topic), pid)
        else:
            self.events.unsubscribe(handler_name(topic), pid)
        answer.returned(_OK)
        return True

    # -- spawn requests

    def _erpc(self, node: Node, peer: Peer, call: ErpcCall) -> None:
        answer = ErpcAnswer(CalledProcess(node, peer, call), Caller(peer, call.sender), call.ref, call.call_ref)
        target = Target(call.module, call.function, call.arity)
        self.call(target, Payload(call.data, call.offset), answer)

    def _spawn(self, node: Node, peer: Peer, request: control.SpawnRequest) -> None:
        if not all(map(_is_spawn_option, request.options)):
            nobody = Process(node).pid
            peer.send(control.spawn_reply(request.ref, request.sender, 0, Atom("badopt")), nobody)
            return
        monitored, linked = "monitor" in request.options, "link" in request.options
        process = node.spawned(peer, request.sender, request.ref, monitored=monitored, linked=linked)
        self._run_spawned(process, Caller(peer, request.sender), request)

    def _run_spawned(self, process: Process, caller: Caller, request: control.SpawnRequest) -> None:
        entry = Target(atom_text(request.module), atom_text(request.function), request.arity)
        try:
            if entry == _EXECUTE_CALL:
                self._execute_call(process, caller, request)
            elif entry == _EXECUTE_CAST:
                _count, offset = list_header(*request.payload)
                self.call(*mfa(request.payload.data, offset), SpawnAnswer(process, caller))
            else:
                self.call(entry, request.payload, SpawnAnswer(process, caller))
        except BAD_REQUEST as error:
            SpawnAnswer(process, caller).failed(badarg(error, entry))

    def _execute_call(self, process: Process, caller: Caller, request: control.SpawnRequest) -> None:
        _count, offset = list_header(*request.payload)
        ref, offset = decode_term(request.payload.data, offset)
        answer = ErpcAnswer(process, caller, request.ref, encode_term(ref))
        try:
            called = mfa(request.payload.data, offset)
        except BAD_REQUEST as error:
            answer.failed(badarg(error, _EXECUTE_CALL))
        else:
            self.call(*called, answer)


def _listener(answer: Answer, to: Any, name: str) -> Listener:
    """Sends `{progress, Tag, Value}` to a pid or alias, or to that of a tuple `{To, Tag}`; the tag is else `name`."""
    receiver, tag = to if isinstance(to, tuple) and len(to) == 2 else (to, name)
    if not isinstance(receiver, Pid | Reference):
        raise ValueError("progress is sent to a pid, an alias or {PidOrAlias, Tag}")
    head = bytes((104, 3)) + encode_term(Atom("progress")) + encode_term(tag)
    process = answer.process
    return lambda value: process.node.send(process, receiver, head + value)


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
_OK = encode_term(Atom("ok"))
