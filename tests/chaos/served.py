"""The server that these tests break: a process of its own, so that what it holds can be counted from outside.

    python served.py '{"tick_time": 4.0, "limits": {"stalled_peer_timeout": 4.0}, "ledger": 1000000}'

It runs handlers on its main thread, as `beam-bpy serve` does, and counts how often each id was called.
"""

import json
import logging
import sys
import time
from collections.abc import Iterator
from typing import Any

from beam_bpy import BeamServer
from beam_bpy.limits import Limits

_PAGE = 4096


class Ledger:
    """How often each id was called, and what long calls have begun and ended."""

    def __init__(self, size: int) -> None:
        self._ran = bytearray(size)
        for place in range(0, size, _PAGE):
            # Memory counts once it is written to; that is to happen before the counting begins.
            self._ran[place] = 0
        self.begun = 0
        self.ended = 0

    def once(self, number: int) -> int:
        """Count a call of an id and answer with the id."""
        self._ran[number] += 1
        return number

    def section(self, first: int, end: int) -> bytes:
        """How often the ids of a section were called."""
        return bytes(self._ran[first:end])

    def clear(self) -> None:
        """Forget all of them."""
        self._ran[:] = bytes(len(self._ran))

    def long(self, slices: int) -> Iterator[int]:
        """A long call."""
        self.begun += 1
        try:
            for number in range(slices):
                time.sleep(0.001)
                yield number
            return "done"
        finally:
            self.ended += 1


def register(server: BeamServer, ledger: Ledger) -> None:
    """Register what the callers call."""
    server.expose(ledger.once)
    server.expose(ledger.once, name="inline_once", inline=True)
    server.expose(ledger.section)
    server.expose(ledger.clear)
    server.expose(ledger.long)
    server.expose(lambda size: bytes(size), name="give")
    server.expose(lambda size: bytes(size), name="inline_give", inline=True)
    server.register_handler("take", lambda args: len(args[0]), binaries=memoryview)
    server.expose(lambda: state(server, ledger), name="state", inline=True)


def state(server: BeamServer, ledger: Ledger) -> dict[str, Any]:
    """The parts of the server's state that only its own process can read."""
    return {
        "nodes": [peer.name for peer in server.peers],
        "queued": server.activity.queued,
        "begun": ledger.begun,
        "ended": ledger.ended,
    }


def main() -> None:
    """Serve until SIGTERM."""
    options = json.loads(sys.argv[1])
    ledger = Ledger(options.pop("ledger"))
    limits = Limits(**options.pop("limits", {}))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stdout)
    server = BeamServer(limits=limits, **options)
    register(server, ledger)
    if not server.start():
        raise SystemExit(server.last_error)
    server.serve_forever()


if __name__ == "__main__":
    main()
