for kind <- [:pool, :worker, :node] do
  defmodule Module.concat(BeamBpy.CallTest, Macro.camelize("#{kind}")) do
    use BeamBpy.Case, async: true

    @moduletag :capture_log

    import BeamBpy.Workers

    alias BeamBpy.Error

    setup_all do
      %{target: start_target(unquote(kind))}
    end

    test "has the result of the handler", %{target: target} do
      assert BeamBpy.call(target, :echo, [%{list: [1, 2.5, nil, "text"]}]) ==
               {:ok, %{list: [1, 2.5, nil, "text"]}}

      assert BeamBpy.call!(target, :echo, ["ä"]) == "ä"
      assert BeamBpy.call(target, :whole_name, [], module: Other) == {:ok, "Other.whole_name"}
      assert {:ok, handlers} = BeamBpy.handlers(target)
      assert "echo" in Enum.map(handlers, &to_string(&1.name))
    end

    test "has an error for a Python exception, with its type, message and traceback", %{
      target: target
    } do
      assert {:error, %Error{kind: :python, type: "ValueError", text: "no object"} = error} =
               BeamBpy.call(target, :fail, ["no object"])

      assert error.traceback =~ "raise ValueError"

      assert Exception.message(error) =~
               "Blender.fail/1 on #{error.node} raised ValueError: no object"

      assert_raise Error, ~r/no object/, fn -> BeamBpy.call!(target, :fail, ["no object"]) end
      assert BeamBpy.call(target, :echo, [1]) == {:ok, 1}
    end

    test "has an error for a handler that does not exist", %{target: target} do
      assert {:error, %Error{kind: :undef, function: "Blender.no_such_handler/1"} = error} =
               BeamBpy.call(target, :no_such_handler, [1])

      assert sentence?(error)
    end

    test "has an error for wrong arguments", %{target: target} do
      assert {:error, %Error{} = error} = BeamBpy.call(target, :echo, [1, 2, 3])
      assert sentence?(error)
      assert BeamBpy.call(target, :echo, [1]) == {:ok, 1}
    end

    test "has an error when its time is over", %{target: target} do
      assert {:error, %Error{kind: :timeout} = error} =
               BeamBpy.call(target, :wait, [2], timeout: 300)

      assert sentence?(error)
      assert BeamBpy.call(target, :echo, [1]) == {:ok, 1}
    end

    test "has an error when there is no progress", %{target: target} do
      options = [progress_timeout: 4_000]
      # The call takes longer than the time between two reports may be.
      assert BeamBpy.call(target, :count, [10, 0.5], options) == {:ok, 10}

      assert {:error, %Error{kind: :timeout} = error} = BeamBpy.call(target, :wait, [6], options)

      assert error.text =~ "4000"
      refute_received _any_message
      assert BeamBpy.call(target, :echo, [1]) == {:ok, 1}
    end

    test "has an error when the memory is not enough", %{target: target} do
      assert {:error, %Error{kind: :python, type: "MemoryError"}} =
               BeamBpy.call(target, :eat_memory)

      assert BeamBpy.call(target, :echo, [1]) == {:ok, 1}
    end

    test "leaves no message in the mailbox of its caller, also of one that traps exits", %{
      target: target
    } do
      Process.flag(:trap_exit, true)
      assert BeamBpy.call(target, :count, [3, 0.01], progress_timeout: 10_000) == {:ok, 3}
      assert BeamBpy.call(target, :echo, [1]) == {:ok, 1}
      assert {:error, _} = BeamBpy.call(target, :fail, ["x"])
      assert {:ok, _} = BeamBpy.checkout(target, &BeamBpy.call(&1, :echo, [1]))
      assert [{:progress, 0}] = target |> BeamBpy.stream(:count, [9, 0.05]) |> Enum.take(1)
      assert BeamBpy.call(target, :echo, [1]) == {:ok, 1}
      assert Process.info(self(), :messages) == {:messages, []}
    end

    test "can be a batch", %{target: target} do
      assert {:ok, [{:ok, 1}, {:error, error}, {:error, undef}, {:ok, 2}]} =
               BeamBpy.batch(target, echo: [1], fail: ["x"], no_such_handler: [], echo: [2])

      assert %Error{kind: :python, type: "ValueError", function: "Blender.fail/1"} = error
      assert %Error{kind: :undef} = undef
      assert BeamBpy.batch(target, []) == {:ok, []}

      assert {:ok, [{:ok, "Other.whole_name"}]} =
               BeamBpy.batch(target, [{:whole_name, []}], module: Other)

      assert {:error, %Error{kind: :timeout}} =
               BeamBpy.batch(target, [{:wait, [2]}], timeout: 300)
    end

    test "can be a cast, which outlives its caller", %{target: target, folder: folder} do
      path = Path.join(folder, "notes")

      spawn(fn -> :ok = BeamBpy.cast(target, :wait_and_note, [0.3, path, "done"]) end)
      eventually(fn -> lines(path) == ["done"] end)
      assert BeamBpy.cast(target, :fail, ["x"]) == :ok
      assert BeamBpy.cast(target, :no_such_handler) == :ok
      assert BeamBpy.call(target, :echo, [1]) == {:ok, 1}
    end

    test "can be one of several that have a Blender for themselves", %{target: target} do
      assert {:ok, {same, same}} =
               BeamBpy.checkout(target, fn blender ->
                 assert is_atom(blender)
                 {BeamBpy.call!(blender, :process), BeamBpy.call!(blender, :process)}
               end)

      assert catch_throw(BeamBpy.checkout(target, fn _ -> throw(:thrown) end)) == :thrown
      assert catch_exit(BeamBpy.checkout(target, fn _ -> exit(:left) end)) == :left
      assert_raise Error, fn -> BeamBpy.checkout(target, &BeamBpy.call!(&1, :fail, ["x"])) end
      assert BeamBpy.call(target, :echo, [1]) == {:ok, 1}
    end

    if kind != :node do
      test "continues after os.abort(), an exit, and a kill", %{target: target} do
        for {function, args, reason} <- [
              {:abort, [], 134},
              {:end, [3], 3},
              {:end, [0], 0},
              {:end_by_signal, [9], 137},
              {:end_by_signal, [11], 139}
            ] do
          assert {:error, %Error{kind: :crashed, reason: ^reason} = error} =
                   BeamBpy.call(target, function, args)

          assert sentence?(error)
          assert error.function =~ "Blender.#{function}"
          eventually(fn -> BeamBpy.call(target, :echo, [1]) == {:ok, 1} end)
        end
      end

      test "continues after a cut connection", %{target: target} do
        {:ok, node} = BeamBpy.checkout(target, & &1)

        for disconnect <- [&:erlang.disconnect_node/1, &Node.disconnect/1] do
          call = Task.async(fn -> BeamBpy.call(target, :wait, [3]) end)
          eventually(fn -> running?(node) end)
          disconnect.(node)

          assert {:error, %Error{kind: kind} = error} = Task.await(call)
          assert kind in [:not_connected, :crashed]
          assert sentence?(error)
          eventually(fn -> BeamBpy.call(target, :echo, [1]) == {:ok, 1} end)
        end
      end

      test "repeats a call after a crash with `retries:`", %{target: target, folder: folder} do
        flag = Path.join(folder, "flag")

        # Crashes at the first call only.
        for number <- 1..2 do
          assert {:ok, _os_pid} =
                   BeamBpy.call(target, :crash_once, ["#{flag}#{number}"], retries: 1)
        end

        assert {:error, %Error{kind: :crashed}} = BeamBpy.call(target, :abort, [], retries: 1)
        eventually(fn -> BeamBpy.call(target, :echo, [1]) == {:ok, 1} end)

        # A Python exception is no crash.
        path = Path.join(folder, "notes")
        assert {:error, _error} = BeamBpy.call(target, :note_and_fail, [path], retries: 3)
        assert length(lines(path)) == 1
      end

      defp running?(node),
        do: match?({:ok, %{running: %{}}}, BeamBpy.call(node, :health, [], module: :beam_bpy))
    end

    defp sentence?(error), do: Exception.message(error) =~ ~r/\w+ \w+ \w+/
  end
