import bpy

from beam_bpy import BeamServer

server = BeamServer()


# Register Blender-specific handlers
def create_object(args: str) -> dict:
    bpy.ops.mesh.primitive_cube_add()
    return {"status": "created"}


def list_objects(args: str) -> list:
    return [obj.name for obj in bpy.data.objects]


server.register_handler("create_object", create_object)
server.register_handler("list_objects", list_objects)

server.start()
# Now Elixir code can call these Blender operations via RPC
