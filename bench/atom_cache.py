"""Would the atom cache of the distribution header make calls faster here? Prints a ratio; docs/protocol.md quotes it.

Chapter "External Term Format", section "Normal Distribution Header". With the cache a message begins with the list of
the cache entries that it uses, and each atom in it is two bytes that point into that list. What is compared, for the
message of an `erpc:call`:

    without   decoding the message as it is
    with      reading the list, and decoding the message with a small integer (two bytes as well) in the place of each
              atom: a lower bound, because looking the atoms up, and putting them into pids and references, comes on top
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
    """Control tuple and arguments of a call, with `atom(name)` for each atom."""
    pid, ref = Pid(NODE, 120, 0, 1_700_000_000), Reference(NODE, 1_700_000_000, (1, 2, 3))
    control = (29, ref, pid, pid, (atom("erpc"), atom("execute_call"), 4), [atom("monitor")])
    arguments = [ref, atom("Elixir.Blender"), atom("move"), ["Cube", 1.0, 2.0, 3.0]]
    return encode_term(control) + encode_term(arguments)


def decode(data: bytes) -> None:
    """Both terms of a message."""
    _control, offset = decode_term(data, 0)
    decode_term(data, offset)


def header(count: int) -> bytes:
    """A distribution header with `count` references to entries that the cache has already."""
    return bytes((131, 68, count)) + bytes(count // 2 + 1) + bytes(range(count))


def read_header(frame: bytes, cache: list[Atom]) -> tuple[list[Atom], int]:
    """The atoms that a header refers to, and where it ends."""
    count = frame[2]
    at = 4 + count // 2
    atoms = []
    for index in range(count):
        flags = frame[3 + (index >> 1)] >> (4 * (index & 1))
        atoms.append(cache[(flags & 7) << 8 | frame[at]])
        at += 1
    return atoms, at


def main() -> int:
    """Measure both in turn; print the medians' ratio."""
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
