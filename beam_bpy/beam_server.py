"""`BeamServer`, the public interface of this package.

A server owns its handlers, its queue and its options; they survive `stop` and `start`. Everything else belongs to
`running.RunningServer`, which each start creates anew.
"""

import atexit
import concurrent.futures
import contextlib
import os
import threading
import time
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar, Unpack, overload

from beam_bpy import main_program, settings
from beam_bpy.calls.handlers import Handler, HandlerOptions, Registry, new_handler
from beam_bpy.calls.node_answers import Health, health
from beam_bpy.calls.present import Watcher
from beam_bpy.calls.routing import CallRouter
from beam_bpy.calls.statistics import Activity
from beam_bpy.checks import check_name, check_node_name, check_owner, check_timeout, check_topic
from beam_bpy.dispatch.call_queue import CallQueue
from beam_bpy.dispatch.host_queue import host_queue, lacks_host_queue, observe_host_queue
from beam_bpy.dispatch.worker import Worker
from beam_bpy.erlang_variant import ErlangVariantEncoder
from beam_bpy.errors import ServerError, SettingsError
from beam_bpy.futures import CallFuture, wait_for
from beam_bpy.logger import log
from beam_bpy.module_names import plain_module
from beam_bpy.processes.beam_process import BeamProcess, Destination
from beam_bpy.protocol.control import BinaryType
from beam_bpy.running import RunningServer, start_error
from beam_bpy.settings import UNSET, GivenOptions, NetworkOptions, NetworkSettings, Settings, Unset
from beam_bpy.signals import StopSignals
from beam_bpy.transport.refusal_log import Refusal
from vendor_term_codec import Pid, Reference

Function = TypeVar("Function", bound=Callable[..., Any])
Result = TypeVar("Result")

_END_TIME = 2.0
"""Seconds that a running handler has to return when the program ends."""

_SLICE = 0.05
"""The longest time that `serve_forever` waits or drains before it looks for a signal, in seconds."""

_HANDLER_TIME = 5.0
"""The longest time that `stop` waits for the handler that runs, in seconds."""


class PeerInfo(NamedTuple):
    """A connected node.

    Attributes:
        name: its full name.
        since: when it connected, in seconds since the epoch.
        calls: the number of calls that have come from it.
    """

    name: str
    since: float
    calls: int


