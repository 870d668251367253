"""Measure whether the atom cache of the distribution header would make calls faster. docs/protocol.md quotes the ratio.

Source of the format: ERTS user's guide, chapter "External Term Format", section "Normal Distribution Header". With the
cache, a message starts with a list of cache entries, and each atom in the message is an index of two bytes into this
list. The benchmark compares two times, for the message of an `erpc:call`:

    without   decode the message without a cache
    with      read the list, and decode the message with a small integer (also two bytes) instead of each atom. This is
              a lower bound: a real decoder must also look up the atoms, and insert them into pids and references.
"""

import sys
import timeit
from typing import Any

from vendor_term_codec import Atom, Pid, Reference, decode_term, encode_term

ROUNDS = 7
CALLS = 20_000

NODE = "app@127.0.0.1"
ATOMS = [NODE, "erpc", "execute_call", "monitor", "Elixir.Blender", "move"]


def message(atom: Any) -> bytes:
    """Return the control tuple and the arguments of a call, encoded, with `atom(name)` instead of each atom."""
    pid, ref = Pid(NODE, 120, 0, 1_700_000_000), Reference(NODE, 1_700_000_000, (1, 2, 3))
    control = (29, ref, pid, pid, (atom("erpc"), atom("execute_call"), 4), [atom("monitor")])
    arguments = [ref, atom("Elixir.Blender"), atom("move"), ["Cube", 1.0, 2.0, 3.0]]
    return encode_term(control) + encode_term(arguments)


def decode(data: bytes) -> None:
    """Decode both terms of a message."""
    _control, offset = decode_term(data, 0)
    decode_term(data, offset)


def header(count: int) -> bytes:
    """Return a distribution header with `count` references to existing entries of the cache."""
    return bytes((131, 68, count)) + bytes(count // 2 + 1) + bytes(range(count))


def read_header(frame: bytes, cache: list[Atom]) -> tuple[list[Atom], int]:
    """Return the atoms to which a header refers, and the offset after the header."""
    count = frame[2]
    at = 4 + count // 2
    atoms = []
    for index in range(count):
        flags = frame[3 + (index >> 1)] >> (4 * (index & 1))
        atoms.append(cache[(flags & 7) << 8 | frame[at]])
        at += 1
    return atoms, at


def main() -> int:
    """Measure both cases in turn, and print the ratio of the medians."""
    plain, without_atoms = message(Atom), message(lambda _name: 1)
    frame, cache = header(len(ATOMS)), [Atom(name) for name in ATOMS]

    def with_cache() -> None:
        read_header(frame, cache)
        decode(without_atoms)

    pairs = [
        (timeit.timeit(lambda: decode(plain), number=CALLS), timeit.timeit(with_cache, number=CALLS))
        for _ in range(ROUNDS)
    ]
    without, with_ = (sorted(times)[ROUNDS // 2] / CALLS * 1e6 for times in zip(*pairs, strict=True))
    print(f"decoding an erpc call without the atom cache: {without:.1f} µs")
    print(f"the least that it takes with the atom cache:  {with_:.1f} µs, {with_ / without:.2f} times as much")
    return 0


if __name__ == "__main__":
    sys.exit(main())
