defmodule BeamBpy.SceneNode do
  @moduledoc "A Blender with the scene handlers, for tests. The Python module `bpy` of the repository runs it."

  @repository Path.expand("../../..", __DIR__)
  @handlers Path.expand("scene.py", __DIR__)
  @boot_timeout 60_000

  @doc "Starts the program for the tests of a module, and returns its node. Call it in `setup_all`."
  @spec start!() :: node()
  def start! do
    node = :"scene_#{System.os_time()}@127.0.0.1"
    cookie = if Node.alive?(), do: Node.get_cookie(), else: :"cookie_#{System.os_time()}"
    port = open(node, cookie)
    {:os_pid, os_pid} = Port.info(port, :os_pid)
    ExUnit.Callbacks.on_exit(fn -> System.cmd("kill", ["-KILL", "#{os_pid}"]) end)
    wait_until_ready(port, [])
    connect(node, cookie)
    node
  end

  defp open(node, cookie) do
    python = Path.join(@repository, ".venv/bin/python")
    args = ~w(-m beam_bpy.cli serve --handlers #{@handlers} --node #{node})
    env = [{~c"BPY_BEAM_COOKIE", Atom.to_charlist(cookie)}]
    options = [:binary, :exit_status, :stderr_to_stdout, args: args, env: env, cd: @repository]
    Port.open({:spawn_executable, python}, options)
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

  defp connect(node, cookie) do
    if not Node.alive?() do
      {:ok, _pid} = Node.start(:"tests_#{System.os_time()}@127.0.0.1")
      Node.set_cookie(cookie)
    end

    true = Node.connect(node)
  end
end