class BeamServer:
    """A node of the BEAM inside this program, which answers calls with Python functions.

        with BeamServer(node_name="worker", cookie="secret") as server:
            server.expose(max)
            server.serve_forever()

    As a context manager it starts at the beginning of the block, raises `ServerError` if it cannot, and stops at the
    end.

    Args:
        node_name: `name`, or the whole `name@host`; default BPY_BEAM_NODE, then `beam_bpy`. A bare name gets the
            host, `127.0.0.1` for `localhost`.
        cookie: the secret that all nodes of the cluster share; default BPY_BEAM_COOKIE, then `beam_bpy_cookie`.
        host: the address or name to listen on; default BPY_BEAM_HOST, then `localhost`.
        port: the TCP port to listen on, 0 for any free one; default BPY_BEAM_PORT, then 0.
        tick_time: seconds of silence after which a peer counts as gone, the BEAM's `net_ticktime`; default 60.
        epmd: "embed" (default) registers with the machine's epmd, and starts one in this program when none answers;
            "host" registers with the machine's only; "none" does not register, for nodes that find each other by a
            fixed port (ERL_DIST_PORT, `erl -erl_epmd_port`).
        tls: certificates. They encrypt every connection, and only nodes with a certificate of the same authority can
            connect. Default plain TCP. The other nodes run with `-proto_dist inet_tls`.
        allow: the names of the nodes that may connect to this one, as patterns: `("app@*", "render?@10.0.0.*")`;
            default all nodes that know the cookie. Connections that this node makes are not restricted.
        limits: see `Limits`.
        cookie_file: a file with the cookie, such as `~/.erlang.cookie`, in place of `cookie`.
        allow_python: whether handlers that run Python code of their callers may do so. This package has none, but
            the extension Python Handlers has. True lets every node that knows the cookie do everything that the user
            of this program can do. Default BPY_BEAM_ALLOW_PYTHON, then None: such handlers decide, and refuse.
        daemon: what happens at the end of the main program. With False, the default, a program that has run to its end
            goes on serving, and one that fails or calls `sys.exit` ends. True ends the server together with the program
            in both cases.

    For every option but `daemon`, None means: the environment variable of `settings.TABLE`, otherwise the default.
    `start` reports values that a user can get wrong, in `last_error`: names, hosts, ports, cookies, files.

    Raises:
        TypeError: there is no option of that name, or a value has a wrong type.
        ValueError: `tick_time`, `epmd` or `allow` has a value that can never be used.
    """

    def __init__(
        self,
        node_name: str | None = None,
        cookie: str | None = None,
        host: str | None = None,
        port: int | None = None,
        **options: Unpack[NetworkOptions],
    ) -> None:
        self._options = GivenOptions().changed(node_name=node_name, cookie=cookie, host=host, port=port, **options)
        self._registry = Registry()
        self._encoder = ErlangVariantEncoder()
        self._queue = CallQueue()
        self._router = CallRouter(self._registry, self._encoder, self._queue)
        self._lock = threading.RLock()
        self._stopping: _Stopping | None = None
        self._running: RunningServer | None = None
        self._worker: Worker | None = None
        self._former_worker: Worker | None = None
        self._serving = False
        self._stopped = threading.Event()
        self._state = "stopped"
        self._last_error: str | None = None
        observe_host_queue(self)
        self.host_queue_changed()

    def __repr__(self) -> str:
        return f"<BeamServer {self._name_without_lookup()} {self.state}>"

    def __enter__(self) -> Self:
        if not self.start():
            raise ServerError(self._last_error)
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: types.TracebackType | None
    ) -> None:
        self.stop()

    # -- handlers

    def register_handler(
        self, name: str, function: Callable[[list[Any]], Any], **options: Unpack[HandlerOptions]
    ) -> None:
        """Answer calls of `name` with `function(args)`; it replaces a handler of the same name, module and owner.

        If another owner has registered a handler of that name and module, a warning is logged. The new one answers
        until it is unregistered, and the other one after that.

        A generator function makes a long call: it runs in slices, from one `yield` to the next, and other calls and
        the window are served in between. The value that it returns is the answer; the values that it yields go to
        callers that ask for them (`call_with_progress`). It is closed at its `yield` when the caller dies or gives up.

        An `async def` runs as an asyncio task on the thread that runs handlers. While it waits, other calls run. It is
        cancelled when the caller dies or gives up.

        Args:
            name: the name that callers use.
            function: gets one parameter, the list of the call's arguments. Its result is the answer.
            options: see `HandlerOptions`.

        Raises:
            TypeError: there is no option of that name, or a value is of a wrong type.
            ValueError: the name, the module or the owner cannot be one, such as an empty text.
        """
        self._registry.add(new_handler(name, function, spread=False, **options))

    # For type checkers only: at run time `typing` keeps each overload, and with it this module, the handlers and the
    # bpy that they use, until after the moment at which the bpy module ends Blender. The process would not end.
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
        """Answer calls with a plain function, each argument a parameter; a decorator.

        Use it without arguments, `@server.expose`, or with options, `@server.expose(inline=True)`.

        Args:
            function: the function.
            name: the name that callers use; default the function's own.
            options: see `HandlerOptions`.

        Raises:
            TypeError: there is no option of that name, or a value is of a wrong type.
            ValueError: see `register_handler`.
        """

        def add(exposed: Function) -> Function:
            own_name = check_name(getattr(exposed, "__name__", None) if name is None else name, "the name of a handler")
            self._registry.add(new_handler(own_name, exposed, spread=True, **options))
            return exposed

        return add if function is None else add(function)

    def unregister_handler(self, name: str, *, module: str | None = None) -> bool:
        """Remove the handler that answers calls of `name`; False when there was none.

        If it has taken the place of another owner's handler, that one answers again.
        """
        return self._registry.remove(name, module and plain_module(module))

    def unregister_owner(self, owner: str) -> int:
        """Remove all handlers that were registered with this owner; returns the number of those that answered calls.

        Raises:
            TypeError: the owner is not a str: a module outside a package has no `__package__`.
        """
        check_owner(owner)
        return self._registry.remove_owner(owner)

    @property
    def handlers(self) -> tuple[Handler, ...]:
        """The registered handlers."""
        return self._registry.all()

    @property
    def encoder(self) -> ErlangVariantEncoder:
        """Turns the results of handlers into terms; `encoder.register` adds types of your own."""
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
            TypeError, ValueError: see `BeamServer`.
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
        """The port that it listens on; before it runs, the one that it was given."""
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

    # -- state

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
        """Why the last `start` failed, as a sentence; None after a successful one."""
        return self._last_error

    @property
    def allow_python(self) -> bool | None:
        """The option `allow_python` of the running server, for handlers that run Python code of their callers.

        None if neither an option nor the environment variable was given, or if the server does not run.
        """
        running = self._running
        return None if running is None else running.allow_python

    @property
    def peers(self) -> tuple[PeerInfo, ...]:
        """The connected nodes."""
        running = self._running
        if running is None:
            return ()
        return tuple(PeerInfo(peer.name, peer.since, peer.calls) for peer in running.node.peers)

    @property
    def last_refusal(self) -> Refusal | None:
        """The last connection that was refused since the start, for example because of its cookie; None if none was."""
        running = self._running
        return None if running is None else running.connections.last_refusal

    @property
    def activity(self) -> Activity:
        """The calls so far, and those that wait; none wait at a server that does not run."""
        statistics = self._router.context.statistics
        return Activity(
            statistics.inline.calls + statistics.queued.calls,
            statistics.inline.failures + statistics.queued.failures,
            len(self._router.queue) if self._running is not None else 0,
            statistics.last_failure,
            statistics.replaced,
        )

    @property
    def health(self) -> Health | None:
        """The answer of `health` now, from any thread; None while the server does not run."""
        running = self._running
        return None if running is None else health(running.node, self._router.queue, self._router.context.statistics)

    # -- start and stop

    def start(self) -> bool:
        """Listen, register with epmd and answer calls; True if that worked, or if it was running already.

        A wrong setting does not raise an exception: False is returned, and `last_error` says why.
        """
        while True:
            self._wait_for_stop()
            with self._lock:
                if self._stop_in_progress() is None:  # No other thread has stopped it again in the meantime.
                    return self._start()

    def _start(self) -> bool:
        if self._running is not None:
            return True
        self._state, self._last_error = "starting", None
        if lacks_host_queue() and not self._serves_on_main_thread():
            return self._failed(
                "in a Blender with a window, only the extension Beam-BPy can run handlers safely:"
                " enable it in Preferences, Add-ons, and start the server again"
            )
        self._stopped.clear()
        _started.add(self)  # Before the next line: from here on, the end of the main program waits for this server.
        main_program_runs = host_queue() is not None or main_program.call_at_end(_main_program_has_ended)
        try:
            checked = self._resolve()
            network = settings.resolve_network(self._options)
            self._check_name(checked, network)
            running = RunningServer(checked, network, self._router, daemon=self._options.daemon or main_program_runs)
        except SettingsError as error:
            return self._failed(str(error))
        except (OSError, UnicodeError) as error:
            return self._failed(start_error(error, checked))
        try:
            refusal = running.start()
            if refusal is not None:
                return self._failed(refusal)
            self._running = running
            self._router.queue.attach(running.loop)
            self._start_worker()
        except RuntimeError:
            self._running = None
            self._router.queue.detach(running.loop)
            running.close(_HANDLER_TIME)
            running.join(_HANDLER_TIME)
            return self._failed("this system cannot start another thread: end another program, or raise the limit")
        self._state = "running"
        name, port = checked.node_name, running.port
        log.info("%s answers on port %d", name, port, fields={"node": name, "port": port})
        self._explain(checked, network)
        return True

    def _check_name(self, checked: Settings, network: NetworkSettings) -> None:
        """Refuse a name that another server of this program has; epmd would only say that it is taken.

        Raises:
            SettingsError: it has the name.
        """
        names = [server._running.settings.short_name for server in tuple(_started) if server._running is not None]
        if network.epmd != "none" and checked.short_name in names:
            raise SettingsError(
                f"the name {checked.short_name!r} is taken by another node on this machine, which runs in this program:"
                " stop that server, or choose another name"
            )

    def _explain(self, checked: Settings, network: NetworkSettings) -> None:
        """Log what the user may not expect."""
        if checked.bind_host in settings.ALL_ADDRESSES and checked.node_name != self._given_name():
            log.warning(
                "the node listens on all addresses, and its name has no host: other nodes have to call it %s. Give it "
                "a full name to choose another host",
                checked.node_name,
            )
        problem = network.tls and network.tls.problem(checked.host)
        if problem:
            log.warning("%s", problem)
        if network.allow_python:
            log.warning(
                "Python is allowed: every node that knows the cookie can do everything that this user can do, if the "
                "handlers of python_handlers are registered"
            )

    def stop(self) -> None:
        """Disconnect every node, unregister and end the threads. Handlers stay registered.

        The handler that runs now goes on, and its caller gets its answer. `stop` waits for the end of this handler, but
        not longer than 5 seconds, and not if the handler itself has called it. All other callers get `noconnection` at
        once.
        """
        self._stop(_HANDLER_TIME)

    def _stop(self, patience: float) -> None:
        """See `stop`; wait for a running handler at most `patience` seconds."""
        with self._lock:
            running, self._running = self._running, None
            self._state = "stopped"
            if running is not None:
                stopping = self._stopping = _Stopping(running, threading.Event())
        if running is None:
            self._wait_for_stop()
            return
        calls = self._router.queue
        calls.detach(running.loop)
        # A handler, queued or inline, that has called this method cannot be waited for.
        end = time.monotonic() + (0.0 if calls.runs_here or running.loop.on_thread() else patience)
        try:
            # Without the lock: a handler on the worker thread may need it before it can end.
            running.close(patience)
        finally:
            with self._lock:
                if self._running is None:
                    _started.discard(self)
            # Before the next line: the worker of a start from now on begins when this one has ended.
            worker = self._retire_worker()
            stopping.done.set()
        self._end_worker(worker, max(0.0, end - time.monotonic()))
        self._queue.wake()
        running.join(max(0.0, end - time.monotonic()))
        self._stopped.set()
        log.info("%s has stopped", running.settings.node_name)

    def serve_forever(self, on_ready: Callable[[], object] | None = None) -> None:
        """Run the handlers on this thread until `stop` is called; starts the server if it is not running.

        On the main thread SIGINT (Ctrl-C) and SIGTERM stop the server, and this method returns.

        Args:
            on_ready: called once, when the server answers and a signal stops it; default nothing.

        Raises:
            ServerError: the server cannot start; the message is `last_error`.
            RuntimeError: a handler has called this method. Its thread runs handlers already.
        """
        if self._router.queue.runs_here:
            raise RuntimeError("a handler cannot call serve_forever: its thread runs the handlers already")
        # Before the start, so that no worker begins a call that belongs on this thread.
        self._serving = True
        if not self.start():
            self._serving = False
            raise ServerError(self._last_error)
        self._stop_worker(None, hand_over=True)
        signals = StopSignals()
        try:
            with signals:
                if on_ready is not None:
                    on_ready()
                self._serve(signals)
        finally:
            self._serving = False
            if signals.seen:
                self.stop()
            if not self.running:
                self._queue.close()
                if self._stopping is not None:  # The last answer is sent before the program goes on.
                    self._stopping.running.join(_HANDLER_TIME)
            with self._lock:
                self._start_worker()

    def _serve(self, signals: StopSignals) -> None:
        while self.running and not signals.seen:
            calls = self._router.queue
            if calls.wait(_SLICE):
                calls.drain(_SLICE, _SLICE)

    # -- calling other nodes

    def connect(self, node_name: str, timeout: float = 10.0) -> None:
        """Connect to a node, `name@host`. Calls and sends connect by themselves; this says beforehand if they can.

        Args:
            node_name: the node's full name.
            timeout: seconds.

        Raises:
            NodeDownError: the node cannot be reached; the message says why.
            TimeoutError: no connection within the time.
            RuntimeError: this server is not running.
        """
        check_node_name(node_name)
        check_timeout(timeout)
        self._wait(self._active.connections.connect(node_name), timeout)

    def disconnect(self, node_name: str) -> None:
        """Close the connection to a node, if there is one."""
        check_node_name(node_name)
        running = self._active
        running.loop.call_soon(lambda: running.connections.disconnect(node_name, "this node has disconnected it"))

    def ping(self, node_name: str, timeout: float = 10.0) -> bool:
        """True if a node can be reached and answers: `net_adm:ping` of Erlang, `Node.ping` of Elixir."""
        check_timeout(timeout)
        try:
            running = self._active
            future = running.client.ping(node_name)
            running.connections.expect_answer(node_name, future)
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

        It blocks this thread. On Blender's main thread use `call_async`, because the window does not react and no
        other call is answered while it waits.

        Args:
            node_name: `name@host`.
            module: `lists` for an Erlang module; `Enum` or `Elixir.Enum` for an Elixir module: see `module_names`.
            function: its name.
            args: the list of arguments; default none.
            timeout: seconds, None for no limit. The other side continues after it; its answer is dropped.
            binaries: how binaries in the value arrive; see `HandlerOptions`.
            arrays: see `HandlerOptions`.

        Raises:
            ErlangError: the function raised an error; `reason` and `stack` say what and where.
            ErlangExit: it exited.
            ErlangThrow: it threw.
            NodeDownError: the node cannot be reached, or the connection broke.
            TimeoutError: no answer within the time.
            TypeError, ValueError: an argument of this call is of a wrong type or cannot be used, or has no term.
            RuntimeError: this server is not running; or this is the network thread, which receives the answer; or a
                handler calls a handler of its own program, which would run on the same thread.
        """
        check_timeout(timeout)
        self._check_thread(node_name, module, function)
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
    ) -> CallFuture[Any]:
        """Call a function on another node without waiting; see `call`.

        An `async def` handler, and any other asyncio task, can await the future: `await server.call_async(…)`. `cancel`
        of the future gives the call up. Its callbacks run on the network thread: keep them short, and do not use bpy
        in them.
        """
        running = self._active
        future = running.client.call(node_name, module, function, args, binaries=binaries, arrays=arrays)
        running.connections.expect_answer(node_name, future)
        return future

    def cast(self, node_name: str, module: str, function: str, args: list[Any] | None = None) -> None:
        """Call a function on another node without an answer: `erpc:cast`. Nothing says whether the call arrives."""
        self._active.client.cast(node_name, module, function, args)

    def send(self, to: "Pid | Reference | tuple[str, str]", term: Any) -> None:
        """Send a message to a pid, to `(registered name, node)` or to an alias. Nothing says whether it arrives.

        Raises:
            TypeError, ValueError: `to` is none of these, or the message has no term.
        """
        self._active.client.send(to, term)

    def monitor(self, target: "Destination | str", callback: Callable[[Any], object]) -> Reference:
        """Call `callback(reason)` once, on the thread that runs handlers, when a process or a node has ended.

        Args:
            target: a pid, `(registered name, node)`, or the name of a node. The reason is `noproc` for a process that
                does not exist, and `noconnection` for a node that is gone and for the processes on it.
            callback: gets the reason.

        Returns:
            The monitor, for `demonitor`.
        """
        return self._active.monitors.add(target, callback)

    def demonitor(self, ref: Reference) -> bool:
        """Remove a monitor; False when it has fired already."""
        return self._active.monitors.remove(ref)

    def register_process(
        self, name: str | None, callback: Callable[[BeamProcess, Any], object], *, trap_exit: bool = False
    ) -> BeamProcess:
        """A process on this node, which others can send to, call, monitor and link. It lives until it ends or `stop`.

        Args:
            name: its registered name; None for a process that only has a pid.
            callback: called as `callback(process, message)` on the thread that runs handlers, one message at a time.
                An exception ends the process with that reason.
            trap_exit: True turns exit signals into messages `("EXIT", pid, reason)`.

        Raises:
            TypeError: the name is not a str, or the callback is not a function.
            ValueError: the name is registered already, or cannot be one.
        """
        return self._active.new_process(callback, name=name, trap_exit=trap_exit)

    # -- events

    def publish(self, topic: str, payload: Any, *, newest: bool = False) -> int:
        """Send `{beam_bpy_event, Node, Topic, Payload}` to every BEAM process that has subscribed to the topic.

        A process subscribes with a call, `:erpc.call(node, Blender, :subscribe, [topic])`; the subscription ends with
        the process. A process whose node has more than `Limits.max_unsent` bytes to read misses events until the node
        has read half of them. Then it gets `{beam_bpy_events_missed, Node, Topic, Count}`. From any thread.

        Args:
            topic: any text.
            payload: any value.
            newest: True: a process misses this event if its node has not yet read what it was sent before. For
                pictures and other large values of which only the newest one matters. It gets the number of missed
                events before the next event. Default False.

        Returns:
            The number of receivers; 0 while the server does not run.

        Raises:
            EncodeError: there is a subscriber, and the payload has no term.
            TypeError: the topic is not a str.
            ValueError: the topic holds half of a surrogate pair, which no text may.
        """
        check_topic(topic)
        return self._router.subscriptions.publish(topic, payload, newest=newest) if self._running is not None else 0

    def subscribers(self, topic: str) -> int:
        """The number of processes that have subscribed to a topic. With none, there is no need to make a payload."""
        check_topic(topic)
        return self._router.subscriptions.count(topic) if self._running is not None else 0

    def watch_changes(self, before: Callable[[], object], after: Callable[[], object]) -> Callable[[], None]:
        """Run functions before and after each call of a handler with `undo` or `changes_scene`.

        They run on the thread of the handlers: around each slice of a long handler, each step of an `async def`
        handler, and each batch. Inside `after`, `current_call()` is the call. The caller gets its answer after that,
        so the functions have to be short. Their exceptions are logged.

        Returns:
            A function that ends this.
        """
        return self._router.context.watchers.add(Watcher(before, after))

    # -- the threads

    def host_queue_changed(self) -> None:
        """See `HostQueueObserver`: choose the queue for the handlers."""
        with self._lock:
            host = host_queue()
            chosen = self._queue if host is None else host
            if chosen is self._router.queue:
                return
            if self._running is not None:
                self._router.queue.detach(self._running.loop)
                chosen.attach(self._running.loop)
            self._router.queue = chosen
            self._start_worker()

    def _serves_on_main_thread(self) -> bool:
        return self._serving and threading.current_thread() is threading.main_thread()

    def _start_worker(self) -> None:
        if self._running is not None and self._worker is None and not self._serving and host_queue() is None:
            self._worker = Worker(self._queue, after=self._former_worker)

    def _stop_worker(self, timeout: float | None, *, hand_over: bool = False) -> None:
        self._end_worker(self._retire_worker(), timeout, hand_over=hand_over)

    def _retire_worker(self) -> Worker | None:
        """Return the worker that has to end, if there is one. The next worker waits for its end."""
        worker, self._worker = self._worker, None
        if worker is not None:
            self._former_worker = worker
        return self._former_worker

    def _end_worker(self, worker: Worker | None, timeout: float | None, *, hand_over: bool = False) -> None:
        ended = worker is not None and worker.stop(timeout=timeout, hand_over=hand_over)
        if ended and self._former_worker is worker:
            self._former_worker = None

    def _wait_for_stop(self) -> None:
        stopping = self._stop_in_progress()
        if stopping is not None:
            stopping.done.wait()

    def _stop_in_progress(self) -> "_Stopping | None":
        """The `stop` in which another thread still waits for the name and the port, unless it waits for this thread."""
        stopping = self._stopping
        over = stopping is None or stopping.done.is_set() or stopping.running.loop.on_thread()
        return None if over else stopping

    def _wait(self, future: "concurrent.futures.Future[Result]", timeout: float | None) -> "Result":
        running = self._running
        if running is not None and running.loop.on_thread():
            raise RuntimeError("the network thread cannot wait for an answer: use call_async, or no inline handler")
        if running is not None:
            running.loop.reclaim()
        try:
            return wait_for(future, timeout)
        except concurrent.futures.TimeoutError:
            future.cancel()
            raise TimeoutError(f"no answer within {timeout:g} seconds") from None

    @property
    def _keeps_program_alive(self) -> bool:
        return not self._options.daemon and host_queue() is None

    def _wait_until_stopped(self) -> None:
        """Wait for `stop`, and for the handler that has called it, if a handler has."""
        self._stopped.wait()
        if self._stopping is not None:
            self._stopping.running.join(None)
        if self._former_worker is not None:
            self._former_worker.join()

    def _check_thread(self, node_name: str, module: str, function: str) -> None:
        """Refuse a call for whose handler this thread would have to run, while it runs another one."""
        calls = self._router.queue
        if calls.runs_here and any(
            server.node_name == node_name and server._router.queue is calls and server._router.queues(module, function)
            for server in tuple(_started)
        ):
            raise RuntimeError(
                f"a handler cannot wait for {function}, which runs on the same thread: call the Python function itself,"
                " use call_async without waiting, or register the handler with inline=True"
            )

    def _abandon(self) -> None:
        """After a fork, in the child: threads, connections and queued calls belong to the parent."""
        if self._running is not None:
            self._router.queue.detach(self._running.loop)
        if self._worker is not None:
            self._worker.abandon()
        self._lock = threading.RLock()  # A thread that the child does not have may have held the old one.
        if self._router.queue is self._queue:
            self._router.queue = CallQueue()
        self._queue = self._router.queue if host_queue() is None else CallQueue()
        self._running = self._worker = self._former_worker = self._stopping = None
        self._stopped = threading.Event()
        self._serving = False
        self._state = "stopped"

    # -- inside

    @property
    def _active(self) -> RunningServer:
        running = self._running
        if running is None:
            raise RuntimeError("start the server first")
        return running

    def _resolve(self, *, look_up: bool = True) -> Settings:
        options = self._options
        return settings.resolve(
            options.node_name,
            options.cookie,
            options.host,
            options.port,
            cookie_file=options.cookie_file,
            look_up=look_up,
        )

    def _given_name(self) -> str:
        return self._options.node_name or os.environ.get(settings.ENVIRONMENT["node_name"]) or ""

    def _name_without_lookup(self) -> str:
        """The node's name for `repr`, which must not wait for a name server."""
        if self._running is not None:
            return self._running.settings.node_name
        try:
            return self._resolve(look_up=False).node_name
        except SettingsError:
            return self._options.node_name or settings.DEFAULT_NODE_NAME

    def _failed(self, sentence: str) -> bool:
        self._state, self._last_error = "failed", sentence
        _started.discard(self)
        self._stopped.set()
        log.error("the server cannot start: %s", sentence)
        return False


