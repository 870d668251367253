"""Handlers file of BeamBpy.Worker: prints the progress of renders, which Blender itself prints only before version 5.0.

It is loaded after the other handlers. If none of them has imported bpy, there is nothing to render.
"""

import sys
from typing import Any

from beam_bpy import BeamServer


def register(_server: BeamServer) -> None:
    """Print a line in the form of Blender 4 when a frame begins, and whenever the render engine reports its state."""
    bpy: Any = sys.modules.get("bpy")
    if bpy is None or bpy.app.version < (5, 0):
        return
    frame = 0

    @bpy.app.handlers.persistent
    def begin(scene: Any, *_more: object) -> None:
        nonlocal frame
        frame = scene.frame_current
        print(f"Fra:{frame}", flush=True)

    @bpy.app.handlers.persistent
    def report(state: object, *_more: object) -> None:
        print(f"Fra:{frame} | {state}", flush=True)

    bpy.app.handlers.render_pre.append(begin)
    bpy.app.handlers.render_stats.append(report)
