"""`BeamServer`: all that an application holds.

It puts the parts together and owns their life: settings, registry, queue, node, network thread, registration with
epmd. Handlers belong to the server and survive `stop` and `start`; everything else is made anew each time.
"""

import concurrent.futures
import errno
import os
import signal
import socket
import threading
import types
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict, TypeVar, Unpack, overload

from beam_bpy import settings
from beam_bpy.activity import Activity
from beam_bpy.client import Client
from beam_bpy.cluster import Cluster
from beam_bpy.dispatch import CallQueue, Worker, host_queue
from beam_bpy.epmd import Mode as EpmdMode
from beam_bpy.epmd import Registrar
from beam_bpy.erlang_variant import ErlangVariantEncoder
from beam_bpy.handlers import Handler, HandlerOptions, Registry, new_handler, plain_module
from beam_bpy.limits import Limits
from beam_bpy.logs import log
from beam_bpy.node import Node
from beam_bpy.processes import BeamProcess, Monitors, Target
from beam_bpy.protocol.control import BinaryType
from beam_bpy.protocol.epmd import Registration
from beam_bpy.rpc import Rpc
from beam_bpy.settings import Settings, SettingsError
from beam_bpy.tls import Tls
from beam_bpy.transport import Listener, Loop, listen
from vendor_term_codec import Pid, Reference

Function = TypeVar("Function", bound=Callable[..., Any])
Result = TypeVar("Result")

DEFAULT_TICK_TIME = 60.0
"""Seconds of silence after which a peer counts as gone: the BEAM's own `net_ticktime`."""

DEFAULT_LIMITS = Limits()

_START_TIME = 15.0
_SLICE = 0.05


class PeerInfo(NamedTuple):
    """A connected node.

    Attributes:
        name: its full name.
        since: when it connected, in seconds since the epoch.
        calls: how many calls have come from it.
    """

    name: str
    since: float
    calls: int


class Unset(Enum):
    """Marks an argument of `BeamServer.configure` that is not given; None has a meaning of its own there."""

    UNSET = "unset"


UNSET = Unset.UNSET


class NetworkOptions(TypedDict, total=False):
    """The options of `BeamServer` that have no environment variable; it documents them."""

    tick_time: float
    epmd: EpmdMode
    tls: Tls | None
    allow: Iterable[str] | None
    limits: Limits


class ServerOptions(NetworkOptions, total=False):
    """All options of `BeamServer`, for `BeamServer.configure`. None: the environment variable, then the default."""

    node_name: str | None
    cookie: str | None
    host: str | None
    port: int | None


@dataclass(frozen=True, slots=True)
class GivenOptions:
    """What the constructor and `configure` have been given so far.

    None in the first four means the environment variable, then the default.
    """

    node_name: str | None = None
    cookie: str | None = field(default=None, repr=False)
    host: str | None = None
    port: int | None = None
    tick_time: float = DEFAULT_TICK_TIME
    epmd: EpmdMode = "embed"
    tls: Tls | None = None
    allow: tuple[str, ...] | None = None
    limits: Limits = DEFAULT_LIMITS

    def changed(self, **options: Unpack[ServerOptions]) -> "GivenOptions":
        """These options, but for the ones in `options`.

        Raises:
            TypeError: there is no option of that name.
        """
        given: dict[str, Any] = dict(options)
        if "allow" in given:
            given["allow"] = _patterns(given["allow"])
        return replace(self, **given)


