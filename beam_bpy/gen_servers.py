"""The registered processes of a node, which take gen_server calls, casts and messages.

GenServer            messages {'$gen_call', {From, Tag}, Request} and {'$gen_cast', Request} (lib/stdlib, gen.erl)
NetKernel            net_kernel: {is_auth, Node}, which is `net_adm:ping`
Rex                  rex: what rpc was before OTP 23, and what C nodes still send
HandlerServer        the node's own short name: {Name, Args}
"""

from collections.abc import Callable

from beam_bpy.answers import Answer, Caller, CastAnswer, GenAnswer, RexGenAnswer, RexMessageAnswer
from beam_bpy.failures import Failure, Kind, Target, badarg
from beam_bpy.logs import log
from beam_bpy.node import Node, Peer, Process
from beam_bpy.protocol import control
from beam_bpy.protocol.control import Payload
from beam_bpy.protocol.gen import From, GenCall
from beam_bpy.requests import ATOM_TAGS, BAD_REQUEST, Request, gen_message, length, mfa, named
from vendor_term_codec import Atom, Pid, decode_term, encode_term, tuple_header

Submit = Callable[[Target, Payload, Answer], None]
"""Runs a call: `Rpc.call`."""


class GenServer(Process):
    """A registered process that takes gen_server calls and casts."""

    __slots__ = ("_submit",)

    def __init__(self, node: Node, submit: Submit) -> None:
        super().__init__(node)
        self._submit = submit

    def linked_exit(self, sender: Pid, reason: Payload) -> None:
        """It outlives whatever it is linked to."""

    def exit_signal(self, sender: Pid, reason: Payload) -> None:
        """It lives as long as its node."""

    def receive(self, peer: Peer, message: control.Send) -> None:
        """A message; what is no gen_server call or cast goes to `handle_info`."""
        try:
            self._receive(peer, message.payload)
        except BAD_REQUEST as error:
            _log_nonsense(peer, error)

    def called(self, peer: Peer, call: GenCall) -> None:
        """See `Process.called`."""
        try:
            self.handle_call(peer, call.caller, call.request)
        except BAD_REQUEST as error:
            _log_nonsense(peer, error)

    def _receive(self, peer: Peer, payload: Payload) -> None:
        tag, caller, request = gen_message(payload)
        if tag == "$gen_call" and caller is not None:
            self.handle_call(peer, caller, request)
        elif tag == "$gen_cast":
            self.handle_cast(peer, request)
        else:
            self.handle_info(peer, payload)

    def handle_call(self, peer: Peer, caller: From, request: Payload) -> None:
        """Answer a call."""

    def handle_cast(self, peer: Peer, request: Payload) -> None:
        """A cast."""

    def handle_info(self, peer: Peer, payload: Payload) -> None:
        """Any other message."""
        log.debug("%s sent a message that is no call", peer.name)


def _log_nonsense(peer: Peer, error: Exception) -> None:
    log.warning("%s sent a message that makes no sense here: %s", peer.name, error)


class NetKernel(GenServer):
    """`net_kernel`: answers `net_adm:ping` and `Node.ping`."""

    __slots__ = ()

    def handle_call(self, peer: Peer, caller: From, request: Payload) -> None:
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

    def handle_call(self, peer: Peer, caller: From, request: Payload) -> None:
        self._call(request, RexGenAnswer(self, peer, caller))

    def handle_cast(self, peer: Peer, request: Payload) -> None:
        self._call(request, CastAnswer(self, Caller(peer, None)))

    def handle_info(self, peer: Peer, payload: Payload) -> None:
        arity, offset = tuple_header(payload.data, payload.offset)
        caller, offset = decode_term(payload.data, offset)
        if arity != 2 or not isinstance(caller, Pid):
            raise ValueError("rex expects {Pid, Request}")
        answer = RexMessageAnswer(self, peer, caller)
        if payload.data[offset] in ATOM_TAGS:
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
            called = mfa(request.data, offset)
        except BAD_REQUEST as error:
            answer.failed(badarg(error, Target("rex", "handle_call", 3)))
        else:
            self._submit(*called, answer)


class HandlerServer(GenServer):
    """The process registered under the node's own short name: `GenServer.call({:beam_bpy, node}, {"ping", []})`."""

    __slots__ = ()

    def handle_call(self, peer: Peer, caller: From, request: Payload) -> None:
        self._call(request, GenAnswer(self, peer, caller))

    def handle_cast(self, peer: Peer, request: Payload) -> None:
        self._call(request, CastAnswer(self, Caller(peer, None)))

    def _call(self, request: Payload, answer: Answer) -> None:
        module = self.node.name.partition("@")[0]
        try:
            name, arguments = named(request)
            called = Request(Target(module, name, length(arguments)), arguments)
        except BAD_REQUEST as error:
            answer.failed(badarg(error, Target(module, "handle_call", 3)))
        else:
            self._submit(*called, answer)
