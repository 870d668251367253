defmodule BeamBpy.OwnBeamTest do
  # Pools in a BEAM of their own: one without a node name, and one that stops.
  use BeamBpy.Case, async: true

  import BeamBpy.Workers

  # Runs Elixir code, and returns what it prints and its exit code.
  defp run(code) do
    options = inspect(defaults(), limit: :infinity, printable_limit: :infinity)
    code = "pool = [name: MyPool] ++ #{options}\n" <> code
    paths = Enum.flat_map(:code.get_path(), &["-pa", to_string(&1)])
    elixir = System.find_executable("elixir")
    System.cmd(elixir, paths ++ ["-e", code], stderr_to_stdout: true)
  end

  defp printed(output, name) do
    [value] = Regex.run(~r/^#{name}=(.*)$/m, output, capture: :all_but_first)
    value
  end

  test "a BEAM without a node name gets a sentence, and works when it has a name" do
    {output, status} =
      run(~S"""
      {:ok, _} = Application.ensure_all_started(:beam_bpy)
      {:ok, _} = Supervisor.start_link([{BeamBpy.Pool, pool}], strategy: :one_for_one)
      {:error, %{kind: :not_connected} = error} = BeamBpy.call(MyPool, :echo, [1])
      IO.puts("error=#{Exception.message(error)}")
      {:error, %{kind: :not_connected} = error} = BeamBpy.call(:"blender@127.0.0.1", :echo, [1])
      IO.puts("error_of_node=#{Exception.message(error)}")
      {:ok, _} = Node.start(:"late_#{System.pid()}@127.0.0.1")
      {:ok, os_pid} = BeamBpy.call(MyPool, :process)
      IO.puts("os_pid=#{os_pid}")
      System.stop(3)
      Process.sleep(:infinity)
      """)

    assert status == 3
    for name <- ["error", "error_of_node"], do: assert(printed(output, name) =~ "Node.start")
    assert_ended(output |> printed("os_pid") |> String.to_integer())
  end

  test "a BEAM that stops ends its Blenders, also one that is busy in C" do
    {output, status} =
      run(~S"""
      {:ok, _} = Node.start(:"stops_#{System.pid()}@127.0.0.1")
      {:ok, _} = Application.ensure_all_started(:beam_bpy)
      {:ok, _} = Supervisor.start_child(BeamBpy.Supervisor, {BeamBpy.Pool, [min: 2] ++ pool})

      {:ok, {one, two}} =
        BeamBpy.checkout(MyPool, fn one ->
          {:ok, two} = BeamBpy.checkout(MyPool, &BeamBpy.call!(&1, :process))
          {BeamBpy.call!(one, :process), two}
        end)

      IO.puts("one=#{one}\ntwo=#{two}")
      BeamBpy.cast(MyPool, :hold_the_gil, [120])
      Process.sleep(500)
      System.stop(0)
      Process.sleep(:infinity)
      """)

    assert status == 0
    os_pids = for name <- ["one", "two"], do: output |> printed(name) |> String.to_integer()
    refute Enum.any?(os_pids, &OsProcess.alive?/1)
    # The end is no failure.
    refute output =~ "[error]"
  end
end
