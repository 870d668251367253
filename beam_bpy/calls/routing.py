"""Which handler answers a call.

    :erpc, :rpc                  a spawn request for erpc:execute_call/4 (`protocol.erpc`)
    Node.spawn and the like      a spawn request for any other function
    gen_server, rex              messages to registered processes (`gen_servers`)

The handler of the function's name answers. If there is none, these names have a meaning of their own for all modules:

    call_handler, handle_rpc     [Name, Args]: the handler Name
    call_with_progress           [To, Name, Args]: the same, and To gets the values that a long handler yields
    call_with_token              [Token, Name, Args]: the same, and `current_call` has the token
    call_batch                   [[{Name, Args}]]: see `batch`
    describe_handlers            []: the handlers, their parameters, docstrings and options
    subscribe, unsubscribe       [Topic] or [Topic, Pid]: see `subscriptions`
    health, and what tools ask   see `node_answers`; a call of beam_bpy:health/0 never reaches a handler

`apply` of `erlang` and Elixir's `Kernel` stands for the call that it makes.

Arguments are decoded when the handler is known; a call without a handler costs no more than its name.
"""

from collections.abc import Callable
from typing import Any

from beam_bpy.calls.arguments import (
    APPLY_MODULES,
    BAD_REQUEST,
    applied,
    end_of_list,
    is_list,
    mfa_of,
    read_arguments,
    read_name,
    text_in,
)
from beam_bpy.calls.batch import Batch, Step
from beam_bpy.calls.call import Call, CallContext, OnProgress
from beam_bpy.calls.descriptions import describe
from beam_bpy.calls.failure_log import Waiting
from beam_bpy.calls.gen_servers import HandlerServer, NetKernel, Rex
from beam_bpy.calls.handlers import Handler, Registry
from beam_bpy.calls.latest import LatestCasts
from beam_bpy.calls.node_answers import QUESTIONS, answer, health, refusal_of_shell
from beam_bpy.calls.replies import ErpcCastReply, ErpcProcess, Reply, SpawnReply
from beam_bpy.calls.subscriptions import Subscriptions
from beam_bpy.dispatch.call_queue import CallQueue
from beam_bpy.dispatch.runnable import Runnable
from beam_bpy.distribution.node import Node
from beam_bpy.distribution.peer import Peer
from beam_bpy.distribution.process import SpawnedProcess
from beam_bpy.erlang_variant import ErlangVariantEncoder
from beam_bpy.errors import ErlangError
from beam_bpy.failures import Failure, Mfa, badarg, failure_of, not_allowed, overload
from beam_bpy.limits import Limits
from beam_bpy.protocol import control_writer, erpc
from beam_bpy.protocol.control import Payload, SpawnRequest
from beam_bpy.protocol.erpc import ErpcCall
from vendor_term_codec import Atom, Pid, Reference, decode_term, encode_term, list_header, tuple_header, tuple_of

_OK = encode_term(Atom("ok"))
OWN_MODULE = "beam_bpy"
"""The module in which `health` is always that of the node."""

_HEALTH = Mfa(OWN_MODULE, "health", 0)
_PROGRESS = encode_term(Atom("progress"))
HANDLER_SERVER = "beam_bpy"
"""The registered name under which every node takes calls of gen_server's style."""

_SPAWN_OPTIONS = frozenset(
    (
        *("link", "monitor", "priority", "fullsweep_after", "min_heap_size", "min_bin_vheap_size"),
        *("max_heap_size", "message_queue_data", "async_dist", "scheduler"),
    )
)
"""The options of `spawn_opt`. Those for memory and priority have no effect here."""


_QUEUED_BUILTINS = frozenset(("call_handler", "handle_rpc", "call_with_progress", "call_with_token", "call_batch"))
"""The names with a meaning of their own that run other handlers, which may be queued."""


