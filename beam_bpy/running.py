"""The parts that one start of a server creates: they live until it stops."""

import concurrent.futures
import errno
import socket
import threading
from collections.abc import Callable
from typing import Any

from beam_bpy.calls.routing import CallRouter
from beam_bpy.checks import check_callable, check_name
from beam_bpy.cookies import check_public_cookie
from beam_bpy.dispatch.call_queue import CallQueue
from beam_bpy.distribution.connections import Connections
from beam_bpy.distribution.node import Node
from beam_bpy.epmd.registration import Registrar
from beam_bpy.errors import SettingsError
from beam_bpy.logger import SUMMARY_INTERVAL, repeated
from beam_bpy.processes.beam_process import BeamProcess
from beam_bpy.processes.client import Client
from beam_bpy.processes.group_leader import GroupLeader
from beam_bpy.processes.logger_proxy import LoggerProxy
from beam_bpy.processes.monitors import Monitors
from beam_bpy.protocol.epmd import Registration
from beam_bpy.settings import NetworkSettings, Settings
from beam_bpy.transport.listener import Listener, listen
from beam_bpy.transport.loop import Loop

RESERVED_NAMES = ("logger", "logger_proxy", "net_kernel", "rex")
"""Names under which every node registers a process. The node's own short name is registered as well."""

_START_TIME = 15.0
"""Seconds that the registration with epmd may take."""

_CHECK_TIME = 0.1
"""Seconds between two checks whether the interpreter has ended inside a handler."""


