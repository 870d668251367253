defmodule BeamBpy.PoolTest do
  use BeamBpy.Case, async: true

  @moduletag :capture_log

  import BeamBpy.Workers

  alias BeamBpy.{Error, Pool, Worker}

  doctest BeamBpy.Pool.Queue

  # Tests that need Blender for a while for themselves: a process has it until the test sends :give_back.
  defp occupy(pool) do
    test = self()

    pid =
      spawn_link(fn ->
        {:ok, :given_back} =
          BeamBpy.checkout(pool, fn node ->
            send(test, {:occupied, node})
            receive do: (:give_back -> :given_back)
          end)
      end)

    assert_receive {:occupied, node}, 30_000
    {pid, node}
  end

  defp give_back({pid, _node}), do: send(pid, :give_back)

  defp wait_until_waiting(pool, count), do: eventually(fn -> Pool.info(pool).waiting == count end)

  defp running?(node),
    do: match?({:ok, %{running: %{}}}, BeamBpy.call(node, :health, [], module: :beam_bpy))

  defp sentence?(error), do: Exception.message(error) =~ ~r/\w+ \w+ \w+/

  describe "callers that wait" do
    test "get Blenders in the order of their arrival", %{folder: folder} do
      pool = start_pool()
      path = Path.join(folder, "notes")
      blender = occupy(pool)

      calls =
        for number <- 1..30 do
          call = Task.async(fn -> BeamBpy.call(pool, :note, [path, "#{number}"]) end)
          wait_until_waiting(pool, number)
          call
        end

      give_back(blender)
      assert Enum.all?(Task.await_many(calls, 30_000), &(&1 == {:ok, nil}))
      assert lines(path) == Enum.map(1..30, &to_string/1)
    end

    test "that die never run", %{folder: folder} do
      pool = start_pool()
      path = Path.join(folder, "notes")
      blender = occupy(pool)

      pids =
        for number <- 1..20 do
          pid = spawn(fn -> BeamBpy.call(pool, :note, [path, "#{number}"]) end)
          wait_until_waiting(pool, number)
          pid
        end

      for {pid, index} <- Enum.with_index(pids), rem(index, 2) == 0, do: Process.exit(pid, :kill)
      wait_until_waiting(pool, 10)
      give_back(blender)
      eventually(fn -> length(lines(path)) == 10 end)
      assert BeamBpy.call(pool, :note, [path, "last"]) == {:ok, nil}
      assert lines(path) == Enum.map(2..20//2, &to_string/1) ++ ["last"]
    end

    test "have each a time of their own", %{folder: folder} do
      pool = start_pool(timeout: 200)
      wait_until_idle(pool)
      path = Path.join(folder, "notes")
      blender = occupy(pool)

      calls =
        for timeout <- [:default, 100, 300, 60_000, :infinity] do
          options = if timeout == :default, do: [], else: [timeout: timeout]
          Task.async(fn -> BeamBpy.call(pool, :note, [path, "#{timeout}"], options) end)
        end

      late = for call <- Enum.take(calls, 3), do: Task.await(call)

      for result <- late do
        assert {:error, %Error{kind: :timeout, function: "Blender.note/2"} = error} = result
        assert sentence?(error)
      end

      give_back(blender)
      assert Task.await_many(Enum.drop(calls, 3)) == [{:ok, nil}, {:ok, nil}]
      assert Enum.sort(lines(path)) == ["60000", "infinity"]
    end

    test "are at most `:max_waiting`" do
      pool = start_pool(max_waiting: 2)
      wait_until_idle(pool)
      blender = occupy(pool)

      calls =
        for number <- 1..2 do
          call = Task.async(fn -> BeamBpy.call(pool, :echo, [number]) end)
          wait_until_waiting(pool, number)
          call
        end

      for target <- [pool, Process.whereis(pool)] do
        assert {:error, %Error{kind: :full, function: "Blender.echo/1"} = error} =
                 BeamBpy.call(target, :echo, [1])

        assert sentence?(error)
      end

      give_back(blender)
      assert Task.await_many(calls) == [{:ok, 1}, {:ok, 2}]
      assert BeamBpy.call(pool, :echo, [3]) == {:ok, 3}
    end

    test "get an error when the pool ends" do
      name = start_pool(kill_after: 200)
      occupy(name)
      call = Task.async(fn -> BeamBpy.call(name, :echo, [1]) end)
      wait_until_waiting(name, 1)
      os_pids = os_pids(name)
      stop_supervised!({Pool, name})
      assert {:error, %Error{kind: :not_connected} = error} = Task.await(call)
      assert sentence?(error)
      refute Enum.any?(os_pids, &OsProcess.alive?/1)
      assert {:error, %Error{kind: :not_connected}} = BeamBpy.call(name, :echo, [1])
    end
  end

  describe "a caller that dies while its call runs" do
    test "closes a long handler, whose Blender continues", %{folder: folder} do
      pool = start_pool()
      path = Path.join(folder, "notes")
      {:ok, os_pid} = BeamBpy.call(pool, :process)
      [%{node: node}] = slots(pool, :idle)
      pid = spawn(fn -> BeamBpy.call(pool, :steps, [path, 0.05]) end)
      eventually(fn -> running?(node) end)
      Process.exit(pid, :kill)
      eventually(fn -> lines(path) == ["closed"] end)
      assert BeamBpy.call(pool, :process) == {:ok, os_pid}
    end

    test "lets a short handler end, whose Blender continues", %{folder: folder} do
      pool = start_pool()
      path = Path.join(folder, "notes")
      {:ok, os_pid} = BeamBpy.call(pool, :process)
      [%{node: node}] = slots(pool, :idle)
      pid = spawn(fn -> BeamBpy.call(pool, :wait_and_note, [0.5, path, "done"]) end)
      eventually(fn -> running?(node) end)
      Process.exit(pid, :kill)
      assert BeamBpy.call(pool, :process) == {:ok, os_pid}
      assert lines(path) == ["done"]
    end

    test "has its Blender replaced after `:cancel_timeout`, also if no thread of Python runs" do
      pool = start_pool(cancel_timeout: 300)

      for function <- [:wait, :hold_the_gil] do
        {:ok, os_pid} = BeamBpy.call(pool, :process)
        [%{node: node}] = slots(pool, :idle)
        pid = spawn(fn -> BeamBpy.call(pool, function, [120]) end)
        eventually(fn -> slots(pool, :busy) != [] end)

        if function == :wait,
          do: eventually(fn -> running?(node) end),
          else: Process.sleep(200)

        Process.exit(pid, :kill)
        assert {:ok, other} = BeamBpy.call(pool, :process)
        assert other != os_pid
        refute OsProcess.alive?(os_pid)
        assert [%{node: ^node}] = wait_until_idle(pool)
      end
    end
  end

  describe "a call that takes too long" do
    test "has its Blender replaced by one with the same name" do
      pool = start_pool(timeout: 300)
      [%{node: node, pid: pid}] = wait_until_idle(pool)
      os_pid = Worker.os_pid(pid)

      for function <- [:wait, :hold_the_gil] do
        assert {:error, %Error{kind: :timeout}} = BeamBpy.call(pool, function, [120])
      end

      assert_ended(os_pid)
      assert {:ok, _} = BeamBpy.call(pool, :process, [], timeout: 30_000)
      assert [%{node: ^node}] = wait_until_idle(pool)
    end

    test "without progress has its Blender replaced" do
      pool = start_pool(progress_timeout: 500)
      {:ok, os_pid} = BeamBpy.call(pool, :process)
      assert {:error, %Error{kind: :timeout}} = BeamBpy.call(pool, :wait, [120])
      # The option of a call comes before that of its pool.
      assert BeamBpy.call(pool, :wait, [1], progress_timeout: 20_000) == {:ok, "waited"}
      assert_ended(os_pid)
    end
  end

  describe "the number of Blenders" do
    test "grows with the callers from `:min` to `:max`, and falls after `:idle_shutdown_after`" do
      pool = start_pool(min: 1, max: 3, idle_shutdown_after: 300)
      wait_until_idle(pool, 1)
      blenders = for _ <- 1..3, do: occupy(pool)
      assert blenders |> Enum.map(&elem(&1, 1)) |> Enum.uniq() |> length() == 3
      call = Task.async(fn -> BeamBpy.call(pool, :echo, [1]) end)
      wait_until_waiting(pool, 1)
      assert length(os_pids(pool)) == 3
      Enum.each(blenders, &give_back/1)
      assert Task.await(call) == {:ok, 1}
      eventually(fn -> length(slots(pool, :off)) == 2 end)
      assert [_one] = wait_until_idle(pool, 1)
    end

    test "can fall to none" do
      pool = start_pool(min: 0, idle_shutdown_after: 0)
      assert os_pids(pool) == []
      assert {:ok, os_pid} = BeamBpy.call(pool, :process)
      assert_ended(os_pid)
      assert {:ok, _os_pid} = BeamBpy.call(pool, :process)
    end

    test "stays at `:min` without work for the pool" do
      pool = start_pool(min: 1, idle_shutdown_after: 0)
      [%{pid: pid}] = wait_until_idle(pool)
      {:reductions, before} = Process.info(Process.whereis(pool), :reductions)
      Process.sleep(500)
      {:reductions, later} = Process.info(Process.whereis(pool), :reductions)
      assert later - before < 20_000
      assert [%{pid: ^pid}] = wait_until_idle(pool)
    end

    test "is that of `:min` from the start, and `:max` follows it" do
      pool = start_pool(min: 2)
      assert [%{number: 1}, %{number: 2}] = wait_until_idle(pool, 2)
      assert length(Pool.info(pool).workers) == 2
    end
  end

  describe "a Blender is replaced" do
    test "after each call with `:single_use`" do
      pool = start_pool(single_use: true)
      {:ok, first} = BeamBpy.call(pool, :process)
      {:error, _} = BeamBpy.call(pool, :fail, ["x"])
      {:ok, second} = BeamBpy.call(pool, :process)
      {:ok, third} = BeamBpy.checkout(pool, &BeamBpy.call!(&1, :process))
      {:ok, fourth} = BeamBpy.call(pool, :process)
      assert [first, second, third, fourth] |> Enum.uniq() |> length() == 4
      assert_ended([first, second, third])
    end

    test "after a number of calls" do
      pool = start_pool(recycle: [calls: 3])
      os_pids = for _ <- 1..6, do: BeamBpy.call!(pool, :process)
      assert [a, a, a, b, b, b] = os_pids
      assert a != b
    end

    test "when it uses too much memory" do
      pool = start_pool(recycle: [memory: 250_000_000])
      {:ok, first} = BeamBpy.call(pool, :process)
      assert {:ok, ^first} = BeamBpy.call(pool, :process)
      assert {:ok, nil} = BeamBpy.call(pool, :keep_memory, [300_000_000])
      assert {:ok, second} = BeamBpy.call(pool, :process)
      assert second != first
    end
  end

  test "a call with an affinity gets the Blender that had it last" do
    pool = start_pool(min: 3)
    wait_until_idle(pool, 3)
    call = fn affinity -> BeamBpy.call!(pool, :process, [], affinity: affinity) end
    a = call.("a.blend")
    b = call.("b.blend")
    c = call.("c.blend")
    assert [a, b, c] |> Enum.uniq() |> length() == 3
    for _ <- 1..3, do: assert([call.("c.blend"), call.("a.blend"), call.("b.blend")] == [c, a, b])
    # A new affinity takes the Blender that nobody has used for the longest time.
    assert call.("d.blend") == c
    assert {:ok, ^a} = BeamBpy.checkout(pool, &BeamBpy.call!(&1, :process), affinity: "a.blend")
  end

  describe "the process of a pool that crashes" do
    test "starts again with new Blenders of the same names, and no old one is left" do
      pool = start_pool(min: 2, kill_after: 300)
      nodes = pool |> wait_until_idle(2) |> Enum.map(& &1.node)

      for way <- [:kill, :crash] do
        pid = Process.whereis(pool)
        os_pids = os_pids(pool)
        occupied = spawn(fn -> BeamBpy.checkout(pool, fn _ -> Process.sleep(:infinity) end) end)
        eventually(fn -> slots(pool, :busy) != [] end)

        if way == :kill,
          do: Process.exit(pid, :kill),
          else: catch_exit(GenServer.call(pool, :no_such_message))

        eventually(fn -> Process.whereis(pool) not in [nil, pid] end)
        assert_ended(os_pids)
        assert pool |> wait_until_idle(2) |> Enum.map(& &1.node) == nodes
        Process.exit(occupied, :kill)
      end
    end

    test "does so if the supervisor of its Blenders is killed" do
      pool = start_pool(kill_after: 300)
      wait_until_idle(pool)
      os_pids = os_pids(pool)
      pid = Process.whereis(pool)
      Process.exit(Process.whereis(Module.concat(pool, Workers)), :kill)
      assert_ended(os_pids)
      eventually(fn -> Process.whereis(pool) not in [nil, pid] end)
      eventually(fn -> BeamBpy.call(pool, :echo, [1]) == {:ok, 1} end)
    end
  end

  test "a worker that is killed is replaced by one with the same name" do
    pool = start_pool(kill_after: 60_000)
    [%{pid: pid, node: node}] = wait_until_idle(pool)
    os_pid = Worker.os_pid(pid)
    Process.exit(pid, :kill)
    assert_ended(os_pid)
    eventually(fn -> match?([%{pid: other}] when other != pid, slots(pool, :idle)) end)
    assert [%{node: ^node}] = wait_until_idle(pool)
  end

  test "a pool ends while its Blenders are busy, and leaves none" do
    pool = start_pool(min: 3, kill_after: 500)
    wait_until_idle(pool, 3)
    os_pids = os_pids(pool)

    for function <- [:wait, :hold_the_gil, :echo], do: BeamBpy.cast(pool, function, [120])
    eventually(fn -> length(slots(pool, :busy)) == 2 end)
    stop_supervised!({Pool, pool})
    refute Enum.any?(os_pids, &OsProcess.alive?/1)
  end

  test "a lease that is returned twice changes nothing" do
    pool = start_pool()
    {:ok, lease} = BeamBpy.Lease.checkout(pool, [])
    for _ <- 1..3, do: BeamBpy.Lease.checkin(lease, :ok)
    assert [%{calls: 1}] = wait_until_idle(pool)
    {:ok, other} = BeamBpy.Lease.checkout(pool, [])
    BeamBpy.Lease.checkin(lease, {:kill, "an old lease"})
    assert [%{pid: pid}] = slots(pool, :busy)
    assert pid == other.worker
    BeamBpy.Lease.checkin(other, :ok)
  end

  test "a Blender that ends in any state of its slot is replaced" do
    pool = start_pool(cancel_timeout: 60_000, recycle: [memory: 1_000_000_000_000])

    # :starting
    [%{pid: pid}] = slots(pool, :starting)
    OsProcess.kill(Worker.os_pid(pid))
    [%{pid: pid}] = wait_until_idle(pool)

    # :idle
    OsProcess.kill(Worker.os_pid(pid))
    eventually(fn -> match?([%{pid: other}] when other != pid, slots(pool, :idle)) end)

    # :checking
    caller = spawn(fn -> BeamBpy.call(pool, :wait, [120], timeout: :infinity) end)
    [%{node: node, pid: pid}] = eventually(fn -> (slots = slots(pool, :busy)) != [] && slots end)
    eventually(fn -> running?(node) end)
    Process.exit(caller, :kill)
    eventually(fn -> slots(pool, :checking) != [] end)
    OsProcess.kill(Worker.os_pid(pid))
    assert BeamBpy.call(pool, :echo, [1]) == {:ok, 1}

    # :ending
    [%{pid: pid}] = wait_until_idle(pool)
    BeamBpy.cast(pool, :hold_the_gil, [120])
    eventually(fn -> slots(pool, :busy) != [] end)
    Worker.stop(pid)
    OsProcess.kill(Worker.os_pid(pid))

    # The signal ends the handler's sleep, so the pool can give the Blender to this call before it ends.
    assert BeamBpy.call(pool, :echo, [1], retries: 1) == {:ok, 1}
  end

  test "callers that are killed at any moment leave the pool as it was" do
    pool = start_pool(min: 2, cancel_timeout: 5_000)
    wait_until_idle(pool, 2)
    nodes = pool |> wait_until_idle(2) |> Enum.map(& &1.node)

    for _ <- 1..300 do
      pid = spawn(fn -> BeamBpy.call(pool, :echo, [1]) end)
      for _ <- 1..:rand.uniform(3_000), do: :ok
      if :rand.uniform(2) == 1, do: Process.sleep(:rand.uniform(3) - 1)
      Process.exit(pid, :kill)
    end

    assert pool |> wait_until_idle(2) |> Enum.map(& &1.node) == nodes
    assert %{waiting: 0} = Pool.info(pool)
    assert BeamBpy.call(pool, :echo, [1]) == {:ok, 1}
    state = :sys.get_state(pool)
    assert {state.leases, BeamBpy.Pool.Queue.size(state.queue)} == {%{}, 0}
  end

  describe "an invalid option" do
    test "is named" do
      for {key, value} <- [
            name: nil,
            name: "text",
            min: -1,
            min: :one,
            min: nil,
            max: 0,
            max: 1.5,
            max_waiting: -1,
            max_waiting: :infinity,
            timeout: -1,
            timeout: "1",
            timeout: nil,
            timeout: 5_000_000_000,
            progress_timeout: 1.5,
            cancel_timeout: :infinity,
            idle_shutdown_after: -1,
            single_use: 1,
            single_use: nil,
            recycle: [other: 1],
            recycle: [calls: 0],
            recycle: :often,
            group: "text",
            node_name: "name",
            owner: self(),
            unknown: 1
          ] do
        options = Keyword.merge([name: unique_name()], [{key, value}])
        error = assert_raise ArgumentError, fn -> Pool.start_link(options) end
        assert error.message =~ inspect(key)
      end

      error = assert_raise ArgumentError, fn -> Pool.start_link(name: :x, min: 3, max: 2) end
      assert error.message =~ ":max"
      assert_raise ArgumentError, ~r/:name/, fn -> Pool.start_link(command: :python) end
    end
  end

  test "two pools with names of their own are children of one supervisor" do
    children = for _ <- 1..2, do: {Pool, [name: unique_name(), min: 0] ++ defaults()}

    pid =
      start_supervised!(%{
        id: :both,
        start: {Supervisor, :start_link, [children, [strategy: :one_for_one]]}
      })

    assert %{active: 2} = Supervisor.count_children(pid)
  end
end