end

defmodule BeamBpy.CallTest do
  use BeamBpy.Case, async: true

  @moduletag :capture_log

  import BeamBpy.Workers

  alias BeamBpy.{Error, Pool, Worker}

  doctest BeamBpy.Error

  describe "a call to what is not there:" do
    test "a pool, a worker, a process that has ended" do
      {:ok, ended} = Agent.start(fn -> nil end)
      Agent.stop(ended)

      for target <- [unique_name(), ended] do
        assert_not_connected(target)
      end
    end

    test "a node that does not run, and one on a host that does not exist" do
      for target <- [unique_node(), :"blender@host.invalid", :blender@localhost] do
        assert_not_connected(target)
      end
    end

    defp assert_not_connected(target) do
      for result <- [
            BeamBpy.call(target, :echo, [1]),
            BeamBpy.batch(target, echo: [1]),
            BeamBpy.handlers(target),
            BeamBpy.subscribe(target, "topic"),
            target |> BeamBpy.stream(:echo, [1]) |> Enum.at(0)
          ] do
        assert {:error, %Error{kind: :not_connected} = error} = result
        assert sentence?(error)
      end

      assert BeamBpy.cast(target, :echo, [1]) == :ok
    end
  end

  describe "an invalid option of a call" do
    test "is named" do
      target = unique_node()

      for {key, value} <- [
            timeout: -1,
            timeout: "1",
            timeout: 1.5,
            timeout: 5_000_000_000,
            progress_timeout: :never,
            retries: -1,
            retries: :infinity,
            module: "Blender",
            tiemout: 5
          ],
          call <- [
            &BeamBpy.call(target, :echo, [1], &1),
            &BeamBpy.call!(target, :echo, [1], &1),
            &BeamBpy.cast(target, :echo, [1], &1),
            &BeamBpy.batch(target, [echo: [1]], &1),
            &BeamBpy.stream(target, :echo, [1], &1),
            &BeamBpy.checkout(target, fn _ -> 1 end, &1)
          ] do
        error = assert_raise ArgumentError, fn -> call.([{key, value}]) end
        assert error.message =~ to_string(key)
      end

      assert_raise ArgumentError, ~r/retries/, fn ->
        BeamBpy.stream(target, :echo, [1], retries: 1)
      end
    end
  end

  describe "a checkout" do
    test "gives the Blender back when its process is killed inside" do
      pool = start_pool()

      {pid, monitor} =
        spawn_monitor(fn -> BeamBpy.checkout(pool, fn _ -> Process.sleep(:infinity) end) end)

      eventually(fn -> slots(pool, :busy) != [] end)
      Process.exit(pid, :kill)
      assert_receive {:DOWN, ^monitor, _, _, :killed}
      assert BeamBpy.call(pool, :echo, [1]) == {:ok, 1}
    end

    test "waits no longer than its time" do
      pool = start_pool()

      BeamBpy.checkout(pool, fn _ ->
        assert {:error, %Error{kind: :timeout} = error} =
                 BeamBpy.checkout(pool, & &1, timeout: 50)

        assert sentence?(error)
      end)
    end

    test "inside a checkout has a second Blender" do
      pool = start_pool(max: 2)

      assert {:ok, {:ok, {first, second}}} =
               BeamBpy.checkout(pool, fn first ->
                 BeamBpy.checkout(pool, fn second -> {first, second} end)
               end)

      assert first != second
    end

    test "whose Blender has crashed leaves a pool that continues" do
      pool = start_pool()

      assert {:ok, {:error, %Error{}}} = BeamBpy.checkout(pool, &BeamBpy.call(&1, :abort))
      assert BeamBpy.call(pool, :echo, [1]) == {:ok, 1}
    end

    test "that leaves a call running has its Blender replaced", %{folder: folder} do
      pool = start_pool(cancel_timeout: 200)
      {:ok, os_pid} = BeamBpy.call(pool, :process)

      BeamBpy.checkout(pool, fn blender ->
        BeamBpy.cast(blender, :wait_and_note, [60, Path.join(folder, "notes"), "x"])
        eventually(fn -> running?(blender) end)
      end)

      {:ok, other} = BeamBpy.call(pool, :process)
      assert other != os_pid
      refute OsProcess.alive?(os_pid)
    end
  end

  defp running?(node),
    do: match?({:ok, %{running: %{}}}, BeamBpy.call(node, :health, [], module: :beam_bpy))

  defp sentence?(error), do: Exception.message(error) =~ ~r/\w+ \w+ \w+/

  test "the state of a pool is shown by info/1" do
    pool = start_pool(max: 2)
    [%{number: 1, state: :idle, node: node, pid: pid}] = wait_until_idle(pool)
    assert Worker.node_of(pid) == {:ok, node}

    assert %{waiting: 0, workers: [%{number: 1, calls: 0}, %{number: 2, state: :off, pid: nil}]} =
             Pool.info(pool)
  end
end
