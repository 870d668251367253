"""For the test of handlers that do harm: starts the node, and starts it again whenever a handler has ended it."""

import bpy

EXTENSION = "bl_ext.user_default.beam_bpy"
INTERVAL = 0.2


def _keep_running() -> float:
    """Enable the extension and start the node, as a user does who sees that it has stopped."""
    # Not when only its classes are gone: that would stop the node while the next handler of the table is called.
    if EXTENSION not in bpy.context.preferences.addons:
        bpy.ops.preferences.addon_enable(module=EXTENSION)
    import harmful_handlers

    from beam_bpy import get_beam_server

    server = get_beam_server()
    if "honest" not in {handler.name for handler in server.handlers}:
        harmful_handlers.register(server)
    if not server.running:
        bpy.ops.beam_bpy.start_server()
    return INTERVAL


bpy.context.preferences.view.show_splash = False
bpy.app.timers.register(_keep_running, first_interval=0.5, persistent=True)
