# Calls handlers of a Blender with the extensions Beam-BPy and Scene Handlers. It needs no dependency and no client
# library.
#
#     BPY_BEAM_COOKIE=... elixir examples/drive_scene.exs [NODE]
#
# NODE defaults to beam_bpy@127.0.0.1.

node = String.to_atom(List.first(System.argv()) || "beam_bpy@127.0.0.1")
{:ok, _} = Node.start(:"drive_scene_#{System.pid()}@127.0.0.1")
Node.set_cookie(String.to_atom(System.get_env("BPY_BEAM_COOKIE", "beam_bpy_cookie")))
Node.connect(node) || raise "cannot connect to #{node}: check that it runs, and that BPY_BEAM_COOKIE is its cookie"

# The function name selects the handler. These handlers are registered without a module, so any module name works.
call = fn function, arguments -> :erpc.call(node, Scene, function, arguments, 60_000) end

IO.inspect(call.(:list_objects, []), label: "objects")

crate = call.(:create_cube, ["Crate", %{size: 1, location: [2, 0, 0.5]}])
call.(:set_material, [crate, %{base_color: "#6E4AA5", roughness: 0.3}])
IO.inspect(call.(:set_transform, [crate, %{rotation: [0, 0, 0.7]}]), label: crate)

call.(:set_property, [~s(objects["#{crate}"].hide_render), false])
IO.inspect(call.(:get_property, [~s(objects["#{crate}"].location)]), label: "location")

# A Python exception in the handler becomes an Erlang error in the caller. The reason contains the message.
try do
  call.(:delete_object, ["No such crate"])
rescue
  error in ErlangError -> IO.inspect(error.original, label: "as expected")
end
