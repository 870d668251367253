"""Build a drop of beads in another Blender, animate it, and render one frame. It does the same as demo.exs, in Python.

    BPY_BEAM_COOKIE=… python examples/demo.py NODE PICTURE

NODE is the node name of a Blender with the extensions Beam-BPy and Scene Handlers, such as beam_bpy@127.0.0.1. PICTURE
is the file to write. While this program runs, it is a node itself. It needs no Erlang, no Elixir and no bpy.
"""

import math
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from beam_bpy import BeamServer

BEADS = 420
FRAMES = 120
MOMENT = 82  # In this frame the lower beads have reached their places, and the upper beads still move.
PALETTE = "#2B0B5E #43178A #5B2BB5 #7A3FD0 #A04BE0 #C24FD8 #8F6BEA #4F8CF0 #22B4E6 #18D6CF #54F0C4".split()

GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))
WIDTH, HEIGHT, LIFT = 1.22, 2.45, 2.62
STEPS = 4000


class Place(NamedTuple):
    """The final place of a bead.

    Attributes:
        position: x, y and z in metres.
        spacing: the distance to the next bead, in metres.
        share: the height of the bead in the drop, 0 (bottom) to 1 (tip).
    """

    position: tuple[float, float, float]
    spacing: float
    share: float


def places(count: int) -> Iterator[Place]:
    """The places of `count` beads, from the bottom to the tip. Each one is turned by the golden angle from the last."""
    rings = list(_rings())
    area = sum(ring[2] for ring in rings)
    ring, below = 0, 0.0
    for index in range(count):
        target = (index + 0.5) / count * area
        while below + rings[ring][2] < target and ring < len(rings) - 1:
            below += rings[ring][2]
            ring += 1
        radius, z, _area = rings[ring]
        angle = index * GOLDEN_ANGLE
        position = (radius * math.cos(angle), radius * math.sin(angle), z)
        yield Place(position, math.sqrt(area / count), (z - LIFT + HEIGHT) / (2 * HEIGHT))


def _rings() -> Iterator[tuple[float, float, float]]:
    """Thin rings of the surface, from the bottom to the tip: radius, height and area of each."""
    for step in range(STEPS):
        (r0, z0), (r1, z1) = _profile(step / STEPS), _profile((step + 1) / STEPS)
        yield (r0 + r1) / 2, (z0 + z1) / 2, math.pi * (r0 + r1) * math.hypot(r1 - r0, z1 - z0)


def _profile(share: float) -> tuple[float, float]:
    t = math.pi * (share - 0.5)
    return WIDTH * (1 - math.sin(t)) * math.cos(t), LIFT + HEIGHT * math.sin(t)


