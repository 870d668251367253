defmodule BeamBpy.SeveralMachinesTest do
  use BeamBpy.Case, async: true

  import BeamBpy.Machines

  alias BeamBpy.{Error, Pool}

  @moduletag capture_log: true

  setup %{folder: folder} do
    new_group(folder)
  end

  describe "two pools" do
    setup do
      %{peer: start_peer()}
    end

    test "share the calls", context do
      start_here(context, min: 2)
      start_there(context, context.peer, min: 2)

      machines =
        1..4
        |> Enum.map(fn _n -> Task.async(fn -> BeamBpy.call!(context.target, :nap, [3]) end) end)
        |> Task.await_many(30_000)

      assert Enum.sort(machines) == ["here", "here", "there", "there"]
      leaves_nothing(context.peer)
    end

    test "share the calls of many callers", context do
      start_here(context, min: 2)
      start_there(context, context.peer, min: 2)

      machines =
        1..100
        |> Enum.map(fn _n ->
          Task.async(fn -> BeamBpy.call!(context.target, :nap, [0.05]) end)
        end)
        |> Task.await_many(60_000)

      assert %{"here" => here, "there" => there} = Enum.frequencies(machines)
      assert here >= 20 and there >= 20
      leaves_nothing(context.peer)
    end

    test "a call that waits goes to the pool that is free first", context do
      here = start_here(context)
      there = start_there(context, context.peer)
      tasks = %{node() => occupy(here), context.peer => occupy({there, context.peer})}
      pools = %{node() => here, context.peer => there}
      eventually(fn -> Enum.all?(known(context.group), &(&1.load.idle == 0)) end)
      call = Task.async(fn -> BeamBpy.call(context.target, :machine) end)

      {waits_at, _pool} =
        eventually(fn ->
          Enum.find(pools, fn {node, pool} -> info(pool, node).waiting == 1 end)
        end)

      [other] = Map.keys(pools) -- [waits_at]
      release(tasks[other])
      assert Task.await(call, 30_000) == {:ok, if(other == node(), do: "here", else: "there")}
      eventually(fn -> info(pools[waits_at], waits_at).waiting == 0 end)
      release(tasks[waits_at])
      leaves_nothing(context.peer)
    end

    test "are full only if both are full", context do
      here = start_here(context, max_waiting: 0)
      there = start_there(context, context.peer, max_waiting: 0)
      first = occupy(here)
      assert BeamBpy.call(context.target, :machine) == {:ok, "there"}
      second = occupy({there, context.peer})
      assert {:error, %Error{kind: :full}} = BeamBpy.call(context.target, :machine)
      release(first)
      idle(here, node())
      assert BeamBpy.call(context.target, :machine) == {:ok, "here"}
      release(second)
      leaves_nothing(context.peer)
    end

    test "refuse those of many callers for whom there is no place", context do
      start_here(context, max_waiting: 5)
      start_there(context, context.peer, max_waiting: 5)

      results =
        1..2000
        |> Enum.map(fn _n -> Task.async(fn -> BeamBpy.call(context.target, :nap, [1]) end) end)
        |> Task.await_many(60_000)

      {served, refused} = Enum.split_with(results, &match?({:ok, _machine}, &1))
      assert length(served) >= 12
      assert Enum.all?(refused, &match?({:error, %Error{kind: :full}}, &1))
      leaves_nothing(context.peer)
    end

    test "a pool whose Blenders cannot start gets no calls, if another one can", context do
      options = options(context, "there", command: ["beam-bpy-is-not-here"])
      spec = Supervisor.child_spec({Pool, options}, [])
      {:ok, _pid} = :erpc.call(context.peer, Supervisor, :start_child, [BeamBpy.Supervisor, spec])
      eventually(fn -> known(context.group) != [] end)

      assert {:error, %Error{kind: :not_connected} = error} =
               BeamBpy.call(context.target, :machine)

      assert Exception.message(error) =~ "beam-bpy-is-not-here"

      start_here(context)

      for task <-
            for(_n <- 1..5, do: Task.async(fn -> BeamBpy.call(context.target, :machine) end)) do
        assert Task.await(task, 30_000) == {:ok, "here"}
      end
    end

    test "start one Blender for one call", context do
      here = start_here(context, min: 0, max: 2)
      there = start_there(context, context.peer, min: 0, max: 2)
      BeamBpy.call!(context.target, :nap, [1])
      states = states(here, node()) ++ states(there, context.peer)
      assert Enum.sort(states) -- [:busy, :idle] == [:off, :off, :off]
    end

    test "a new pool gets the calls that wait, and its events", context do
      start_here(context)
      {:ok, _subscription} = BeamBpy.subscribe(context.target, "topic")
      task = occupy(context.target)
      call = Task.async(fn -> BeamBpy.call(context.target, :machine) end)
      there = start_there(context, context.peer)
      assert Task.await(call, 30_000) == {:ok, "there"}
      release(task)

      eventually(fn ->
        BeamBpy.call!({there, context.peer}, :publish, ["topic"])
        event?("there")
      end)
    end
  end

  describe "a node that is lost" do
    setup do
      peer = start_peer()
      %{peer: peer, os_pid: os_pid(peer)}
    end

    test "gives an error to calls that ran there, and others wait elsewhere", context do
      here = start_here(context)
      there = start_there(context, context.peer)
      task = occupy(here)
      path = Path.join(context.folder, "log")
      running = Task.async(fn -> BeamBpy.call(context.target, :until_closed, [path]) end)
      written(path, "started")
      eventually(fn -> Enum.all?(known(context.group), &(&1.load.idle == 0)) end)
      waiting = for _n <- 1..6, do: Task.async(fn -> BeamBpy.call(context.target, :machine) end)

      eventually(fn ->
        info(here, node()).waiting > 0 and info(there, context.peer).waiting > 0
      end)

      OsProcess.kill(context.os_pid)
      assert {:error, %Error{kind: :not_connected} = error} = Task.await(running, 30_000)
      assert error.node == context.peer
      assert Exception.message(error) =~ to_string(context.peer)
      release(task)
      assert Enum.uniq(Task.await_many(waiting, 30_000)) == [{:ok, "here"}]
      leaves_nothing(context.peer)
    end

    test "has its calls moved, if they allow it", context do
      here = start_here(context)
      start_there(context, context.peer)
      task = occupy(here)
      call = Task.async(fn -> BeamBpy.call(context.target, :nap, [1], retries: 1) end)
      eventually(fn -> Enum.all?(known(context.group), &(&1.load.idle == 0)) end)
      OsProcess.kill(context.os_pid)
      release(task)
      assert Task.await(call, 30_000) == {:ok, "here"}
    end

    test "has its calls cancelled on other nodes", context do
      here = start_here(context)
      [pid] = pids(here, node())
      path = Path.join(context.folder, "log")
      arguments = [context.target, :until_closed, [path], [timeout: :infinity]]
      eventually(fn -> :erpc.call(context.peer, BeamBpy.Group, :pools, [context.group]) != [] end)
      :ok = :erpc.cast(context.peer, BeamBpy, :call, arguments)
      written(path, "started")
      OsProcess.kill(context.os_pid)
      written(path, "closed")
      idle(here, node())
      assert pids(here, node()) == [pid]
    end

    test "gets no calls while it hangs, and again when it continues", context do
      here = start_here(context)
      there = start_there(context, context.peer)
      OsProcess.kill(context.os_pid, "STOP")

      # Its load is the lowest, but it does not answer.
      task = occupy(here)
      calls = for _n <- 1..5, do: Task.async(fn -> BeamBpy.call(context.target, :machine) end)

      eventually(
        fn -> Enum.all?(known(context.group), &(&1.node == node() or &1.silent?)) end,
        3_000
      )

      assert context.peer in Node.list()
      release(task)
      assert Enum.uniq(Task.await_many(calls, 30_000)) == [{:ok, "here"}]

      OsProcess.kill(context.os_pid, "CONT")
      eventually(fn -> not Enum.any?(known(context.group), & &1.silent?) end)
      task = occupy(here)
      assert BeamBpy.call(context.target, :machine) == {:ok, "there"}
      release(task)
      idle(there, context.peer)
      leaves_nothing(context.peer)
    end

    test "keeps no caller longer than its time while it hangs", context do
      start_there(context, context.peer)
      OsProcess.kill(context.os_pid, "STOP")
      # More than the buffers of the connection.
      value = :binary.copy("0", 20_000_000)
      options = [timeout: 1_500]

      calls =
        for _n <- 1..4,
            do: Task.async(fn -> BeamBpy.call(context.target, :echo, [value], options) end)

      for result <- Task.await_many(calls, 15_000),
          do: assert({:error, %Error{kind: :timeout}} = result)

      OsProcess.kill(context.os_pid, "CONT")
      eventually(fn -> BeamBpy.call(context.target, :machine) == {:ok, "there"} end)
      leaves_nothing(context.peer)
    end

    test "loses the calls that run there while it hangs", context do
      here = start_here(context)
      start_there(context, context.peer, min: 2)
      task = occupy(here)
      path = Path.join(context.folder, "log")
      call = Task.async(fn -> BeamBpy.call(context.target, :until_closed, [path]) end)
      moved = Task.async(fn -> BeamBpy.call(context.target, :nap, [2], retries: 1) end)
      written(path, "started")
      eventually(fn -> Enum.all?(known(context.group), &(&1.load.idle == 0)) end)
      OsProcess.kill(context.os_pid, "STOP")
      release(task)
      assert {:error, %Error{kind: :not_connected, node: node}} = Task.await(call, 30_000)
      assert node == context.peer
      assert Task.await(moved, 30_000) == {:ok, "here"}
      OsProcess.kill(context.os_pid, "CONT")
      # Its caller has given up, so the handler is closed.
      written(path, "closed")
      leaves_nothing(context.peer)
    end
  end

  describe "1000 calls while a node is killed" do
    setup context do
      peer = start_peer()
      start_here(context, min: 2)
      start_there(context, peer, min: 2)
      %{os_pid: os_pid(peer)}
    end

    # The longest time of a caller includes the time that a busy machine needs to run it.
    defp thousand_calls(context, options) do
      test = self()

      tasks =
        for _n <- 1..1000 do
          Task.async(fn ->
            started = System.monotonic_time(:millisecond)
            result = BeamBpy.call(context.target, :nap, [0.01], [timeout: 60_000] ++ options)
            send(test, :done)
            {result, System.monotonic_time(:millisecond) - started}
          end)
        end

      for _n <- 1..500, do: assert_receive(:done, 60_000)
      OsProcess.kill(context.os_pid)
      {results, times} = tasks |> Task.await_many(120_000) |> Enum.unzip()
      assert Enum.max(times) <= 61_000
      results
    end

    test "gives 1000 results with retries", context do
      results = thousand_calls(context, retries: 2)
      assert length(results) == 1000
      assert Enum.all?(results, &match?({:ok, machine} when machine in ["here", "there"], &1))
    end

    test "gives an error for each call that was lost, without retries", context do
      {done, lost} =
        context |> thousand_calls([]) |> Enum.split_with(&match?({:ok, _machine}, &1))

      assert length(done) + length(lost) == 1000
      assert length(lost) <= 2

      for {:error, error} <- lost do
        assert error.kind in [:not_connected, :crashed]
        assert Exception.message(error) =~ to_string(error.node)
      end
    end
  end

  test "nodes can have short names", context do
    [here, there] = for name <- ["here", "there"], do: start_with_short_name(name)
    options = options(context, "there", [])

    {:ok, _pid} =
      :peer.call(there, Supervisor, :start_child, [BeamBpy.Supervisor, {Pool, options}])

    true = :peer.call(here, Node, :connect, [:peer.call(there, Kernel, :node, [])])

    eventually(fn ->
      :peer.call(here, BeamBpy, :call, [context.target, :machine]) == {:ok, "there"}
    end)
  end

  # The node of the tests has a long name, so it is not connected to this one.
  defp start_with_short_name(name) do
    options = %{
      name: to_charlist(unique_name(name)),
      host: ~c"localhost",
      longnames: false,
      connection: :standard_io,
      args: ~w(-setcookie cookie -pa)c ++ :code.get_path()
    }

    spec = %{id: name, start: {:peer, :start_link, [options]}, restart: :temporary}
    peer = start_supervised!(spec)
    {:ok, _started} = :peer.call(peer, Application, :ensure_all_started, [:beam_bpy])
    peer
  end

  test "without a pool, an error says so", context do
    assert {:error, %Error{kind: :not_connected} = error} =
             BeamBpy.call({:group, context.group}, :machine)

    assert Exception.message(error) =~ inspect(context.group)

    assert {:error, %Error{kind: :not_connected}} =
             BeamBpy.subscribe({:group, context.group}, "topic")

    assert [{:error, %Error{}}] = Enum.to_list(BeamBpy.stream({:group, context.group}, :machine))
    assert {:error, %Error{}} = BeamBpy.checkout({:group, context.group}, & &1)
  end
end
