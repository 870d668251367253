"""Calls to a node without sockets, in each way in which a BEAM process can make them."""

from beam_bpy.calls.handlers import Handler, Registry
from beam_bpy.calls.routing import CallRouter
from beam_bpy.dispatch.call_queue import CallQueue
from beam_bpy.erlang_variant import ErlangVariantEncoder
from beam_bpy.protocol import control
from vendor_term_codec import Atom, ImproperList

A = Atom


CRATES = A("Elixir.Crates")


MONITOR, LINK = [A("monitor")], [A("link")]


UNUSED = A("")


class LocalNode:
    """A node with handlers, and the queue that they go through."""

    def __init__(self):
        self.registry = Registry()
        self.encoder = ErlangVariantEncoder()
        self._router = CallRouter(self.registry, self.encoder, CallQueue())
        self.node = self._router.open_node("beam_bpy@127.0.0.1", 9)

    @property
    def statistics(self):
        return self._router.context.statistics

    @property
    def queue(self):
        return self._router.queue

    @queue.setter
    def queue(self, queue):
        self._router.queue = queue

    def register(self, name, function, **options):
        self.registry.add(Handler(name, function, **({"spread": False} | options)))

    def serve(self):
        """Run what is queued; returns how much it was."""
        return self.queue.drain(10.0)


def ask_erpc(caller, module, function, args, options=MONITOR):
    """Begin an `erpc:call`; returns the pid of the process that runs it, the monitor and the call's own reference."""
    monitor, call = caller.ref(), caller.ref()
    mfa = (A("erpc"), A("execute_call"), 4)
    caller.tell(29, monitor, caller.pid, caller.pid, mfa, options, payload=[call, module, function, args])
    reply = caller.heard_first()
    assert reply == control.SpawnReply(monitor, caller.pid, control.SpawnFlag.MONITORED, reply.result)
    return reply.result, monitor, call


def erpc(local, caller, module, function, args):
    """The reason with which the process of an `erpc:call` ends, with the call's reference taken off."""
    process, monitor, call = ask_erpc(caller, module, function, args)
    local.serve()
    [down] = caller.heard()
    assert (down.target, down.to, down.ref) == (process, caller.pid, monitor)
    assert down.reason[0] == call
    return down.reason[1:]


def spawn(caller, module, function, args, options):
    """`spawn_request`: returns the request's reference and what was answered."""
    ref = caller.ref()
    mfa = (module, function, len(args))
    caller.tell(29, ref, caller.pid, caller.pid, mfa, options, payload=args)
    reply = caller.heard_first()
    assert reply == control.SpawnReply(ref, caller.pid, reply.flags, reply.result)
    return ref, reply


def ask_gen(caller, name, request, *, alias=True, monitor=True):
    """Begin a `gen_server:call`; returns the monitor's reference and the tag."""
    ref = caller.ref()
    if monitor:
        caller.tell(19, caller.pid, name, ref)
    tag = ImproperList((A("alias"),), ref) if alias else ref
    caller.tell(6, caller.pid, UNUSED, name, payload=(A("$gen_call"), (caller.pid, tag), request))
    return ref, tag


def gen_call(local, caller, name, request, **options):
    """The reply of a `gen_server:call`."""
    ref, tag = ask_gen(caller, name, request, **options)
    local.serve()
    [answer] = caller.heard()
    assert answer.to == (ref if options.get("alias", True) else caller.pid)
    assert answer.payload[0] == tag
    return answer.payload[1]


def rex_message(local, caller, request):
    """The answer to the bare message `{Pid, Request}` that a C node sends to rex."""
    caller.tell(6, caller.pid, UNUSED, A("rex"), payload=(caller.pid, request))
    local.serve()
    [answer] = caller.heard()
    assert answer.to == caller.pid
    assert answer.payload[0] == A("rex")
    return answer.payload[1]


def by_erpc(local, caller, function, args):
    kind, value = erpc(local, caller, CRATES, function, args)
    assert kind == A("return")
    return value


def by_gen_server(local, caller, function, args):
    return gen_call(local, caller, A("beam_bpy"), (function, args))


def by_rex_call(local, caller, function, args):
    return gen_call(local, caller, A("rex"), (A("call"), CRATES, function, args, caller.pid))


def by_rex_message(local, caller, function, args):
    return rex_message(local, caller, (A("call"), CRATES, function, args, A("user")))
