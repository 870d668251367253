"""The registered processes of a node, which receive gen_server calls, casts and other messages.

NetKernel            `net_kernel`: `{is_auth, Node}`, which is `net_adm:ping`
Rex                  `rex`: the server of rpc before OTP 23, and still of C nodes
HandlerServer        `beam_bpy` and the node's short name: requests that name a handler, see `arguments.read_request`
"""

import logging
from collections.abc import Callable

from beam_bpy.calls.arguments import BAD_REQUEST, count_arguments, mfa_of, read_request
from beam_bpy.calls.replies import CastReply, GenReply, Reply, RexGenReply, RexMessageReply
from beam_bpy.distribution.node import Node
from beam_bpy.distribution.peer import Peer
from beam_bpy.distribution.process import PermanentProcess
from beam_bpy.failures import Failure, Kind, Mfa, badarg
from beam_bpy.logger import log, repeated
from beam_bpy.protocol import control, control_writer, erpc, gen_server
from beam_bpy.protocol.control import Payload
from beam_bpy.protocol.gen_server import From, GenCall
from vendor_term_codec import Atom, Pid, decode_term, encode_term, tags, tuple_header

Submit = Callable[[Mfa, Payload, Reply], None]
"""Runs a call: `CallRouter.call`."""

_ATOM_TAGS = (tags.ATOM, tags.SMALL_ATOM, tags.ATOM_UTF8, tags.SMALL_ATOM_UTF8)


class GenServer(PermanentProcess):
    """A registered process that receives gen_server calls and casts.

    Args:
        node: our node.
        submit: see `Submit`.
    """

    __slots__ = ("_submit",)

    node: Node

    def __init__(self, node: Node, submit: Submit) -> None:
        super().__init__(node)
        self._submit = submit

    def receive_call(self, peer: Peer, call: GenCall) -> None:
        """See `Process`."""
        try:
            self.handle_call(peer, call.caller, call.request)
        except BAD_REQUEST as error:
            reply = GenReply(self.node, self, peer, call.caller)
            reply.failed(badarg(error, Mfa("gen_server", "handle_call", 3)))

    def receive(self, peer: Peer, message: control.Send) -> None:
        """See `Process`."""
        try:
            cast = gen_server.cast_in(message.payload)
            system = gen_server.call_in(message, gen_server.SYSTEM) if cast is None else None
            if cast is not None:
                self.handle_cast(peer, cast)
            elif system is not None:
                self._refuse_system_message(peer, system)
            else:
                self.handle_info(peer, message.payload)
        except BAD_REQUEST as error:
            _log_unreadable(peer, error)

    def _refuse_system_message(self, peer: Peer, system: GenCall) -> None:
        """Answer a call of the module sys (`sys:get_state`, `gen_server:stop`) as sys answers one that is unknown."""
        request = system.request.decode(binaries=bytes)
        refusal = (Atom("error"), (Atom("unknown_system_msg"), request))
        GenReply(self.node, self, peer, system.caller).returned(encode_term(refusal))

    def handle_call(self, peer: Peer, caller: From, request: Payload) -> None:
        """Answer a call."""

    def handle_cast(self, peer: Peer, request: Payload) -> None:
        """Process a cast."""

    def handle_info(self, peer: Peer, payload: Payload) -> None:
        """Process any other message."""
        log.debug("%s sent a message that is not a call", peer.name)


def _log_unreadable(peer: Peer, error: Exception) -> None:
    key = ("unreadable", peer.name)
    repeated.log(logging.WARNING, key, "%s sent a message that cannot be read: %s", peer.name, error)


class NetKernel(GenServer):
    """`net_kernel`: answers `net_adm:ping` and `Node.ping`."""

    __slots__ = ()

    def handle_call(self, peer: Peer, caller: From, request: Payload) -> None:
        """See `GenServer`."""
        reply = GenReply(self.node, self, peer, caller)
        match request.decode():
            case ("is_auth", _):
                reply.returned(encode_term(Atom("yes")))
            case other:
                mfa = Mfa("net_kernel", "handle_call", 3)
                reply.failed(Failure(Kind.ERROR, Atom("function_clause"), mfa.stack([other])))