class RunningServer:
    """A server from `start` to `stop`: its socket, network thread, registration, node and connections.

    Args:
        settings: the settings of the node, resolved.
        network: those of its connections.
        router: where calls go.
        daemon: False keeps the interpreter alive while the network thread runs.

    Attributes:
        settings: see above.
        port: the port that it listens on.
        allow_python: the option of `BeamServer`.
        loop: the network thread.
        node, connections, client, monitors: set by a successful `start`.

    Raises:
        OSError: the port or the host cannot be used.
        SettingsError: other computers reach the address, and the cookie is the default one; or a process of each node
            has the short name.
    """

    node: Node
    connections: Connections
    client: Client
    monitors: Monitors

    def __init__(self, settings: Settings, network: NetworkSettings, router: CallRouter, *, daemon: bool) -> None:
        self.settings = settings
        self.allow_python = network.allow_python
        self._network = network
        self._router = router
        router.max_queued = network.limits.max_queued
        self._socket = listen(settings.bind_host, settings.port)
        address = self._socket.getsockname()[0]
        self.port: int = self._socket.getsockname()[1]
        self._listener: Listener | None = None
        self._accepts = True
        self._registrar: Registrar | None = None
        try:
            _check_short_name(settings.short_name)
            check_public_cookie(address, settings.cookie)
            self.loop = Loop("beam_bpy network", daemon=daemon)
        except (OSError, SettingsError):
            self._socket.close()
            raise
        self._closed = threading.Event()
        self._refusal: concurrent.futures.Future[str | None] = concurrent.futures.Future()

    def start(self) -> str | None:
        """Register and listen; returns why that failed, else None.

        Raises:
            RuntimeError: the system cannot start another thread.
        """
        self.loop.call_soon(self._open)
        self.loop.start()
        try:
            refusal = self._refusal.result(_START_TIME)
        except concurrent.futures.TimeoutError:
            refusal = f"epmd gave no answer within {_START_TIME:g} seconds"
        except BaseException:  # Ctrl-C: the network thread would keep the program alive.
            self.close(_START_TIME)
            self.join(_START_TIME)
            raise
        if refusal is not None:
            self.close(_START_TIME)
            self.join(_START_TIME)
        return refusal

    def close(self, timeout: float) -> None:
        """Free the name and the port, and disconnect every node but the caller of the handler that runs now.

        That caller is disconnected when it has its answer. After that the network thread ends.

        Args:
            timeout: the longest time to wait for the network thread, in seconds: an inline handler may keep it.
        """
        if self.loop.on_thread():
            # An inline handler runs. Its answer is sent before the loop gets to the next callback.
            self._stop_accepting()
            self.loop.call_soon(self._close)
        elif self.loop.started:
            self.loop.call_soon(self._close)
            self.loop.reclaim()
            self._closed.wait(timeout)
        else:
            self._stop_accepting()

    def join(self, timeout: float | None) -> bool:
        """Wait for the end of the network thread, unless this is it.

        Args:
            timeout: the longest time to wait, in seconds; None for ever.

        Returns:
            False if it has not ended.
        """
        return self.loop.join(timeout)

    def new_process(
        self, callback: Callable[[BeamProcess, Any], object], *, name: str | None = None, trap_exit: bool = False
    ) -> BeamProcess:
        """See `BeamServer.register_process`."""
        names = () if name is None else (check_name(name, "a registered name"),)
        check_callable(callback, "the callback of a process")
        process = BeamProcess(
            self.node, self.connections, self.client, self._router.submit, callback, trap_exit=trap_exit
        )
        self.node.add(process, *names)
        return process

    # -- on the network thread; see `RegistrationOwner`

    def registered(self, creation: int) -> None:
        """See `RegistrationOwner`."""
        if self._listener is not None:
            return
        settings, network = self.settings, self._network
        self.node = self._router.open_node(settings.node_name, creation)
        self.connections = Connections(
            self.loop, self.node, settings.cookie, network.tick_time, network.tls, network.limits, network.allow
        )
        self.client = Client(self.node, self.connections, self._router.context.encoder)
        self.node.add(self.client)
        group_leader = GroupLeader(self.node, self.client)
        self.client.group_leader = group_leader.pid
        self.node.add(group_leader)
        self.node.add(LoggerProxy(self.node, self.client), "logger", "logger_proxy")
        self.monitors = Monitors(self.node, self.connections, self._router.submit, self.new_process)
        self._listener = Listener(self.loop, self._socket, self.connections.accepted)
        self._summarise_log()
        self._refusal.set_result(None)

    def refused(self, sentence: str) -> None:
        """See `RegistrationOwner`."""
        self._refusal.set_result(sentence)

    def _open(self) -> None:
        registration = Registration(self.settings.short_name, self.port)
        self._registrar = Registrar(self.loop, registration, self, self._network.epmd, self.settings.bind_host)
        self._registrar.open()

    def _summarise_log(self) -> None:
        repeated.summarise()
        self.loop.call_later(SUMMARY_INTERVAL, self._summarise_log)

    def _stop_accepting(self) -> None:
        if self._accepts:
            self._accepts = False
            if self._listener is not None:
                self._listener.close()
            self._socket.close()
            if self._registrar is not None:
                self._registrar.close()

    def _close(self) -> None:
        repeated.summarise()
        self._stop_accepting()
        if self._listener is None:
            self._end()
            return
        calls = self._router.queue
        last = calls.running
        # The node closes first: when a peer sees the end of its connection, none of its calls may begin to run.
        self.node.close(lambda: last.process if last is not None else None)
        self.client.close()
        if last is not None and self.connections.close(spared=last.load):
            self._end_with_interpreter(calls)
            calls.run_last(last, lambda: self.loop.call_soon(self._end))
            self._closed.set()
        else:
            self._end()

    def _end(self) -> None:
        if self._listener is not None:
            self.connections.close()
        self.loop.stop()
        self._closed.set()

    def _end_with_interpreter(self, calls: CallQueue) -> None:
        """End when the interpreter ends inside the handler: Blender does that when a handler quits it."""
        if calls.drained_by_main_thread and not threading.main_thread().is_alive():
            self._end()
        else:
            self.loop.call_later(_CHECK_TIME, lambda: self._end_with_interpreter(calls))


def _check_short_name(name: str) -> None:
    if name in RESERVED_NAMES:
        raise SettingsError(
            f"the node name {name!r} cannot be used, because each node has a process of that name: choose another"
        )


def start_error(error: OSError | UnicodeError, settings: Settings) -> str:
    """Why a server cannot listen, as a sentence that says what to do."""
    if isinstance(error, socket.gaierror | UnicodeError):  # UnicodeError: a label of the host is empty or too long.
        return f"the host {settings.bind_host!r} is not known: choose localhost or an address of this machine"
    if error.errno == errno.EADDRINUSE:
        return f"port {settings.port} is taken by another program; choose another, or 0 for any"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"the host {settings.bind_host!r} is not an address of this machine: choose localhost or one that is"
    if error.errno == errno.EACCES:
        return f"port {settings.port} is not allowed to this user; choose one above 1023, or 0 for any"
    return f"it cannot listen: {error.strerror}"