class BeamServer:
    """A node of the BEAM that lives in this program and answers calls with Python functions.

    Args:
        node_name: `name`, or the whole `name@host`; default BPY_BEAM_NODE, then `beam_bpy`. A bare name gets the
            host, `127.0.0.1` for `localhost`.
        cookie: the secret that every node of the cluster shares; default BPY_BEAM_COOKIE, then `beam_bpy_cookie`.
        host: the address or name to listen on; default BPY_BEAM_HOST, then `localhost`.
        port: the TCP port to listen on, 0 for any free one; default BPY_BEAM_PORT, then 0.
        tick_time: seconds of silence after which a peer counts as gone, the BEAM's `net_ticktime`; default 60.
        epmd: "embed" (default) registers with the machine's epmd, and starts one in this program when none answers;
            "host" registers with the machine's only; "none" does not register, for nodes that find each other by a
            fixed port (ERL_DIST_PORT, `erl -erl_epmd_port`).
        tls: certificates, which encrypt every connection and let only nodes with a certificate in; default None, plain
            TCP. The other nodes run with `-proto_dist inet_tls`.
        allow: the names of the nodes that may connect, as patterns: `("app@*", "render?@10.0.0.*")`; default None, any
            node that knows the cookie. It says nothing of the nodes that this one calls.
        limits: what others may take of this program; see `Limits`.

    Values that cannot be used are reported by `start`, in `last_error`.
    """

    def __init__(
        self,
        node_name: str | None = None,
        cookie: str | None = None,
        host: str | None = None,
        port: int | None = None,
        **options: Unpack[NetworkOptions],
    ) -> None:
        self._options = GivenOptions(node_name, cookie, host, port).changed(**options)
        self._registry = Registry()
        self._encoder = ErlangVariantEncoder()
        self._queue = CallQueue()
        self._listened = self._queue
        self._rpc = Rpc(self._registry, self._encoder, self._current_queue)
        self._lock = threading.RLock()
        self._ending: _Ending | None = None
        self._running: _Running | None = None
        self._worker: Worker | None = None
        self._serving = False
        self._state = "stopped"
        self._last_error: str | None = None

    def __repr__(self) -> str:
        return f"<BeamServer {self.node_name} {self.state}>"

    # -- handlers

    def register_handler(
        self, name: str, function: Callable[[list[Any]], Any], **options: Unpack[HandlerOptions]
    ) -> None:
        """Answer calls of `name` with `function(args)`; a handler of that name and module is replaced.

        A generator function makes a long call: it runs in slices, from one `yield` to the next, and other calls and
        the window have their turn in between. What it returns is the answer; what it yields goes to callers that ask
        for it (`call_with_progress`). When the caller dies or gives up, it is closed at its `yield`.

        Args:
            name: what the BEAM calls.
            function: gets one parameter, the list of the call's arguments. What it returns is the answer.
            options: see `HandlerOptions`.

        Raises:
            TypeError: there is no option of that name.
            ValueError: the name is empty.
        """
        self._registry.add(new_handler(name, function, spread=False, **options))

    # For type checkers only: a registry of overloads would hold this module, and with it the handlers and the bpy that
    # they hold, until after the moment at which the bpy module ends Blender; the process would hang at its exit.
    if TYPE_CHECKING:

        @overload
        def expose(self, function: Function, /) -> Function: ...

        @overload
        def expose(
            self, function: None = None, /, *, name: str | None = None, **options: Unpack[HandlerOptions]
        ) -> Callable[[Function], Function]: ...

    def expose(
        self, function: Function | None = None, /, *, name: str | None = None, **options: Unpack[HandlerOptions]
    ) -> Any:
        """Let the BEAM call a plain function by its own name, each argument a parameter; a decorator.

        Use it bare, `@server.expose`, or with options, `@server.expose(inline=True)`.

        Args:
            name: what the BEAM calls; default the function's own name.
            options: see `HandlerOptions`.

        Raises:
            TypeError: there is no option of that name.
        """

        def add(exposed: Function) -> Function:
            self._registry.add(new_handler(name or exposed.__name__, exposed, spread=True, **options))
            return exposed

        return add if function is None else add(function)

    def unregister_handler(self, name: str, *, module: str | None = None) -> bool:
        """Remove a handler; False when there was none."""
        return self._registry.remove(name, module and plain_module(module))

    def unregister_owner(self, owner: str) -> int:
        """Remove all handlers that were registered with this owner; returns how many there were."""
        return self._registry.remove_owner(owner)

    @property
    def handlers(self) -> tuple[Handler, ...]:
        """The registered handlers."""
        return self._registry.all()

    @property
    def encoder(self) -> ErlangVariantEncoder:
        """Turns what handlers return into terms; `register` types of your own there."""
        return self._encoder

    # -- settings

    def configure(
        self,
        node_name: str | Unset | None = UNSET,
        cookie: str | Unset | None = UNSET,
        host: str | Unset | None = UNSET,
        port: int | Unset | None = UNSET,
        **options: Unpack[NetworkOptions],
    ) -> None:
        """Change options of the constructor for the next `start`. Options that are not given keep their values.

        Raises:
            RuntimeError: the server is running.
            TypeError: there is no option of that name.
        """
        with self._lock:
            if self._running is not None:
                raise RuntimeError("stop the server before you configure it")
            named = {"node_name": node_name, "cookie": cookie, "host": host, "port": port}
            given = {name: value for name, value in named.items() if value is not UNSET}
            self._options = self._options.changed(**given, **options)  # type: ignore[arg-type]

    @property
    def options(self) -> GivenOptions:
        """The options that the constructor and `configure` have been given. Its repr does not show the cookie."""
        return self._options

    @property
    def node_name(self) -> str:
        """The node's full name, such as `beam_bpy@127.0.0.1`."""
        running = self._running
        if running is not None:
            return running.settings.node_name
        try:
            return self._resolve().node_name
        except SettingsError:
            return self._options.node_name or settings.DEFAULT_NODE_NAME

    @property
    def port(self) -> int:
        """The port that it listens on; before it runs, the one that it was told."""
        running = self._running
        if running is not None:
            return running.port
        try:
            return self._resolve().port
        except SettingsError:
            return self._options.port or 0

    def get_address(self) -> str:
        """Node name and port, such as `beam_bpy@127.0.0.1:45123`."""
        return f"{self.node_name}:{self.port}"

    # -- life

    @property
    def state(self) -> str:
        """`stopped`, `starting`, `running` or `failed`."""
        return self._state

    @property
    def running(self) -> bool:
        """True from a successful `start` to `stop`."""
        return self._state == "running"

    @property
    def last_error(self) -> str | None:
        """Why the last `start` failed, as a sentence; None after one that did not."""
        return self._last_error

    @property
    def connected_nodes(self) -> tuple[str, ...]:
        """The names of the nodes that are connected."""
        running = self._running
        return tuple(peer.name for peer in running.node.peers) if running is not None else ()

    @property
    def peers(self) -> tuple[PeerInfo, ...]:
        """The nodes that are connected, and what they have called."""
        running = self._running
        if running is None:
            return ()
        return tuple(PeerInfo(peer.name, peer.since, peer.calls) for peer in running.node.peers)

    @property
    def activity(self) -> Activity:
        """What has been called so far, and what waits; nothing does at a server that does not run."""
        record = self._rpc.house.record
        host = host_queue()
        waiting = self._queue if host is None else host  # An empty queue is falsy.
        return Activity(
            record.inline.calls + record.queued.calls,
            record.inline.failures + record.queued.failures,
            len(waiting) if self._running is not None else 0,
            record.last_failure,
        )

    def start(self) -> bool:
        """Listen, register with epmd and answer calls; True if that worked or it was running already.

        What a user can get wrong does not raise: False is returned, and `last_error` says why.
        """
        while True:
            self._await_end()
            with self._lock:
                if not self._ends_elsewhere():  # Nobody has stopped it again in the meantime.
                    return self._start()

    def _start(self) -> bool:
        with self._lock:
            if self._running is not None:
                return True
            self._state, self._last_error = "starting", None
            try:
                checked = self._resolve()
                running = _Running(checked, self._options, self._rpc, daemon=host_queue() is not None)
            except SettingsError as error:
                return self._failed(str(error))
            except (OSError, UnicodeError) as error:
                return self._failed(_sentence(error, checked))
            try:
                refusal = running.start()
                if refusal is not None:
                    return self._failed(refusal)
                self._running = running
                host = host_queue()
                self._listened = self._queue if host is None else host  # An empty queue is falsy.
                self._listened.attach(running.loop)
                self._start_worker()
            except RuntimeError:
                self._running = None
                self._listened.detach(running.loop)
                running.stop()
                return self._failed("this system has no thread left for it: end another program, or raise the limit")
            self._state = "running"
            _started.add(self)
            log.info("%s answers on port %d", running.settings.node_name, running.port)
            return True

    def stop(self) -> None:
        """Disconnect every node, unregister and end the threads. Handlers stay registered.

        It waits for a handler that is running on the server's own worker thread, unless it is called from there.
        """
        with self._lock:
            running, self._running = self._running, None
            self._state = "stopped"
            if running is not None:
                ending = self._ending = _Ending(running, self._worker, threading.Event())
        if running is None:
            self._await_end()
            return
        _started.discard(self)
        self._listened.detach(running.loop)
        try:
            # Outside the lock: a handler on the worker thread may want it before it can end.
            running.stop()
            self._stop_worker()
            if not self._serving:
                self._queue.close()
            self._queue.wake()
        finally:
            ending.over.set()
        log.info("%s has stopped", running.settings.node_name)

    def _await_end(self) -> None:
        if (ending := self._ends_elsewhere()) is not None:
            ending.over.wait()

    def _ends_elsewhere(self) -> "_Ending | None":
        """The `stop` that goes on in another thread, unless it waits for this one."""
        ending = self._ending
        over = ending is None or ending.over.is_set() or ending.waits_for_this_thread()
        return None if over else ending

    def abandon(self) -> None:
        """After a fork, in the child: threads, connections and what is queued are the parent's."""
        if self._running is not None:
            self._listened.detach(self._running.loop)
        if self._worker is not None:
            self._worker.abandon()
        self._lock = threading.RLock()  # Another thread, which the child does not have, may have held the old one.
        self._queue = self._listened = CallQueue()
        self._running = self._worker = self._ending = None
        self._serving = False
        self._state = "stopped"

    def serve_forever(self) -> None:
        """Run the handlers on this thread until `stop` is called; starts the server if it is not running.

        On the main thread SIGINT (Ctrl-C) and SIGTERM end it: it stops the server and returns.

        Raises:
            RuntimeError: the server cannot be started; the message is `last_error`.
        """
        # Before the start: a worker that lives for a moment only may take a call that belongs on this thread.
        self._serving = True
        if not self.start():
            self._serving = False
            raise RuntimeError(self._last_error)
        self._stop_worker(hand_over=True)
        interrupt = _Interrupt()
        try:
            with interrupt:
                self._serve(interrupt)
        finally:
            self._serving = False
            if interrupt.seen:
                self.stop()
            if not self.running:
                self._queue.close()
            with self._lock:
                self._start_worker()

    def _serve(self, interrupt: "_Interrupt") -> None:
        while self.running and not interrupt.seen:
            calls = self._current_queue()
            if calls.wait(_SLICE):
                calls.drain(_SLICE, _SLICE)

    # -- calling other nodes

    def connect(self, node_name: str, timeout: float = 10.0) -> None:
        """Connect to a node, `name@host`. Calls and sends connect by themselves; this says beforehand whether they can.

        Args:
            timeout: seconds.

        Raises:
            NodeDownError: it cannot be reached; the message says why.
            RuntimeError: this server is not running.
        """
        self._wait(self._active.cluster.connect(node_name), timeout)

    def disconnect(self, node_name: str) -> None:
        """Close the connection to a node, if there is one."""
        running = self._active
        running.on_thread(lambda: running.cluster.disconnect(node_name, "this node has disconnected it"))

    def ping(self, node_name: str, timeout: float = 10.0) -> bool:
        """Whether a node can be reached and answers: `net_adm:ping` of Erlang, `Node.ping` of Elixir."""
        try:
            running = self._active
            future = running.client.ping(node_name)
            running.cluster.expect(node_name, future)
            return self._wait(future, timeout)
        except TimeoutError:
            return False

    def call(
        self,
        node_name: str,
        module: str,
        function: str,
        args: list[Any] | None = None,
        timeout: float | None = 5.0,
        *,
        binaries: BinaryType = str,
        arrays: bool = False,
    ) -> Any:
        """Call a function on another node and wait for its value: `erpc:call`.

        It blocks this thread. On Blender's main thread use `call_async`, unless the answer is worth a frozen window;
        what the other node calls meanwhile has to wait too.

        Args:
            node_name: `name@host`.
            module: as Erlang knows it: `lists`, or `Elixir.Enum` for Elixir's `Enum`.
            function: its name.
            args: the list of arguments; default none.
            timeout: seconds, None for ever. The other side goes on after it; its answer is dropped.
            binaries: how binaries in the value arrive; see `register_handler`.
            arrays: see `register_handler`.

        Raises:
            ErlangError: it raised; `reason` and `stack` say what and where.
            ErlangExit: it exited.
            ErlangThrow: it threw.
            NodeDownError: the node cannot be reached, or the connection broke.
            TimeoutError: no answer in time.
            RuntimeError: this server is not running, or the network thread would have to wait for itself.
        """
        future = self.call_async(node_name, module, function, args, binaries=binaries, arrays=arrays)
        return self._wait(future, timeout)

    def call_async(
        self,
        node_name: str,
        module: str,
        function: str,
        args: list[Any] | None = None,
        *,
        binaries: BinaryType = str,
        arrays: bool = False,
    ) -> "concurrent.futures.Future[Any]":
        """Call a function on another node without waiting; see `call`.

        The future's `cancel` gives the call up. Its callbacks run on the network thread: keep them short, and away
        from bpy.
        """
        running = self._active
        future = running.client.call(node_name, module, function, args or [], binaries=binaries, arrays=arrays)
        running.cluster.expect(node_name, future)
        return future

    def cast(self, node_name: str, module: str, function: str, args: list[Any] | None = None) -> None:
        """Call a function on another node and want no answer: `erpc:cast`. Nothing says whether it arrived."""
        self._active.client.cast(node_name, module, function, args or [])

    def send(self, to: "Pid | Reference | tuple[str, str]", term: Any) -> None:
        """Send a message to a pid, to `(registered name, node)` or to an alias. Nothing says whether it arrived."""
        self._active.client.send(to, term)

    def monitor(self, target: "Target | str", callback: Callable[[Any], object]) -> Reference:
        """Call `callback(reason)` once, where handlers run, when something elsewhere has ended.

        Args:
            target: a pid, `(registered name, node)`, or the name of a node. A process that does not exist ends with
                `noproc`, one whose node is gone with `noconnection`, and so does a node.

        Returns:
            What `demonitor` takes.
        """
        return self._active.monitors.add(target, callback)

    def demonitor(self, ref: Reference) -> bool:
        """Take a monitor back; False when it has fired already."""
        return self._active.monitors.remove(ref)

    def register_process(
        self, name: str | None, callback: Callable[[BeamProcess, Any], object], *, trap_exit: bool = False
    ) -> BeamProcess:
        """A process on this node, which others can send to, call, monitor and link; it lives until it ends or `stop`.

        Args:
            name: what it is registered as; None for a process that is known by its pid only.
            callback: called as `callback(process, message)` where handlers run, one message at a time. When it
                raises, the process ends with that reason.
            trap_exit: True turns exit signals into messages `("EXIT", pid, reason)`.

        Raises:
            ValueError: the name is registered already.
        """
        return self._active.new_process(callback, name=name, trap_exit=trap_exit)

    # -- events

    def publish(self, topic: str, payload: Any) -> int:
        """Send `{beam_bpy_event, Node, Topic, Payload}` to every BEAM process that has subscribed to the topic.

        A process subscribes with a call, `:erpc.call(node, Blender, :subscribe, [topic])`, and is forgotten when it
        ends. One whose node has more than `Limits.max_unsent` to read misses what is published until it has read half,
        and is then sent `{beam_bpy_events_missed, Node, Topic, Count}`. From any thread.

        Returns:
            How many it was sent to; 0 while the server does not run.

        Raises:
            EncodeError: somebody has subscribed, and the payload has no term.
        """
        return self._rpc.events.publish(topic, payload) if self._running is not None else 0

    def subscribers(self, topic: str) -> int:
        """How many processes have subscribed to a topic: whether it is worth making a payload."""
        return self._rpc.events.count(topic) if self._running is not None else 0

    # -- inside

    @property
    def _active(self) -> "_Running":
        running = self._running
        if running is None:
            raise RuntimeError("start the server first")
        return running

    def _wait(self, future: "concurrent.futures.Future[Result]", timeout: float | None) -> "Result":
        running = self._running
        if running is not None and running.is_network_thread():
            raise RuntimeError("the network thread cannot wait for an answer: use call_async, or no inline handler")
        if running is not None:
            running.loop.call_back()
        try:
            return future.result(timeout)
        except concurrent.futures.TimeoutError:
            future.cancel()
            raise TimeoutError(f"no answer within {timeout:g} seconds") from None

    def _resolve(self) -> Settings:
        options = self._options
        return settings.resolve(options.node_name, options.cookie, options.host, options.port)

    def _current_queue(self) -> CallQueue:
        host = host_queue()
        if host is not None:  # An empty queue is falsy.
            return host
        if self._worker is None and not self._serving:  # The host has removed its queue while this server runs.
            with self._lock:
                self._start_worker()
        return self._queue

    def _start_worker(self) -> None:
        if self._running is not None and self._worker is None and not self._serving and host_queue() is None:
            self._worker = Worker(self._queue, daemon=False)

    def _stop_worker(self, *, hand_over: bool = False) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.stop(hand_over=hand_over)

    def _failed(self, sentence: str) -> bool:
        self._state, self._last_error = "failed", sentence
        log.error("the server cannot start: %s", sentence)
        return False


