defmodule BeamBpy.SubscriptionTest do
  use BeamBpy.Case, async: true

  @moduletag :capture_log

  import BeamBpy.Workers

  alias BeamBpy.Worker

  defp publish(node, payload), do: BeamBpy.call!(node, :publish, ["topic", payload])

  defp subscribers(node), do: BeamBpy.call!(node, :subscribers, ["topic"])

  defp assert_event(node, payload),
    do: assert_receive({:beam_bpy_event, ^node, "topic", ^payload}, 30_000)

  test "of a node gets events, and ends with unsubscribe/1" do
    {:ok, node} = Worker.node_of(start_worker())
    {:ok, subscription} = BeamBpy.subscribe(node, "topic")
    assert publish(node, %{value: 1}) == 1
    assert_event(node, %{value: 1})
    assert BeamBpy.call!(node, :publish, ["other", 1]) == 0
    assert BeamBpy.unsubscribe(subscription) == :ok
    assert subscribers(node) == 0
    assert BeamBpy.unsubscribe(subscription) == :ok
    refute Process.alive?(subscription)
  end

  test "ends with its subscriber" do
    {:ok, node} = Worker.node_of(start_worker())
    test = self()

    subscriber =
      spawn(fn ->
        send(test, BeamBpy.subscribe(node, "topic"))
        Process.sleep(:infinity)
      end)

    assert_receive {:ok, subscription}
    assert subscribers(node) == 1
    Process.exit(subscriber, :kill)
    eventually(fn -> subscribers(node) == 0 and not Process.alive?(subscription) end)
  end

  test "of a node, a worker and a pool continues after a restart" do
    worker = start_worker()
    pool = start_pool(min: 2)
    {:ok, node} = Worker.node_of(worker)
    nodes = pool |> wait_until_idle(2) |> Enum.map(& &1.node)

    for target <- [node, worker, pool], do: assert({:ok, _} = BeamBpy.subscribe(target, "topic"))
    # A process subscribes once, however many targets lead to the node.
    for each <- [node | nodes], do: assert(subscribers(each) == 1)

    for os_pid <- [Worker.os_pid(worker) | os_pids(pool)] do
      OsProcess.kill(os_pid)
      assert_ended(os_pid)
    end

    for each <- [node | nodes] do
      eventually(fn -> match?({:ok, 1}, BeamBpy.call(each, :subscribers, ["topic"])) end)
      publish(each, "after")
      assert_event(each, "after")
    end
  end

  test "of a pool includes Blenders that start later, and ends for all of them" do
    pool = start_pool(min: 1, max: 2)
    {:ok, subscription} = BeamBpy.subscribe(pool, "topic")

    BeamBpy.checkout(pool, fn first ->
      BeamBpy.checkout(pool, fn second ->
        for node <- [first, second] do
          eventually(fn -> subscribers(node) == 1 end)
          publish(node, 1)
          assert_event(node, 1)
        end

        BeamBpy.unsubscribe(subscription)
        for node <- [first, second], do: assert(subscribers(node) == 0)
      end)
    end)
  end

  test "continues after the process of a pool has crashed" do
    pool = start_pool(kill_after: 200)
    [%{node: node}] = wait_until_idle(pool)
    {:ok, _subscription} = BeamBpy.subscribe(pool, "topic")
    Process.exit(Process.whereis(pool), :kill)
    eventually(fn -> match?({:ok, 1}, BeamBpy.call(node, :subscribers, ["topic"])) end)
  end

  test "continues after a cut connection" do
    worker = start_worker()
    {:ok, node} = Worker.node_of(worker)
    {:ok, _} = BeamBpy.subscribe(worker, "topic")
    :erlang.disconnect_node(node)
    eventually(fn -> match?({:ok, 1}, BeamBpy.call(node, :subscribers, ["topic"])) end)
  end
end
