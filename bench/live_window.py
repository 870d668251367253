"""Register the handlers of bench/live.py. A Blender with a window runs this script after bench/calls_window.py."""

import live_handlers

from beam_bpy import get_beam_server

live_handlers.register(get_beam_server())
