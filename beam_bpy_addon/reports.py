"""The messages for the status bar and the Info editor: nodes that connect or disconnect, and refused connections.

A program that is called again and again connects for a moment each time, often with a new name. So Blender reports the
first node that leaves at once, and then only nodes that stay. It reports each kind of refused connection once.
"""

from typing import NamedTuple

from .panel_state import RefusedRow, Shown

SHORT = 5.0
"""A node that is connected for a shorter time is short-lived, in seconds."""

_MOST_REFUSALS = 100
"""The number of refused connections that are reported at most until the node is stopped."""


class Message(NamedTuple):
    """A sentence, and whether it is a warning."""

    text: str
    warning: bool = False


class Reports:
    """Finds the messages in the data of the panels, from the start of the node to its end."""

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self._since: dict[str, float] = {}
        self._reported: set[str] = set()
        self._only_lasting = False
        self._refusals: set[tuple[str, str]] = set()

    def messages(self, shown: Shown, now: float) -> list[Message]:
        """Return what has happened since the last call.

        Args:
            shown: the data.
            now: the time, in seconds.
        """
        if shown.state != "running":  # The user who has stopped the node knows that all nodes leave.
            self._forget()
            return []
        present = {node.name for node in shown.nodes}
        left = [self._leaves(name, now) for name in [*self._since] if name not in present]
        came = [self._stays(name, now) for name in present]
        return [message for message in (*came, *left, self._refused(shown.refused)) if message is not None]

    def _stays(self, name: str, now: float) -> Message | None:
        since = self._since.setdefault(name, now)
        if name in self._reported or (self._only_lasting and now - since < SHORT):
            return None
        self._reported.add(name)
        return Message(f"{name} has connected")

    def _leaves(self, name: str, now: float) -> Message | None:
        since = self._since.pop(name)
        if name not in self._reported:
            return None
        self._reported.remove(name)
        if now - since >= SHORT:
            return Message(f"{name} has disconnected")
        self._only_lasting = True
        return Message(f"{name} has disconnected. Other nodes that connect for a moment are not reported")

    def _refused(self, row: RefusedRow | None) -> Message | None:
        if row is None:
            return None
        kind = row.address, row.reason.rpartition(": ")[2]  # Without the name of the other node.
        if kind in self._refusals or len(self._refusals) >= _MOST_REFUSALS:
            return None
        self._refusals.add(kind)
        return Message(f"Refused a connection from {row.address}: {row.reason}", warning=True)
