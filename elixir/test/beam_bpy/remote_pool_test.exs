defmodule BeamBpy.RemotePoolTest do
  use BeamBpy.Case, async: true

  import BeamBpy.Machines

  alias BeamBpy.{Error, TestRun}

  @moduletag capture_log: true

  # One pool of another node for all tests.
  setup_all do
    folder = Path.join(System.tmp_dir!(), "beam-bpy-#{TestRun.unique()}")
    File.mkdir_p!(folder)
    on_exit(fn -> File.rm_rf!(folder) end)
    context = new_group(folder)
    peer = start_peer()
    Map.merge(context, %{peer: peer, pool: start_there(context, peer)})
  end

  setup %{pool: pool, peer: peer} do
    idle(pool, peer)
    :ok
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

    assert [{:error, %Error{kind: :python}}] = Enum.to_list(BeamBpy.stream(target, :fail, ["no"]))

    leaves_nothing(peer)
  end

  test "closes a stream that ends early", context do
    path = Path.join(context.folder, "log")
    [pid] = pids(context.pool, context.peer)

    assert [_one, _two] = context.target |> BeamBpy.stream(:until_closed, [path]) |> Enum.take(2)

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

  test "runs the casts to a worker, and those inside a checkout, in order and before a call",
       context do
    [worker] = pids(context.pool, context.peer)
    assert_ordered(worker, Path.join(context.folder, "worker"))
    path = Path.join(context.folder, "checkout")
    assert {:ok, :ok} = BeamBpy.checkout(context.target, &assert_ordered(&1, path))
    idle(context.pool, context.peer)
    assert pids(context.pool, context.peer) == [worker]
    leaves_nothing(context.peer)
  end

  defp assert_ordered(target, path) do
    numbers = for number <- 1..100, do: "#{number}"
    for text <- numbers, do: :ok = BeamBpy.cast(target, :write, [path, text])
    assert BeamBpy.call(target, :machine) == {:ok, "there"}
    assert path |> File.read!() |> String.split() == numbers
    :ok
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
        event?("there")
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
