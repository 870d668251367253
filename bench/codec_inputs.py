"""The values for `bench/codec_bench.py`. They are typical for the messages of a Blender that is a node of the BEAM."""

import math
import random
from dataclasses import dataclass
from typing import Any

from vendor_term_codec import Atom, Pid, Reference

OBJECTS = 200
NUMBERS = 30_000
MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Input:
    """A value to encode and decode.

    Attributes:
        name: the file name of its term, and its key in the JSON file.
        label: the name in the table.
        value: the value, in the types of `vendor_term_codec`.
        minor_version: the option `minor_version` of `term_to_binary`. With 1, it writes atoms in Latin-1, with a tag
            that every codec can read. With 2, it writes atoms in UTF-8. This is the default since OTP 26, and all
            releases send this form to other nodes.
        modes: the modes of `vendor_term_codec` to measure in addition to the default mode.
    """

    name: str
    label: str
    value: Any
    minor_version: int = 1
    modes: tuple[str, ...] = ()


def _vector(index: int) -> list[float]:
    return [math.sin(index), math.cos(index), index / 7]


def _scene_object(index: int) -> dict[str, Any]:
    return {
        "name": f"Cube.{index:03}",
        "type": "MESH",
        "location": _vector(index),
        "rotation": _vector(index + 1),
        "scale": [1.0, 1.0, 1.0],
        "visible": index % 5 != 0,
        "parent": f"Cube.{index - 1:03}" if index % 2 else None,
        "vertices": 8 * index,
    }


def _struct(index: int) -> dict[Atom, Any]:
    """Return the Elixir struct `%Blender.Object{}`. Its location is a tuple."""
    fields = {Atom(key): value for key, value in _scene_object(index).items()}
    return fields | {
        Atom("__struct__"): Atom("Elixir.Blender.Object"),
        Atom("type"): Atom("mesh"),
        Atom("location"): tuple(_vector(index)),
    }


def _nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for level in range(levels - 1):
        value = [level, value]
    return value


def inputs() -> list[Input]:
    """Return all inputs. They are the same in each run."""
    numbers = random.Random(45)
    move = Atom("Elixir.Blender"), Atom("move"), ["Cube", 1.0, 2.0, 3.0]
    node = "app@127.0.0.1"
    pid, ref = Pid(node, 120, 0, 1_700_000_000), Reference(node, 1_700_000_000, (1, 2, 3))
    floats = [numbers.uniform(-100, 100) for _ in range(NUMBERS)]
    ints = [numbers.choice((-1, 1)) * numbers.randrange(256, 100_000) for _ in range(NUMBERS)]
    # Vertex indices of faces: one of eight indices is below 256.
    mixed = [numbers.randrange(2048) for _ in range(NUMBERS)]
    even = [numbers.choice((numbers.randrange(256), numbers.randrange(256, 100_000))) for _ in range(NUMBERS)]
    return [
        Input("call", "a call", (Atom("call"), *move, Atom("user"))),
        Input("gen_call", "a call with pid and reference", (Atom("$gen_call"), (pid, ref), ("move", move[2])), 2),
        Input("scene", f"a scene: {OBJECTS} maps", [_scene_object(index) for index in range(OBJECTS)]),
        Input("structs", f"{OBJECTS} Elixir structs", [_struct(index) for index in range(OBJECTS)]),
        Input("floats", "30 000 floats", floats, modes=("arrays",)),
        Input("ints", "30 000 ints above 255", ints, modes=("arrays",)),
        Input("mixed_ints", "30 000 ints, 1 in 8 below 256", mixed, modes=("arrays",)),
        Input("even_ints", "30 000 ints, every other below 256", even, modes=("arrays",)),
        Input("binary", "a binary of 1 MB", numbers.randbytes(MEGABYTE), modes=("views",)),
        Input("nested_100", "lists 100 deep", _nested(100)),
        Input("nested_500", "lists 500 deep", _nested(500)),
    ]