class _Ending(NamedTuple):
    """A `stop` that goes on, or is over."""

    running: "_Running"
    worker: Worker | None
    over: threading.Event

    def waits_for_this_thread(self) -> bool:
        return self.running.is_network_thread() or (self.worker is not None and self.worker.is_current())


class _Running:
    """What lives from `start` to `stop`.

    Raises:
        OSError: the port or the host cannot be used.
    """

    node: Node
    cluster: Cluster
    client: Client
    monitors: Monitors

    def __init__(self, checked: Settings, options: GivenOptions, rpc: Rpc, *, daemon: bool) -> None:
        self.settings = checked
        self._options = options
        self._rpc = rpc
        rpc.max_queued = options.limits.max_queued
        self._socket = listen(checked.bind_host, checked.port)
        address = self._socket.getsockname()[0]
        self.port: int = self._socket.getsockname()[1]
        self._listener: Listener | None = None
        self._registrar: Registrar | None = None
        try:
            settings.check_entry(address, checked.cookie)
            self._loop = Loop("beam_bpy network", daemon=daemon)
        except (OSError, SettingsError):
            self._socket.close()
            raise
        self._outcome: concurrent.futures.Future[str | None] = concurrent.futures.Future()

    def start(self) -> str | None:
        """Register and listen; returns why that failed, else None."""
        self._loop.call_soon(self._open)
        self._loop.start()
        try:
            refusal = self._outcome.result(_START_TIME)
        except concurrent.futures.TimeoutError:
            refusal = f"epmd gave no answer within {_START_TIME:g} seconds"
        if refusal is not None:
            self.stop()
        return refusal

    def stop(self) -> None:
        """Close everything and wait for the network thread."""
        self._loop.call_soon(self._close)
        self._loop.stop()
        self._socket.close()

    @property
    def loop(self) -> Loop:
        """What the network thread runs."""
        return self._loop

    def on_thread(self, callback: Callable[[], object]) -> None:
        """Run `callback` on the network thread."""
        self._loop.call_soon(callback)

    def is_network_thread(self) -> bool:
        """True on the network thread."""
        return self._loop.on_thread()

    def new_process(
        self, callback: Callable[[BeamProcess, Any], object], *, name: str | None = None, trap_exit: bool = False
    ) -> BeamProcess:
        """See `BeamServer.register_process`."""
        process = BeamProcess(self.node, self.cluster, self.client, self._rpc.submit, callback, trap_exit=trap_exit)
        self.node.add(process, name)
        return process

    # -- on the network thread

    def registered(self, creation: int) -> None:
        """See `epmd.Outcome`."""
        if self._listener is not None:
            return
        self.node = self._rpc.open(self.settings.node_name, creation)
        options = self._options
        self.cluster = Cluster(
            self._loop, self.node, self.settings.cookie, options.tick_time, options.tls, options.limits, options.allow
        )
        self.client = Client(self.node, self.cluster, self._rpc.house.encoder)
        self.node.add(self.client)
        self.monitors = Monitors(self.node, self.cluster, self._rpc.submit, self.new_process)
        self._listener = Listener(self._loop, self._socket, self.cluster.accepted)
        self._outcome.set_result(None)

    def refused(self, sentence: str) -> None:
        """See `epmd.Outcome`."""
        self._outcome.set_result(sentence)

    def _open(self) -> None:
        registration = Registration(self.settings.short_name, self.port)
        self._registrar = Registrar(self._loop, registration, self, self._options.epmd, self.settings.bind_host)
        self._registrar.open()

    def _close(self) -> None:
        if self._listener is not None:
            self._listener.close()
            # First: once a peer sees its connection closed, nothing that it has sent may begin to run.
            self.node.close()
            self.cluster.close()
            self.client.close()
        else:
            self._socket.close()
        if self._registrar is not None:
            self._registrar.close()