class Demo:
    """Builds the scene by calls to `node`."""

    def __init__(self, server: BeamServer, node: str) -> None:
        self._server = server
        self._node = node

    def call(self, function: str, *args: Any, timeout: float = 10.0) -> Any:
        """Call one of the scene handlers."""
        return self._server.call(self._node, "Elixir.Scene", function, list(args), timeout, binaries=bytes)

    def run(self, picture: Path) -> None:
        """Build the scene, animate it, render one frame and save the picture."""
        self._server.connect(self._node)
        say(f"Connected to {self._node}, as {self._server.node_name}.")
        self._clear()
        self._stage()
        self._beads()
        self._shoot(picture)

    def _clear(self) -> None:
        names = [name.decode() for name in self.call("list_objects")]
        say(f"The scene holds {', '.join(names)}. Deleting them.")
        for name in names:
            self.call("delete_object", name)

    def _stage(self) -> None:
        say("Making the floor, the ripples, the lights and the camera.")
        self.call("create_primitive", "plane", "Floor", {"size": 4000})
        self.call("set_material", "Floor", {"base_color": "#1B1038", "roughness": 0.38})
        for index, radius in enumerate((1.15, 1.95, 2.95, 4.15, 5.6)):
            self._ripple(radius, index)
        self.call("set_world", {"color": "#2A1A58", "strength": 0.5})
        self._light("Key", [-5, -7, 9], 1300, "#FFF2E8", 4)
        self._light("Rim", [7, 6, 7], 1700, "#38E8DA", 4)
        self._light("Back", [-8, 7, 5], 1700, "#A24BFF", 5)
        lens = {"lens": 50, "fstop": 1.6, "focus": [0, -1.3, 2.2]}
        self.call("create_camera", "Camera", {"location": [0, -16, 6.6], "look_at": [0, 0, 2.95], **lens})

    def _ripple(self, radius: float, index: int) -> None:
        name = f"Ripple {index}"
        shape = {"size": 2 * radius, "segments": 96, "thickness": 0.05, "smooth": True}
        self.call("create_primitive", "torus", name, shape)
        glow = {"emission": "#5A38FF", "emission_strength": 2.4 / (index + 1)}
        self.call("set_material", name, {"base_color": "#3A1D7A", "roughness": 0.2, **glow})

    def _light(self, name: str, location: list[float], energy: float, color: str, size: float) -> None:
        options = {"location": location, "energy": energy, "color": color, "size": size, "look_at": [0, 0, 2.4]}
        self.call("create_light", "area", name, options)

    def _beads(self) -> None:
        say(f"Making {BEADS} beads, each with its keyframes.")
        begin = time.monotonic()
        for index, place in enumerate(places(BEADS)):
            self._bead(place, index)
        say(f"Made {BEADS * 7} calls in {time.monotonic() - begin:.1f} s.")

    def _bead(self, place: Place, index: int) -> None:
        name = f"Bead {index}"
        size = place.spacing * (1.02 + 0.12 * math.sin(index * 2.4))
        self.call("create_primitive", "uv_sphere", name, {"size": size, "segments": 40, "smooth": True})
        self.call("set_material", name, _look(place.share, index))
        # The bead moves from a wide spiral above, over a narrower spiral, to its place. Lower beads arrive earlier.
        arrival = 12 + round(place.share * (FRAMES - 24))
        start = max(arrival - 44, 1)
        self.call("keyframe_insert", name, "location", start, _swirl(place, 1.5, 3.4, 2.2))
        self.call("keyframe_insert", name, "location", arrival - 20, _swirl(place, 0.55, 1.7, 0.8))
        self.call("keyframe_insert", name, "location", arrival, list(place.position))
        self.call("keyframe_insert", name, "scale", start, [0.3, 0.3, 0.3])
        self.call("keyframe_insert", name, "scale", arrival, [1, 1, 1])

    def _shoot(self, picture: Path) -> None:
        self.call("set_property", 'scenes["Scene"].frame_end', FRAMES)
        # Glowing materials should be visible, but not light the scene: to sample all their triangles as lights would
        # take most of the time.
        for name in (raw.decode() for raw in self.call("get_property", "materials")):
            if name.startswith(("Glow", "Ripple")):
                self.call("set_property", f'materials["{name}"].cycles.emission_sampling', "NONE")
        # Four bounces are enough here. With adaptive sampling, pixels with little noise get no more samples.
        self.call("set_property", 'scenes["Scene"].cycles.max_bounces', 4)
        self.call("set_property", 'scenes["Scene"].cycles.adaptive_threshold', 0.05)
        self.call("set_property", 'scenes["Scene"].view_settings.look', "AgX - Medium High Contrast")
        self.call("set_frame", MOMENT)
        say(f"Rendering frame {MOMENT} of {FRAMES} with Cycles.")
        begin = time.monotonic()
        options = {"engine": "cycles", "width": 960, "height": 540, "samples": 24, "denoise": True}
        png = self.call("render_still", options, timeout=240.0)
        say(f"Rendered in {time.monotonic() - begin:.1f} s. The call returned a picture of {len(png)} bytes.")
        picture.write_bytes(png)


def _swirl(place: Place, turn: float, wider: float, higher: float) -> list[float]:
    """Return the position of `place`, turned around the z axis, further out and higher.

    Args:
        place: the place.
        turn: the angle, in radians.
        wider: the distance outwards, in metres.
        higher: the distance upwards, in metres.
    """
    x, y, z = place.position
    angle, radius = math.atan2(y, x) + turn, math.hypot(x, y) + wider
    return [radius * math.cos(angle), radius * math.sin(angle), z + higher]


def _look(share: float, index: int) -> dict[str, Any]:
    shade = min(int(share * len(PALETTE)), len(PALETTE) - 1)
    color = PALETTE[shade]
    if index % 11 == 5:
        return {"material": f"Glow {shade}", "base_color": color, "emission": color, "emission_strength": 2.2}
    shine = {"roughness": 0.18, "metallic": 0.0, "coat": 1.0, "coat_roughness": 0.05}
    return {"material": f"Bead {shade}", "base_color": color, **shine}


def say(line: str) -> None:
    """Print a line with the prefix "python:"."""
    print(f"  python: {line}", flush=True)


def main(arguments: list[str]) -> int:
    """Run the demo; returns the exit code."""
    if len(arguments) != 2:
        print("usage: python examples/demo.py NODE PICTURE", file=sys.stderr)
        return 2
    server = BeamServer(f"demo_{os.getpid()}", host="localhost", port=0, epmd="none")
    if not server.start():
        return 1
    try:
        Demo(server, arguments[0]).run(Path(arguments[1]))
    finally:
        server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
