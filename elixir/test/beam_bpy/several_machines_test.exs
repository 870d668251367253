defmodule BeamBpy.SeveralMachinesTest do
  use BeamBpy.Case, async: true
  @moduletag capture_log: true

  alias BeamBpy.{Error, Pool}

  @handlers """
  import os
  import time


  def register(server):
      for function in (machine, nap, echo, count, until_closed, fail, end_program, write):
          server.expose(function)
      server.expose(lambda topic: server.publish(topic, os.environ["MACHINE"]), name="publish")


  def machine():
      return os.environ["MACHINE"]


  def nap(seconds):
      time.sleep(seconds)
      return os.environ["MACHINE"]


  def echo(value):
      return value


  def count(number):
      for value in range(number):
          yield value
      return os.environ["MACHINE"]


  def until_closed(path):
      write(path, "started")
      try:
          while True:
              yield None
              time.sleep(0.02)
      finally:
          write(path, "closed")


  def fail(text):
      raise ValueError(text)


  def end_program():
      os._exit(7)


  def write(path, text):
      with open(path, "a") as file:
          file.write(text + " ")
  """

  setup %{folder: folder} do
    %{group: unique_name("group"), handlers: handlers_file(folder, @handlers)}
  end

  # The options of a pool, which can be sent to any node.
  defp options(context, machine, options) do
    Keyword.merge(
      [
        name: unique_name("pool"),
        group: context.group,
        command: {:python, python()},
        handlers: [context.handlers],
        env: %{"MACHINE" => machine},
        min: 1,
        timeout: 60_000
      ],
      options
    )
  end

  defp start_here(context, options \\ []) do
    options = options(context, "here", options)
    start_supervised!({Pool, options})
    ready(node(), options)
  end

  defp start_there(context, peer, options \\ []) do
    options = options(context, "there", options)
    spec = Supervisor.child_spec({Pool, options}, [])
    {:ok, _pid} = :erpc.call(peer, Supervisor, :start_child, [BeamBpy.Supervisor, spec])
    ready(peer, options)
  end

  # Waits until its Blenders are ready, and until this node knows it.
  defp ready(node, options) do
    eventually(fn ->
      Enum.any?(
        known(options[:group]),
        &(&1.node == node and &1.load.name == options[:name] and &1.load.idle >= options[:min])
      )
    end)

    options[:name]
  end

  defp known(group), do: BeamBpy.Group.Members.pools(group)

  defp info(pool, node), do: :erpc.call(node, Pool, :info, [pool])
  defp states(pool, node), do: for(worker <- info(pool, node).workers, do: worker.state)
  defp pids(pool, node), do: for(worker <- info(pool, node).workers, do: worker.pid)

  defp idle(pool, node),
    do: eventually(fn -> Enum.all?(states(pool, node), &(&1 == :idle)) end)

  # The runners of this application on a node.
  defp runners(node) do
    for pid <- :erpc.call(node, Process, :list, []),
        {:current_function, {BeamBpy.Runner, _name, _arity}} <-
          [:erpc.call(node, Process, :info, [pid, :current_function])],
        do: pid
  end

  defp leaves_nothing(node) do
    eventually(fn -> runners(node) == [] and runners(node()) == [] end)
    assert Process.info(self(), :messages) == {:messages, []}
    assert Process.info(self(), :monitors) == {:monitors, []}
  end

  defp written(path, text),
    do: eventually(fn -> File.exists?(path) and File.read!(path) =~ text end)

  defp occupy(target) do
    test = self()

    task =
      Task.async(fn ->
        BeamBpy.checkout(target, fn blender ->
          send(test, :occupied)
          assert_receive :release, 60_000
          BeamBpy.call!(blender, :machine)
        end)
      end)

    assert_receive :occupied, 30_000
    task
  end

  defp release(task) do
    send(task.pid, :release)
    Task.await(task, 30_000)
  end

  describe "a pool of another node" do
    setup context do
      peer = start_peer()
      %{peer: peer, pool: start_there(context, peer), target: {:group, context.group}}
    end

    test "answers calls", %{target: target, peer: peer} do
      assert BeamBpy.call(target, :machine) == {:ok, "there"}
      assert BeamBpy.call!(target, :echo, [[1, %{"a" => "b"}]]) == [1, %{"a" => "b"}]

      assert {:error, %Error{kind: :python, type: "ValueError", text: "no"}} =
               BeamBpy.call(target, :fail, ["no"])

      assert {:error, %Error{kind: :undef}} = BeamBpy.call(target, :nothing)
      assert {:error, %Error{kind: :crashed, reason: 7}} = BeamBpy.call(target, :end_program)
      assert BeamBpy.call(target, :machine) == {:ok, "there"}

      assert {:ok, [{:ok, 1}, {:error, %Error{kind: :python}}]} =
               BeamBpy.batch(target, [{:echo, [1]}, {:fail, ["no"]}])

      assert {:ok, handlers} = BeamBpy.handlers(target)
      assert "until_closed" in for(handler <- handlers, do: to_string(handler.name))
      leaves_nothing(peer)
    end

    test "gets and sends large values", %{target: target} do
      value = :binary.copy("0123456789abcdef", 500_000)
      {:ok, result} = BeamBpy.call(target, :echo, [value])
      assert result == value
    end

    test "is a target by its name and node, and by its pid", %{pool: pool, peer: peer} do
      assert BeamBpy.call({pool, peer}, :machine) == {:ok, "there"}
      pid = :erpc.call(peer, Process, :whereis, [pool])
      assert BeamBpy.call(pid, :machine) == {:ok, "there"}
      assert [{:progress, 0}, {:ok, "there"}] = Enum.to_list(BeamBpy.stream(pid, :count, [1]))

      [worker] = pids(pool, peer)
      assert BeamBpy.call(worker, :machine) == {:ok, "there"}

      assert {:error, %Error{kind: :not_connected}} = BeamBpy.call({:nobody, peer}, :machine)
      leaves_nothing(peer)
    end

    test "streams progress", %{target: target, peer: peer} do
      assert Enum.to_list(BeamBpy.stream(target, :count, [3])) ==
               [{:progress, 0}, {:progress, 1}, {:progress, 2}, {:ok, "there"}]

      assert [{:error, %Error{kind: :python}}] =
               Enum.to_list(BeamBpy.stream(target, :fail, ["no"]))

      leaves_nothing(peer)
    end

    test "closes a stream that ends early", context do
      path = Path.join(context.folder, "log")
      [pid] = pids(context.pool, context.peer)

      assert [_one, _two] =
               context.target |> BeamBpy.stream(:until_closed, [path]) |> Enum.take(2)

      written(path, "closed")
      idle(context.pool, context.peer)
      assert pids(context.pool, context.peer) == [pid]
      leaves_nothing(context.peer)
    end

    test "closes the handler of a caller that is killed", context do
      path = Path.join(context.folder, "log")
      [pid] = pids(context.pool, context.peer)

      caller =
        spawn(fn -> BeamBpy.call(context.target, :until_closed, [path], timeout: :infinity) end)

      written(path, "started")
      Process.exit(caller, :kill)
      written(path, "closed")
      idle(context.pool, context.peer)
      assert pids(context.pool, context.peer) == [pid]
      leaves_nothing(context.peer)
    end

    test "never runs a waiting call whose caller is killed", context do
      path = Path.join(context.folder, "log")
      task = occupy(context.target)
      caller = spawn(fn -> BeamBpy.call(context.target, :write, [path, "ran"]) end)
      eventually(fn -> info(context.pool, context.peer).waiting == 1 end)
      Process.exit(caller, :kill)
      eventually(fn -> info(context.pool, context.peer).waiting == 0 end)
      assert release(task) == {:ok, "there"}
      assert BeamBpy.call(context.target, :machine) == {:ok, "there"}
      refute File.exists?(path)
      leaves_nothing(context.peer)
    end

    test "has its Blender killed if a call takes too long", context do
      [pid] = pids(context.pool, context.peer)

      assert {:error, %Error{kind: :timeout}} =
               BeamBpy.call(context.target, :nap, [60], timeout: 500)

      assert {:error, %Error{kind: :timeout}} =
               BeamBpy.call(context.target, :nap, [60], progress_timeout: 300)

      assert BeamBpy.call(context.target, :machine) == {:ok, "there"}
      assert pids(context.pool, context.peer) != [pid]
      leaves_nothing(context.peer)
    end

    test "has a queue with deadlines", context do
      task = occupy(context.target)

      assert {:error, %Error{kind: :timeout}} =
               BeamBpy.call(context.target, :machine, [], timeout: 400)

      eventually(fn -> info(context.pool, context.peer).waiting == 0 end)
      release(task)
      leaves_nothing(context.peer)
    end

    test "lends a Blender for several calls", context do
      assert {:ok, {"there", {:ok, "there"}}} =
               BeamBpy.checkout(context.target, fn blender ->
                 assert states(context.pool, context.peer) == [:busy]

                 assert [{:progress, 0}, {:ok, "there"}] =
                          Enum.to_list(BeamBpy.stream(blender, :count, [1]))

                 {BeamBpy.call!(blender, :machine), BeamBpy.call(blender, :machine)}
               end)

      assert_raise RuntimeError, fn ->
        BeamBpy.checkout(context.target, fn _blender -> raise "no" end)
      end

      idle(context.pool, context.peer)
      leaves_nothing(context.peer)
    end

    test "runs a cast", context do
      path = Path.join(context.folder, "log")
      assert BeamBpy.cast(context.target, :write, [path, "cast"]) == :ok
      written(path, "cast")
      leaves_nothing(context.peer)
    end

    test "sends events of topics", context do
      for target <- [context.target, {context.pool, context.peer}] do
        {:ok, subscription} = BeamBpy.subscribe(target, "topic")
        BeamBpy.call!(context.target, :publish, ["topic"])
        assert_receive {:beam_bpy_event, _node, "topic", "there"}, 10_000

        # A new Blender is subscribed, too.
        assert {:error, %Error{kind: :crashed}} = BeamBpy.call(context.target, :end_program)

        eventually(fn ->
          BeamBpy.call!(context.target, :publish, ["topic"])
          assert_received_event("there")
        end)

        assert BeamBpy.unsubscribe(subscription) == :ok
        flush()
        BeamBpy.call!(context.target, :publish, ["topic"])
        refute_receive {:beam_bpy_event, _node, "topic", _payload}, 200
      end
    end

    test "is called by an event of this node", context do
      test = self()
      handler = fn _event, _times, metadata, _config -> send(test, {:stopped, metadata}) end
      :telemetry.attach(context.group, [:beam_bpy, :call, :stop], handler, nil)
      on_exit(fn -> :telemetry.detach(context.group) end)
      target = context.target
      BeamBpy.call!(target, :machine)
      assert_receive {:stopped, %{target: ^target, function: :machine, result: :ok}}
    end
  end

  defp assert_received_event(machine) do
    receive do
      {:beam_bpy_event, _node, "topic", ^machine} -> true
    after
      100 -> false
    end
  end

  defp flush do
    receive do
      {:beam_bpy_event, _node, _topic, _payload} -> flush()
    after
      0 -> :ok
    end
  end

  describe "two pools" do
    setup context do
      peer = start_peer()
      %{peer: peer, target: {:group, context.group}}
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
        |> Enum.map(fn _n -> Task.async(fn -> BeamBpy.call!(context.target, :nap, [0.05]) end) end)
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
        assert_received_event("there")
      end)
    end
  end

  describe "a node that is lost" do
    setup context do
      peer = start_peer()
      %{peer: peer, os_pid: os_pid(peer), target: {:group, context.group}}
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
      leaves_nothing(node())
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

    test "loses a call that runs there while it hangs", context do
      here = start_here(context)
      start_there(context, context.peer)
      task = occupy(here)
      path = Path.join(context.folder, "log")
      arguments = [path]
      call = Task.async(fn -> BeamBpy.call(context.target, :until_closed, arguments) end)

      moved =
        Task.async(fn ->
          eventually(fn -> File.exists?(path) end)
          BeamBpy.call(context.target, :machine, [], retries: 2)
        end)

      written(path, "started")
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
      %{os_pid: os_pid(peer), target: {:group, context.group}}
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
