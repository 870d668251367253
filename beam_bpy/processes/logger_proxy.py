"""The log events of BEAM processes whose group leader is on this node: they go to Python's logging.

The logger of Kernel (lib/kernel/src/logger.erl) sends each event to the node of the group leader too, and the default
handler of the process's own node leaves it out. An event is `{log, Level, Format, Args, Meta}` or `{log, Level,
StringOrReport, Meta}`. Since OTP 21.3 it goes to the registered name `logger_proxy`, before that to `logger`.
"""

import concurrent.futures
import logging
from typing import Any

from beam_bpy.distribution.node import Node
from beam_bpy.distribution.peer import Peer
from beam_bpy.distribution.process import PermanentProcess
from beam_bpy.failures import shortened
from beam_bpy.logger import log
from beam_bpy.processes.client import Client
from beam_bpy.processes.group_leader import text_of
from beam_bpy.protocol import control
from vendor_term_codec import Atom, DecodeError

_LEVELS = {
    "emergency": logging.CRITICAL,
    "alert": logging.CRITICAL,
    "critical": logging.CRITICAL,
    "error": logging.ERROR,
    "warning": logging.WARNING,
    "notice": logging.INFO,
    "info": logging.INFO,
    "debug": logging.DEBUG,
}
"""The levels of Erlang's logger (lib/kernel, logger.erl) as levels of Python's logging."""

_FORMATTER = Atom("logger_formatter")
_ONE_LINE = {Atom("template"): [Atom("msg")], Atom("single_line"): True}
"""The configuration of the formatter: the message alone, because Python's logging adds the time and the level."""


class LoggerProxy(PermanentProcess):
    """Logs events of BEAM processes.

    Args:
        node: our node.
        client: asks the node of an event to format it: only that node has the functions of its reports.
    """

    __slots__ = ("_client",)

    node: Node

    def __init__(self, node: Node, client: Client) -> None:
        super().__init__(node)
        self._client = client

    def receive(self, peer: Peer, message: control.Send) -> None:
        """See `Process`."""
        try:
            term = message.payload.decode(binaries=bytes)
        except DecodeError as error:
            log.warning("%s sent a log event that cannot be decoded: %s", peer.name, error)
            return
        match term:
            case ("log", str() as level, text, [*args], dict() as meta) if level in _LEVELS:
                self._log(peer, level, (text, args), meta)
            case ("log", str() as level, report, dict() as meta) if level in _LEVELS:
                kind = "report" if _is_report(report) else "string"
                self._log(peer, level, (Atom(kind), report), meta)

    def _log(self, peer: Peer, level: str, message: Any, meta: dict[Any, Any]) -> None:
        if not log.isEnabledFor(_LEVELS[level]):
            return

        def formatted(answer: "concurrent.futures.Future[Any]") -> None:
            try:
                text = text_of(answer.result(), "unicode")
            except Exception:  # noqa: BLE001 - whatever its node says, the event is logged
                text = shortened(message)
            log.log(_LEVELS[level], "%s logs: %s", peer.name, " ".join(text.split("\n")))

        event = {Atom("level"): Atom(level), Atom("msg"): message, Atom("meta"): meta}
        answer = self._client.call(peer.name, _FORMATTER, "format", [event, _ONE_LINE], binaries=bytes, arrays=False)
        answer.add_done_callback(formatted)


def _is_report(message: Any) -> bool:
    """True for a map, or a list of pairs; False for a string."""
    return isinstance(message, dict) or (isinstance(message, list) and bool(message) and isinstance(message[0], tuple))