class CallRouter:
    """Finds the handler of each call and runs it, here or through the queue.

    Args:
        registry: the handlers.
        encoder: turns their results into terms.
        queue: the queue of handlers that are not inline.

    Attributes:
        context: the objects that all calls share.
        queue: see above; the server replaces it when another thread is to run the handlers.
        max_queued: see `Limits`.
        subscriptions: the subscribers of the node that was opened last.
    """

    subscriptions: Subscriptions

    def __init__(self, registry: Registry, encoder: ErlangVariantEncoder, queue: CallQueue) -> None:
        self.context = CallContext(registry, encoder)
        self.queue = queue
        self.max_queued = Limits().max_queued
        self._builtins: dict[str, Callable[[Mfa, Payload, Reply], bool]] = {
            "call_handler": self._call_named,
            "handle_rpc": self._call_named,
            "call_with_progress": self._call_with_progress,
            "call_with_token": self._call_with_token,
            "call_batch": self._call_batch,
            "describe_handlers": self._describe_handlers,
            "subscribe": self._subscribe,
            "unsubscribe": self._subscribe,
            "health": self._health,
            "start": self._start_shell,
            **dict.fromkeys(QUESTIONS, self._question),
        }

    def open_node(self, name: str, creation: int) -> Node:
        """A node whose calls are routed here, with the registered processes that every node has."""
        node = Node(name, creation, self._spawn, self._erpc_call)
        self.subscriptions = Subscriptions(node, self.context.encoder)
        node.add(self.subscriptions)
        node.add(NetKernel(node, self.call), "net_kernel")
        node.add(Rex(node, self._call_of_rpc), "rex")
        node.add(HandlerServer(node, self.call, self._is_handler), *{HANDLER_SERVER, name.partition("@")[0]})
        return node

    def call(self, mfa: Mfa, arguments: Payload, reply: Reply) -> None:
        """Find the handler of a call and run it, here or through the queue."""
        reply.peer.calls += 1
        try:
            if mfa.function == "apply" and mfa.module in APPLY_MODULES:
                mfa, arguments = applied(mfa, arguments)
            handler = self.context.registry.find(mfa.function, mfa.module)
            if handler is not None:
                self._run(handler, arguments, mfa, reply)
                return
            builtin = self._builtins.get(mfa.function)
            if builtin is None or not builtin(mfa, arguments, reply):
                self._refuse(mfa, reply, mfa.undefined(arguments.decode()))
        except BAD_REQUEST as error:
            self._refuse(mfa, reply, badarg(error, mfa))
        except ErlangError as error:
            self._refuse(mfa, reply, failure_of(error, mfa.stack(), self.context.encoder))

    def _refuse(self, mfa: Mfa, reply: Reply, failure: Failure) -> None:
        self.context.count_refused(mfa, failure)
        reply.failed(failure)

    def queues(self, module: str, function: str) -> bool:
        """True if calls of this function go through the queue."""
        handler = self.context.registry.find(function, module)
        return not handler.inline if handler is not None else function in _QUEUED_BUILTINS

    def _is_handler(self, module: str, function: str) -> bool:
        return self.context.registry.find(function, module) is not None

    def submit(self, work: Runnable) -> None:
        """Run `work` on the thread that runs handlers."""
        self.queue.put(work)

    def _run(
        self,
        handler: Handler,
        arguments: Payload,
        mfa: Mfa,
        reply: Reply,
        on_progress: OnProgress | None = None,
        token: Any = None,
    ) -> None:
        if handler.permit is not None and not handler.permits(reply.peer.name):
            self._refuse(mfa, reply, not_allowed(mfa))
            return
        if handler.latest is not None and reply.waiting is Waiting.CAST:
            self._run_latest(handler, arguments, mfa, reply, token)
            return
        if not handler.inline and (refusal := self._overload(mfa, reply.peer)) is not None:
            self._refuse(mfa, reply, refusal)
            return
        args, _end = read_arguments(handler, arguments)
        call = Call(self.context, handler, args, mfa, reply, on_progress, token)
        # An inline call runs here. Further slices of a long one would block the network thread, so they are queued.
        if not handler.inline or call.run():
            reply.queued()
            self._enqueue(call, reply)

    def _enqueue(self, work: Runnable, reply: Reply) -> None:
        """Queue a call behind all that its node has sent before."""
        latest: LatestCasts | None = reply.peer.load.latest
        if latest is not None:
            latest.keep_order()
        self.queue.put(work)

    def _run_latest(self, handler: Handler, arguments: Payload, mfa: Mfa, reply: Reply, token: Any) -> None:
        """Queue a cast of a handler with the option `latest`, or let it take the place of one that waits."""
        args, _end = read_arguments(handler, arguments)
        key = handler.latest_key(args)
        call = Call(self.context, handler, args, mfa, reply, None, token)
        latest = self._latest_of(reply.peer)
        replaced = latest.replace(key, call)
        if replaced is not None:
            self.context.statistics.replaced += 1
            reply.peer.load.replaced += 1
            replaced.drop()
        elif (refusal := self._overload(mfa, reply.peer)) is not None:
            self._refuse(mfa, reply, refusal)
        else:
            reply.queued()
            self.queue.put(latest.add(key, call))

    def _latest_of(self, peer: Peer) -> LatestCasts:
        if peer.load.latest is None:
            peer.load.latest = LatestCasts()
        latest: LatestCasts = peer.load.latest
        return latest

    def _overload(self, mfa: Mfa, peer: Peer) -> Failure | None:
        """Why no further call may be queued, before its arguments are decoded; None if it may."""
        sentence = peer.load.overloaded
        if sentence is None and len(self.queue) >= self.max_queued:
            sentence = f"{self.max_queued} calls wait already: this node accepts no more at present"
        return overload(sentence, mfa) if sentence is not None else None

    # -- names with a meaning of their own; each returns False when the call means something else

    def _call_named(self, mfa: Mfa, arguments: Payload, reply: Reply) -> bool:
        # A list of two small integers is encoded as a STRING_EXT; it names no handler.
        if mfa.arity != 2 or not is_list(arguments):
            return False
        _count, offset = list_header(*arguments)
        try:
            name, offset = read_name(arguments.data, offset)
        except (ValueError, OverflowError):
            return False
        return self._run_named(name, Payload(arguments.data, offset), mfa, reply)

    def _call_with_progress(self, mfa: Mfa, arguments: Payload, reply: Reply) -> bool:
        if mfa.arity != 3:
            return False
        _count, offset = list_header(*arguments)
        to, offset = decode_term(arguments.data, offset)
        name, offset = read_name(arguments.data, offset)
        on_progress = _progress_sender(reply, to, name)
        return self._run_named(name, Payload(arguments.data, offset), mfa, reply, on_progress)

    def _call_with_token(self, mfa: Mfa, arguments: Payload, reply: Reply) -> bool:
        if mfa.arity != 3:
            return False
        _count, offset = list_header(*arguments)
        token, offset = decode_term(arguments.data, offset)
        name, offset = read_name(arguments.data, offset)
        return self._run_named(name, Payload(arguments.data, offset), mfa, reply, token=token)

    def _run_named(
        self,
        name: str,
        arguments: Payload,
        mfa: Mfa,
        reply: Reply,
        on_progress: OnProgress | None = None,
        token: Any = None,
    ) -> bool:
        handler = self.context.registry.find(name, mfa.module)
        if handler is not None:
            self._run(handler, arguments, mfa, reply, on_progress, token)
        return handler is not None

    def _call_batch(self, mfa: Mfa, arguments: Payload, reply: Reply) -> bool:
        if mfa.arity != 1:
            return False
        refusal = self._overload(mfa, reply.peer)
        if refusal is not None:
            self._refuse(mfa, reply, refusal)
            return True
        _one, offset = list_header(*arguments)
        count, offset = list_header(arguments.data, offset)
        steps = []
        for _ in range(count):
            step, offset = self._read_step(Payload(arguments.data, offset), mfa.module)
            steps.append(step)
        if count:
            end_of_list(arguments.data, offset)
        reply.queued()
        self._enqueue(Batch(self.context, steps, reply), reply)
        return True

    def _read_step(self, place: Payload, module: str) -> tuple[Step, int]:
        arity, offset = tuple_header(*place)
        if arity != 2:
            raise ValueError("a batch is a list of {Name, ListOfArguments}")
        name, offset = read_name(place.data, offset)
        handler = self.context.registry.find(name, module)
        if handler is not None:
            args, offset = read_arguments(handler, Payload(place.data, offset))
        else:
            args, offset = decode_term(place.data, offset)
            args = args if isinstance(args, list) else [args]
        return Step(handler, args, Mfa(module, name, len(args))), offset

    def _describe_handlers(self, mfa: Mfa, _arguments: Payload, reply: Reply) -> bool:
        if mfa.arity != 0:
            return False
        encoder = self.context.encoder
        permitted = [handler for handler in self.context.registry.all() if handler.permits(reply.peer.name)]
        reply.returned(encode_term([describe(handler, encoder) for handler in permitted]))
        return True

    def _subscribe(self, mfa: Mfa, arguments: Payload, reply: Reply) -> bool:
        if mfa.arity not in (1, 2):
            return False
        topic, *others = arguments.decode()
        pid = others[0] if others else reply.caller_pid
        if not isinstance(pid, Pid):
            raise ValueError("a subscriber is a pid")
        if mfa.function == "subscribe":
            self.subscriptions.subscribe(text_in(topic), pid)
        else:
            self.subscriptions.unsubscribe(text_in(topic), pid)
        reply.returned(_OK)
        return True

    def _health(self, mfa: Mfa, _arguments: Payload, reply: Reply) -> bool:
        if mfa.arity != 0:
            return False
        reply.returned(encode_term(health(reply.node, self.queue, self.context.statistics).term()))
        return True

    def _question(self, mfa: Mfa, arguments: Payload, reply: Reply) -> bool:
        try:
            value = answer(reply.node, mfa.module, mfa.function, arguments.decode())
        except KeyError:
            return False
        reply.returned(encode_term(value))
        return True

    def _start_shell(self, mfa: Mfa, _arguments: Payload, reply: Reply) -> bool:
        """There is no shell here: the user is told so, and the call is `undef`."""
        peer, pid = reply.peer, reply.process.pid
        refusal = refusal_of_shell(reply.node, pid, mfa.module)
        if refusal is not None:
            peer.send(control_writer.send(peer.flags, pid, Atom("user"), encode_term(refusal)), pid)
        return False

    def _call_of_rpc(self, mfa: Mfa, arguments: Payload, reply: Reply) -> None:
        """A call whose caller has named a module, not this package."""
        if mfa == _HEALTH:
            self._health(mfa, arguments, reply)
        else:
            self.call(mfa, arguments, reply)

    # -- spawn requests

    def _erpc_call(self, node: Node, peer: Peer, call: ErpcCall) -> None:
        submit = self.call if call.module != OWN_MODULE else self._call_of_rpc
        submit(Mfa(call.module, call.function, call.arity), call.arguments, ErpcProcess(node, peer, call))

    def _spawn(self, node: Node, peer: Peer, request: SpawnRequest) -> None:
        if not all(map(_is_spawn_option, request.options)):
            reply = control_writer.spawn_reply(request.ref, request.sender, 0, Atom("badopt"))
            peer.send(reply, node.new_pid())
            return
        options = {"monitored": "monitor" in request.options, "linked": "link" in request.options}
        mfa = Mfa(str(request.module), str(request.function), request.arity)
        erpc_call = erpc.call_of(request) if mfa == erpc.EXECUTE_CALL else None
        if erpc_call is not None:  # With other options than those of `erpc:call`.
            process = ErpcProcess(node, peer, erpc_call)
            node.add_spawned(process, **options)
            self._call_of_rpc(Mfa(erpc_call.module, erpc_call.function, erpc_call.arity), erpc_call.arguments, process)
            return
        spawned = SpawnedProcess(node, peer, request.ref, request.sender)
        node.add_spawned(spawned, **options)
        reply_type = ErpcCastReply if mfa == erpc.EXECUTE_CAST else SpawnReply
        self._run_spawned(mfa, reply_type(node, spawned, peer, request.sender), request)

    def _run_spawned(self, mfa: Mfa, reply: Reply, request: SpawnRequest) -> None:
        try:
            if mfa == erpc.EXECUTE_CAST:
                called = erpc.cast_of(request)
                self.call(mfa_of(called), called.arguments, reply)
            elif mfa == erpc.EXECUTE_CALL:
                raise ValueError("erpc:execute_call takes a reference, a module, a function and a list of arguments")
            else:
                self.call(mfa, request.payload, reply)
        except BAD_REQUEST as error:
            self._refuse(mfa, reply, badarg(error, mfa))


def _progress_sender(reply: Reply, to: Any, name: str) -> OnProgress:
    """Sends `{progress, Tag, Value}` to a pid or alias, or to that in `{To, Tag}`; the default tag is `name`."""
    receiver, tag = to if isinstance(to, tuple) and len(to) == 2 else (to, name)
    if not isinstance(receiver, Pid | Reference):
        raise ValueError("progress is sent to a pid, an alias or {PidOrAlias, Tag}")
    encoded_tag = encode_term(tag)
    return lambda value: reply.node.send(reply.process, receiver, tuple_of(_PROGRESS, encoded_tag, value))


def _is_spawn_option(option: Any) -> bool:
    """True for an option that a BEAM node knows."""
    name = option[0] if isinstance(option, tuple) and len(option) == 2 else option
    return isinstance(name, Atom) and name in _SPAWN_OPTIONS
