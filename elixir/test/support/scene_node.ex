defmodule BeamBpy.SceneNode do
  @moduledoc "A Blender with the scene handlers, for tests. The Python module `bpy` of the repository runs it."

  alias BeamBpy.{OsProcess, TestRun}

  @handlers Path.expand("scene.py", __DIR__)
  @boot_timeout 60_000

  @doc "Starts the program for the tests of a module, and returns its node. Call it in `setup_all`."
  @spec start!() :: node()
  def start! do
    node = :"scene_#{TestRun.unique()}@127.0.0.1"
    port = open(node)
    {:os_pid, os_pid} = Port.info(port, :os_pid)
    ExUnit.Callbacks.on_exit(fn -> OsProcess.kill(os_pid) end)
    wait_until_ready(port, [])
    true = Node.connect(node)
    node
  end

  defp open(node) do
    args = ~w(-m beam_bpy.cli serve --handlers #{@handlers} --node #{node})
    env = [{~c"BPY_BEAM_COOKIE", Atom.to_charlist(Node.get_cookie())}]
    options = [:binary, :exit_status, :stderr_to_stdout, args: args, env: env]
    Port.open({:spawn_executable, TestRun.python()}, options)
  end

  defp wait_until_ready(port, output) do
    receive do
      {^port, {:data, data}} ->
        output = [output, data]

        if IO.iodata_to_binary(output) =~ "is ready",
          do: :ok,
          else: wait_until_ready(port, output)

      {^port, {:exit_status, status}} ->
        raise "the program ended with the exit status #{status}:\n#{output}"
    after
      @boot_timeout -> raise "the program is not ready:\n#{output}"
    end
  end
end
