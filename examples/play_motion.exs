# Moves many armatures of a Blender at once, each from a process of its own, 60 times a second.
#
#     BPY_BEAM_COOKIE=... elixir examples/play_motion.exs [NODE [PROCESSES [SECONDS]]]
#
# NODE defaults to beam_bpy@127.0.0.1, with the extensions Beam-BPy and Scene Handlers; PROCESSES to 16 and SECONDS to 10.
# Each process plays a wave with an armature of the file. If the file has fewer armatures, there are fewer processes.
# The program prints the number of poses in a second, and how many of them Blender did not show, because a newer one was
# already there.

defmodule PlayMotion do
  @rate 60

  def run(node, processes, seconds) do
    {:ok, _} = Node.start(:"play_motion_#{System.pid()}@127.0.0.1")
    Node.set_cookie(String.to_atom(System.get_env("BPY_BEAM_COOKIE", "beam_bpy_cookie")))

    Node.connect(node) ||
      raise "cannot connect to #{node}: check that it runs, and that BPY_BEAM_COOKIE is its cookie"

    armatures = node |> armatures() |> Enum.take(processes)
    if armatures == [], do: raise("#{node} has no armature: add one, or open a file with some")
    before = replaced(node)
    begin = System.monotonic_time(:microsecond)

    poses =
      armatures
      |> Enum.map(fn armature -> Task.async(fn -> play(node, armature, begin, seconds) end) end)
      |> Task.await_many(:infinity)
      |> Enum.sum()

    took = (System.monotonic_time(:microsecond) - begin) / 1.0e6

    # A call runs after all casts of this node, and the user of a window can undo the whole motion.
    for armature <- armatures, do: :erpc.call(node, Scene, :rest_pose, [armature])

    IO.puts(
      "#{length(armatures)} processes sent #{poses} poses, #{round(poses / took)} per second"
    )

    IO.puts("#{replaced(node) - before} of them were replaced by a newer one")
  end

  defp armatures(node) do
    %{"objects" => objects} = :erpc.call(node, Scene, :describe_scene, [])
    for %{"type" => "ARMATURE", "name" => name} <- objects, do: name
  end

  defp replaced(node), do: :erpc.call(node, :beam_bpy, :health, []).replaced

  # Casts a pose, waits for the next one, and returns the number of poses.
  defp play(node, armature, begin, seconds) do
    bones = length(:erpc.call(node, Scene, :bones, [armature]))

    for number <- 1..(seconds * @rate) do
      :erpc.cast(node, Scene, :set_pose, [armature, wave(bones, number / @rate)])
      due = begin + div(number * 1_000_000, @rate)
      wait = div(due - System.monotonic_time(:microsecond), 1000)
      if wait > 0, do: Process.sleep(wait)
    end

    seconds * @rate
  end

  # A row for each bone: location X, Y, Z and rotation W, X, Y, Z. Each bone turns around its X axis.
  defp wave(bones, time) do
    for bone <- 0..(bones - 1)//1, into: <<>> do
      half = 0.2 * :math.sin(4 * time + bone / 4)

      <<0.0::float-32-little, 0.0::float-32-little, 0.0::float-32-little>> <>
        <<:math.cos(half)::float-32-little, :math.sin(half)::float-32-little,
          0.0::float-32-little, 0.0::float-32-little>>
    end
  end
end

case System.argv() do
  [] ->
    PlayMotion.run(:"beam_bpy@127.0.0.1", 16, 10)

  [node] ->
    PlayMotion.run(String.to_atom(node), 16, 10)

  [node, processes] ->
    PlayMotion.run(String.to_atom(node), String.to_integer(processes), 10)

  [node, processes, seconds] ->
    PlayMotion.run(String.to_atom(node), String.to_integer(processes), String.to_integer(seconds))

  _ ->
    raise "usage: elixir examples/play_motion.exs [NODE [PROCESSES [SECONDS]]]"
end