def _patterns(allow: Iterable[str] | None) -> tuple[str, ...] | None:
    if allow is None:
        return None
    # A string would else be a pattern for each of its letters.
    return (allow,) if isinstance(allow, str) else tuple(allow)


class _Interrupt:
    """SIGINT and SIGTERM while handlers run on the main thread: a note to stop, not an exception inside a handler."""

    def __init__(self) -> None:
        self.seen = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                # None is a handler that was not set by Python, as Blender's own are; it cannot be set again.
                self._previous[number] = signal.signal(number, self._note) or signal.SIG_DFL

    def __exit__(self, *_exception: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: types.FrameType | None) -> None:
        self.seen = True
        # A second one gets what it would have got without us: the way out of a handler that hangs.
        signal.signal(number, self._previous[number])


def _sentence(error: OSError | UnicodeError, checked: Settings) -> str:
    if isinstance(error, socket.gaierror | UnicodeError):  # UnicodeError: a label of the host is empty or too long.
        return f"the host {checked.bind_host!r} is not known: choose localhost or an address of this machine"
    if error.errno == errno.EADDRINUSE:
        return f"port {checked.port} is taken by another program; choose another, or 0 for any"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"the host {checked.bind_host!r} is not an address of this machine: choose localhost or one that is"
    if error.errno == errno.EACCES:
        return f"port {checked.port} is not allowed to this user; choose one above 1023, or 0 for any"
    return f"it cannot listen: {error.strerror}"


_started: "weakref.WeakSet[BeamServer]" = weakref.WeakSet()


def any_running() -> bool:
    """Whether some server of this process runs."""
    return bool(_started)


def stop_all() -> None:
    """Stop every server of this process, for a host that takes its main thread back."""
    for server in tuple(_started):
        server.stop()


def _abandon_all() -> None:
    for server in tuple(_started):
        _started.discard(server)
        server.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_abandon_all)


_shared_lock = threading.Lock()
_shared: BeamServer | None = None


def get_beam_server() -> BeamServer:
    """The one server of this process, made on first use; inside Blender it is the extension's own.

    Handlers may be registered before it starts.
    """
    global _shared
    with _shared_lock:
        if _shared is None:
            _shared = BeamServer()
        return _shared