class _Stopping(NamedTuple):
    """A `stop` in progress, or the last one."""

    running: RunningServer
    done: threading.Event


_started: set[BeamServer] = set()
"""The servers that run or start. This keeps a running server alive that the program has no variable for."""


def any_running() -> bool:
    """True if a server of this process runs."""
    return bool(_started)


def stop_all() -> None:
    """Stop every server of this process: the host will no longer drain."""
    for server in tuple(_started):
        server.stop()


def _abandon_all() -> None:
    for server in tuple(_started):
        _started.discard(server)
        server._abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_abandon_all)


def _main_program_has_ended() -> None:
    """Go on serving if the main program has run to its end, otherwise stop; see `BeamServer`, `daemon`."""
    if main_program.ended_by_itself():
        with contextlib.suppress(KeyboardInterrupt, SystemExit):  # Ctrl-C, or a signal handler of the program.
            while keeping := [server for server in tuple(_started) if server._keeps_program_alive]:
                keeping[0]._wait_until_stopped()
    for server in tuple(_started):
        # The others go on until all threads of the program have ended.
        if server._keeps_program_alive or server._serving:
            _end(server)


@atexit.register
def _end_all() -> None:
    for server in tuple(_started):
        _end(server)


def _end(server: BeamServer) -> None:
    log.info("the program ends, and its node %s with it", server.node_name)
    server._stop(_END_TIME)


_shared_lock = threading.Lock()
_shared: BeamServer | None = None


def get_beam_server() -> BeamServer:
    """The one server of this process, created on first use; inside Blender it is the extension's own.

    Handlers may be registered before it starts.
    """
    global _shared
    with _shared_lock:
        if _shared is None:
            _shared = BeamServer()
        return _shared
