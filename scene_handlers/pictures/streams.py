"""The topics of pictures that callers have asked for.

The name of a topic contains all options of its pictures. So subscribers with the same options share a topic, and each
of its pictures is made once.
"""

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from beam_bpy import BeamServer

FORGET_AFTER = 60.0
"""A topic that has had no subscribers for this time is forgotten, in seconds."""

Options = TypeVar("Options", bound=NamedTuple)


@dataclass
class Stream(Generic[Options]):
    """A topic, and what its pictures need.

    Attributes:
        topic: its name.
        options: the checked options.
        wanted_at: when it was asked for, or had subscribers.
        subscribers: their number.
        changed: True if the next picture can differ from the last one, or a new subscriber has none.
        due: when the next picture may be made.
    """

    topic: str
    options: Options
    wanted_at: float = field(default_factory=time.monotonic)
    subscribers: int = 0
    changed: bool = True
    due: float = 0.0


class Streams(Generic[Options]):
    """The topics of one kind of pictures.

    Args:
        server: publishes.
        kind: the first word of each topic.
    """

    def __init__(self, server: "BeamServer", kind: str) -> None:
        self._server = server
        self._kind = kind
        self._all: dict[str, Stream[Options]] = {}

    def add(self, options: Options) -> str:
        """Return the topic of pictures with these options."""
        self.wanted()
        topic = f"{self._kind} {json.dumps(options._asdict())}"
        self._all.setdefault(topic, Stream(topic, options)).wanted_at = time.monotonic()
        return topic

    def wanted(self) -> list[Stream[Options]]:
        """Return the topics that have subscribers, and forget those that have had none for a long time."""
        now = time.monotonic()
        for stream in tuple(self._all.values()):
            count = self._server.subscribers(stream.topic)
            stream.changed |= count > stream.subscribers
            stream.subscribers = count
            if count:
                stream.wanted_at = now
            elif now - stream.wanted_at > FORGET_AFTER:
                del self._all[stream.topic]
        return [stream for stream in self._all.values() if stream.subscribers]

    def __len__(self) -> int:
        return len(self._all)
