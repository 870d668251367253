defmodule BeamBpy.KillTest do
  # `kill -9` of the BEAM, of the program that starts its ports, and of Blender, during a render of a minute.
  #
  # BEAM_BPY_KILLS is the number of kills of each, default 2.
  use BeamBpy.Case

  @moduletag :capture_log
  @moduletag :acceptance
  @moduletag timeout: :infinity

  import BeamBpy.Workers

  alias BeamBpy.{Pool, Worker}

  @kills String.to_integer(System.get_env("BEAM_BPY_KILLS", "2"))
  @render 60

  # Milliseconds: the longest time until no Blender is left, and that of a start beyond its usual time.
  @end_time 5_000
  @more_than_usual 5_000

  @handlers Path.expand("../support/render.py", __DIR__)

  # Blender renders in one slot, and holds the GIL in the other one.
  defp options(name) do
    [
      name: name,
      command: {:python, python()},
      handlers: [@handlers],
      min: 2,
      boot_timeout: 60_000
    ]
  end

  for {victim, kind} <- [
        beam: "the BEAM",
        starter: "the program that starts the ports of the BEAM"
      ] do
    @tag :bpy
    test "kill -9 of #{kind}" do
      node = unique_node("killed")
      name = unique_name("pool")
      usual = time(fn -> start_beam(node, name) end)

      results =
        for number <- 1..@kills do
          os_pids = start_long_calls(node, name)
          victim = if unquote(victim) == :beam, do: os_pid(node), else: starter(node)
          Process.sleep(:rand.uniform(500))
          OsProcess.kill(victim)
          end_time = time(fn -> assert_ended(os_pids, @end_time) end)
          eventually(fn -> node not in Node.list(:connected) end)
          start_time = time(fn -> start_beam(node, name) end)
          report(unquote(victim), number, end_time, start_time - usual)
          {end_time, start_time - usual}
        end

      os_pid = os_pid(node)
      os_pids = long_pids(node, name)
      OsProcess.kill(os_pid, "TERM")
      assert_ended([os_pid | os_pids], 20_000)
      check(results)
    end
  end

  @tag :bpy
  test "kill -9 of Blender" do
    pool = start_pool(options(unique_name("pool")))
    usual = time(fn -> wait_until_idle(pool, 2) end)
    nodes = names(pool)

    results =
      for number <- 1..@kills do
        os_pids = start_long_calls(node(), pool)
        Process.sleep(:rand.uniform(500))
        for os_pid <- os_pids, do: OsProcess.kill(os_pid)
        end_time = time(fn -> assert_ended(os_pids, @end_time) end)
        start_time = time(fn -> wait_until_idle(pool, 2) end)
        assert names(pool) == nodes
        report(:blender, number, end_time, start_time - usual)
        {end_time, start_time - usual}
      end

    check(results)
  end

  defp check(results) do
    {end_times, delays} = Enum.unzip(results)
    assert Enum.max(end_times) <= @end_time
    assert Enum.max(delays) <= @more_than_usual
  end

  defp report(victim, number, end_time, delay) do
    if System.get_env("BEAM_BPY_KILLS"),
      do:
        IO.puts(
          "#{victim} #{number}: ended after #{end_time} ms, start #{delay} ms beyond the usual time"
        )
  end

  defp names(pool), do: for(%{node: node} <- Pool.info(pool).workers, do: node)

  # A BEAM as a system service starts it again: with the same name, and the pool under the supervisor of an application.
  defp start_beam(node, name) do
    [short, host] = node |> to_string() |> String.split("@")

    {:ok, _pid, ^node} =
      :peer.start(%{
        name: to_charlist(short),
        host: to_charlist(host),
        longnames: true,
        wait_boot: 60_000,
        env: [{~c"ERL_CRASH_DUMP_SECONDS", ~c"0"}],
        args:
          [
            ~c"-hidden",
            ~c"-setcookie",
            to_charlist(Node.get_cookie()),
            ~c"-kernel",
            ~c"inet_dist_use_interface",
            ~c"{127,0,0,1}",
            ~c"-pa"
          ] ++
            (:code.get_path() -- [:code.lib_dir() ++ ~c"/kernel/ebin", ~c"."])
      })

    os_pid = os_pid(node)
    on_exit(fn -> OsProcess.kill(os_pid) end)
    {:ok, _started} = :erpc.call(node, Application, :ensure_all_started, [:beam_bpy])
    :ok = :erpc.call(node, Logger, :configure, [[level: :error]])

    {:ok, _pid} =
      :erpc.call(node, Supervisor, :start_child, [BeamBpy.Supervisor, {Pool, options(name)}])

    eventually(fn -> length(idle(node, name)) == 2 end, 60_000)
  end

  defp idle(node, name),
    do: for(%{state: :idle} = slot <- :erpc.call(node, Pool, :info, [name]).workers, do: slot)

  defp long_pids(node, name) do
    for %{pid: pid} <- :erpc.call(node, Pool, :info, [name]).workers, do: Worker.os_pid(pid)
  end

  # Returns the processes of both Blenders as soon as they are busy.
  defp start_long_calls(node, name) do
    os_pids = long_pids(node, name)
    nodes = for slot <- idle(node, name), do: slot.node

    for function <- [:render, :hold_the_gil] do
      :ok = :erpc.call(node, BeamBpy, :cast, [name, function, [@render], [timeout: :infinity]])
    end

    eventually(fn -> idle(node, name) == [] end)
    eventually(fn -> Enum.any?(nodes, &renders?(node, &1)) end)
    os_pids
  end

  defp renders?(node, blender) do
    options = [module: :beam_bpy, timeout: 200]

    case :erpc.call(node, BeamBpy, :call, [blender, :health, [], options]) do
      {:ok, %{running: %{handler: name}}} -> to_string(name) =~ "render"
      _other -> false
    end
  end

  defp starter(node) do
    [starter] =
      for child <- OsProcess.children(os_pid(node)),
          File.read!("/proc/#{child}/comm") =~ "erl_child_setup",
          do: child

    starter
  end

  defp time(function) do
    started = System.monotonic_time(:millisecond)
    function.()
    System.monotonic_time(:millisecond) - started
  end
end
