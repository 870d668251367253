# Prints the events of a Blender with the extensions Beam-BPy and Scene Handlers.
#
#     BPY_BEAM_COOKIE=... elixir examples/watch_scene.exs [NODE [COUNT]]
#
# NODE defaults to beam_bpy@127.0.0.1. The program ends after COUNT events (default: no limit), or when Blender ends.

defmodule Watch do
  @topics ["frame_change", "selection", "depsgraph_update", "file_load", "render"]

  def run(node, count) do
    {:ok, _} = Node.start(:"watch_scene_#{System.pid()}@127.0.0.1")
    Node.set_cookie(String.to_atom(System.get_env("BPY_BEAM_COOKIE", "beam_bpy_cookie")))
    Node.connect(node) || raise "cannot connect to #{node}: check that it runs, and that BPY_BEAM_COOKIE is its cookie"
    Node.monitor(node, true)
    # The process that subscribes receives the events. When the process ends, its subscriptions end, too.
    for topic <- @topics, do: :ok = :erpc.call(node, Scene, :subscribe, [topic])
    IO.puts("watching #{Enum.join(@topics, ", ")}")
    events(node, count)
  end

  defp events(_node, 0), do: :ok

  defp events(node, left) do
    receive do
      {:beam_bpy_event, ^node, topic, payload} ->
        IO.puts("#{topic} #{inspect(payload)}")
        events(node, if(left == :infinity, do: left, else: left - 1))

      {:nodedown, ^node} ->
        IO.puts("#{node} is gone")
    end
  end
end

case System.argv() do
  [] -> Watch.run(:"beam_bpy@127.0.0.1", :infinity)
  [node] -> Watch.run(String.to_atom(node), :infinity)
  [node, count] -> Watch.run(String.to_atom(node), String.to_integer(count))
  _ -> raise "usage: elixir examples/watch_scene.exs [NODE [COUNT]]"
end
