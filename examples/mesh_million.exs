# Builds a mesh of a million faces in Elixir, uploads it to Blender with one call, and downloads it with another call.
#
#     BPY_BEAM_COOKIE=... elixir examples/mesh_million.exs [NODE [SIDE]]
#
# NODE is the node name of a Blender with the extensions Beam-BPy and Scene Handlers, default beam_bpy@127.0.0.1. SIDE is
# the number of faces along each side of the square, default 1000.

defmodule Wave do
  @moduledoc "A square of 2 x 2 metres with waves, as binaries for `upload_mesh`."

  @doc "The vertices: three little-endian float32 for each vertex."
  def vertices(side) do
    columns = for x <- 0..side, do: {-1 + 2 * x / side, :math.sin(12 * x / side)}

    for y <- 0..side, across = :math.cos(9 * y / side), {x, wave} <- columns, into: <<>> do
      <<x::float-32-little, -1 + 2 * y / side::float-32-little, 0.1 * wave * across::float-32-little>>
    end
  end

  @doc "The faces: four little-endian int32, the indices of its vertices, for each face."
  def quads(side) do
    row = side + 1

    for y <- 0..(side - 1), x <- 0..(side - 1), into: <<>> do
      corner = y * row + x

      <<corner::32-little, corner + 1::32-little, corner + row + 1::32-little, corner + row::32-little>>
    end
  end
end

defmodule Script do
  @timeout 120_000

  def run(node, side) do
    connect(node)
    mesh = timed("Elixir builds the binaries", fn -> %{vertices: Wave.vertices(side), quads: Wave.quads(side)} end)
    megabytes = (byte_size(mesh.vertices) + byte_size(mesh.quads)) / 1.0e6
    IO.puts("#{div(byte_size(mesh.vertices), 12)} vertices, #{side * side} faces, #{Float.round(megabytes, 1)} MB")

    made = timed("upload_mesh, the whole call", fn -> call(node, :upload_mesh, ["Wave", mesh]) end)

    for part <- ["parse", "foreach_set", "update"] do
      say("part of it, in Blender: #{part}", made["seconds"][part])
    end

    found = timed("download_mesh, the whole call", fn -> call(node, :download_mesh, ["Wave"]) end)

    if found["vertices"] == mesh.vertices and found["quads"] == mesh.quads do
      IO.puts("The downloaded mesh equals the uploaded mesh, byte for byte.")
    else
      IO.puts(:stderr, "The downloaded mesh differs from the uploaded mesh.")
      System.halt(1)
    end
  end

  defp connect(node) do
    {:ok, _} = Node.start(:"mesh_million_#{System.pid()}@127.0.0.1")
    Node.set_cookie(String.to_atom(System.get_env("BPY_BEAM_COOKIE", "beam_bpy_cookie")))
    Node.connect(node) || raise "cannot connect to #{node}: check that it runs, and that BPY_BEAM_COOKIE is its cookie"
  end

  defp call(node, function, arguments), do: :erpc.call(node, Scene, function, arguments, @timeout)

  defp timed(what, function) do
    {microseconds, value} = :timer.tc(function)
    say(what, microseconds / 1.0e6)
    value
  end

  defp say(what, seconds) do
    IO.puts(String.pad_trailing(what, 36) <> :erlang.float_to_binary(seconds * 1000, decimals: 1) <> " ms")
  end
end

{node, side} =
  case System.argv() do
    [] -> {"beam_bpy@127.0.0.1", "1000"}
    [node] -> {node, "1000"}
    [node, side] -> {node, side}
    _ -> raise "usage: elixir examples/mesh_million.exs [NODE [SIDE]]"
  end

Script.run(String.to_atom(node), String.to_integer(side))