class Rex(GenServer):
    """`rex`: the server of `rpc` before OTP 23, and still of C nodes, erl_call and Jinterface."""

    __slots__ = ()

    def handle_call(self, peer: Peer, caller: From, request: Payload) -> None:
        """See `GenServer`."""
        self._call(request, RexGenReply(self.node, self, peer, caller))

    def handle_cast(self, peer: Peer, request: Payload) -> None:
        """See `GenServer`."""
        self._call(request, CastReply(self.node, self, peer, None))

    def handle_info(self, peer: Peer, payload: Payload) -> None:
        """See `GenServer`: `{Pid, Request}`."""
        arity, offset = tuple_header(payload.data, payload.offset)
        caller, offset = decode_term(payload.data, offset)
        if arity != 2 or not isinstance(caller, Pid):
            raise ValueError("rex expects {Pid, Request}")
        if payload.data[offset] in _ATOM_TAGS:
            self._answer_features_request(peer, caller, Payload(payload.data, offset))
        else:
            self._call(Payload(payload.data, offset), RexMessageReply(self.node, self, peer, caller))

    def _answer_features_request(self, peer: Peer, caller: Pid, request: Payload) -> None:
        # `rpc` of OTP 23 and later asks an unknown node if it has erpc.
        if request.decode() == "features_request":
            reply = (Atom("features_reply"), self.node.name, [Atom("erpc")])
            peer.send(control_writer.send(peer.flags, self.pid, caller, encode_term(reply)), self.pid)

    def _call(self, request: Payload, reply: Reply) -> None:
        try:
            arity, offset = tuple_header(request.data, request.offset)
            kind, offset = decode_term(request.data, offset)
            if arity != 5 or kind not in ("call", "block_call", "cast"):
                raise ValueError("rex takes {call, Module, Function, Arguments, GroupLeader}")
            called = erpc.invocation(Payload(request.data, offset))
            mfa = mfa_of(called)
        except BAD_REQUEST as error:
            reply.failed(badarg(error, Mfa("rex", "handle_call", 3)))
        else:
            self._submit(mfa, called.arguments, reply)


class HandlerServer(GenServer):
    """The process that programs call in the style of gen_server: `GenServer.call({:beam_bpy, node}, {:rename, "A"})`.

    Every node registers it as `beam_bpy`, so that one name reaches all nodes, and as its own short name.

    A plain message `send({:beam_bpy, node}, {:rename, "A"})` is a cast, if it names a handler.

    Args:
        node: our node.
        submit: see `Submit`.
        is_handler: called with a module and a name; returns True if there is such a handler.
    """

    __slots__ = ("_is_handler",)

    def __init__(self, node: Node, submit: Submit, is_handler: Callable[[str, str], bool]) -> None:
        super().__init__(node, submit)
        self._is_handler = is_handler

    def handle_call(self, peer: Peer, caller: From, request: Payload) -> None:
        """See `GenServer`."""
        self._call(request, GenReply(self.node, self, peer, caller))

    def handle_cast(self, peer: Peer, request: Payload) -> None:
        """See `GenServer`."""
        self._call(request, CastReply(self.node, self, peer, None))

    def handle_info(self, peer: Peer, payload: Payload) -> None:
        """See `GenServer`. Others send messages, too: about a node that has ended, or a late reply."""
        try:
            name, _arguments = read_request(payload)
        except BAD_REQUEST:
            name = ""
        if self._is_handler(self._module, name):
            self.handle_cast(peer, payload)
        else:
            super().handle_info(peer, payload)

    @property
    def _module(self) -> str:
        """The module that calls in this style name."""
        return self.node.name.partition("@")[0]

    def _call(self, request: Payload, reply: Reply) -> None:
        module = self._module
        try:
            name, arguments = read_request(request)
            mfa = Mfa(module, name, count_arguments(arguments))
        except BAD_REQUEST as error:
            reply.failed(badarg(error, Mfa(module, "handle_call", 3)))
        else:
            self._submit(mfa, arguments, reply)
