"""The example extension's events where a handler of the test's own is needed, and what is left when it is disabled."""

import importlib
import itertools

import bpy
import rig

rig.install("EXTENSION_ZIP")


def app_handlers() -> list[object]:
    names = [name for name in dir(bpy.app.handlers) if isinstance(getattr(bpy.app.handlers, name), list)]
    return list(itertools.chain.from_iterable(getattr(bpy.app.handlers, name) for name in names))


before = app_handlers()
rig.install("SCENE_HANDLERS_ZIP")

from beam_bpy import get_beam_server  # noqa: E402 - installed just now

server = get_beam_server()
events = importlib.import_module(f"{rig.SCENE_HANDLERS}.events")


def select(*names: str) -> None:
    for found in bpy.data.objects:
        found.select_set(found.name in names)
    bpy.context.view_layer.objects.active = bpy.data.objects[names[0]] if names else None
    bpy.context.view_layer.update()


def save_and_load(path: str) -> None:
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)


def received(topics: list[str], code: str) -> list[tuple[str, object]]:
    """What a subscriber gets while an expression is evaluated; in it, Call(Function, Arguments) calls a handler."""
    subscriptions = ", ".join(f'ok = Call(subscribe, [<<"{topic}">>])' for topic in topics)
    return rig.erl(
        f"""
        Call = fun(Function, Arguments) -> erpc:call(N, scene, Function, Arguments, 60000) end,
        {subscriptions}, begin {code} end,
        Collect = fun(Next) ->
            receive {{beam_bpy_event, N, Topic, Payload}} -> [{{Topic, Payload}} | Next(Next)] after 0 -> [] end
        end,
        Collect(Collect)
        """
    )


for handler in (select, save_and_load):
    server.expose(handler)
bpy.ops.beam_bpy.start_server()

# The selection is told when it is another one, and only then.
steps = [
    'Call(select, [<<"Cube">>, <<"Light">>])',
    'Call(select, [<<"Cube">>, <<"Light">>])',
    'Call(select, [<<"Light">>])',
    "Call(select, [])",
]
assert received(["selection"], ", ".join(steps)) == [
    ("selection", {"selected": ["Cube", "Light"], "active": "Cube"}),
    ("selection", {"selected": ["Light"], "active": "Light"}),
    ("selection", {"selected": [], "active": None}),
]

# One message for each update, with the new object and its mesh in it.
found = received(["depsgraph_update"], 'Call(create_cube, [<<"Crate">>]), Call(select, [<<"Crate">>])')
assert [topic for topic, _ in found] == ["depsgraph_update"], found
assert "Crate" in found[0][1]["object"], found

# Nothing is made while nobody wants it.
made: list[bool] = []
events._publish("frame_change", lambda: made.append(True))
events._depsgraph_updated(bpy.context.scene, bpy.context.evaluated_depsgraph_get())
assert not made
assert not events._state.changed
select("Cube")
assert events._state.selection is None

# Loading a file removes the handlers that do not say that they want to stay.
path = bpy.app.tempdir + "events.blend"
again = received(["file_load", "frame_change"], f'Call(save_and_load, [<<"{path}">>]), Call(set_frame, [4])')
assert again == [("file_load", {"path": path}), ("frame_change", {"scene": "Scene", "frame": 4})], again

# What changes the scene can be undone, and what does not makes no step.
by_name = {handler.name: handler.undo for handler in server.handlers if handler.owner == rig.SCENE_HANDLERS}
assert {"upload_mesh", "upload_image", "set_fcurve", "create_cube", "set_property"} <= {
    name for name, undo in by_name.items() if undo
}
assert not any(by_name[name] for name in ("download_mesh", "get_fcurve", "list_objects", "bake_motion", "render_still"))

assert len(app_handlers()) == len(before) + 7
rig.disable(rig.SCENE_HANDLERS)
assert app_handlers() == before, app_handlers()
assert not any(handler.owner == rig.SCENE_HANDLERS for handler in server.handlers)
assert not bpy.app.timers.is_registered(events._flush)
print("done")
