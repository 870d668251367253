# A cluster: three Python nodes, of which one is killed and started again.
#
# tests/interop/test_beam_cluster.py starts the nodes, names them in BPY_BEAM_CLUSTER, and does what this script prints:
# "please kill NODE" (with SIGKILL) and "please start NODE".

Code.require_file("support.exs", __DIR__)
Support.start_tests(seed: 0)

defmodule ClusterTest do
  use ExUnit.Case, async: false

  require Logger

  @moduletag timeout: 60_000

  setup_all do
    nodes = "BPY_BEAM_CLUSTER" |> System.fetch_env!() |> String.split() |> Enum.map(&String.to_atom/1)
    Support.start("test_cluster")
    for node <- nodes, do: true = Node.connect(node)
    {:ok, nodes: nodes, victim: List.last(nodes), name: Support.registered_name()}
  end

  # On a line of its own: ExUnit prints its dots without an end of line.
  defp please(what, node), do: IO.puts("\nplease #{what} #{node}")

  defp until(condition) do
    unless condition.() do
      Process.sleep(50)
      until(condition)
    end
  end

  defp registered_name(node), do: node |> Atom.to_string() |> String.split("@") |> hd() |> String.to_atom()

  test "all three are connected, and hidden", %{nodes: nodes} do
    assert length(nodes) == 3
    assert Enum.sort(Node.list(:hidden)) == Enum.sort(nodes)
    assert Node.list() == []
    for node <- nodes, do: assert(Node.ping(node) == :pong)
  end

  test ":erpc.multicall and :rpc.multicall ask all three", %{nodes: nodes} do
    assert :erpc.multicall(nodes, Basic, :add, [1, 2]) == [ok: 3, ok: 3, ok: 3]
    assert :rpc.multicall(nodes, Basic, :ping, [], 5_000) == {["pong", "pong", "pong"], []}
    assert :erpc.multicast(nodes, Basic, :ping, []) == :ok
    answers = :erpc.multicall(nodes ++ [:"nobody@127.0.0.1"], Basic, :ping, [])
    assert answers == [ok: "pong", ok: "pong", ok: "pong", error: {:erpc, :noconnection}]
  end

  test "a request collection gathers the answers of all three", %{nodes: nodes} do
    requests = Enum.map(nodes, &{&1, :erpc.send_request(&1, Basic, :echo, [Atom.to_string(&1)])})
    for {node, request} <- requests, do: assert(:erpc.receive_response(request) == [Atom.to_string(node)])
  end

  test "GenServer.multi_call and abcast reach a name that all three have", %{nodes: nodes} do
    # The name of the process is the node's own first part, so each is asked by its own.
    for node <- nodes do
      name = registered_name(node)
      assert GenServer.multi_call([node], name, {:add, [1, 2]}) == {[{node, 3}], []}
      assert GenServer.abcast([node], name, {"ping", []}) == :abcast
    end

    assert {answers, []} = GenServer.multi_call(nodes, :rex, {:call, Basic, :ping, [], Process.group_leader()})
    assert Enum.sort(answers) == nodes |> Enum.map(&{&1, "pong"}) |> Enum.sort()

    name = registered_name(hd(nodes))
    assert {[{_, "pong"}], without} = GenServer.multi_call(nodes, name, {"ping", []})
    assert Enum.sort(without) == nodes |> tl() |> Enum.sort()
  end

  test "Task.Supervisor spreads work over all three", %{nodes: nodes} do
    {:ok, supervisor} = Task.Supervisor.start_link()
    work = nodes |> Stream.cycle() |> Enum.take(300) |> Enum.with_index()

    answers =
      Task.Supervisor.async_stream(
        supervisor,
        work,
        fn {node, number} -> :erpc.call(node, Basic, :add, [number, 1]) end,
        max_concurrency: 24
      )

    assert Enum.to_list(answers) == for({_node, number} <- work, do: {:ok, number + 1})

    Logger.configure(level: :none)
    failing = Task.Supervisor.async_nolink(supervisor, fn -> :erpc.call(hd(nodes), Basic, :add, ["a", 1]) end)
    assert {{:exception, {:python_error, %{type: "TypeError"}}, _}, _} = failed(failing)
  end

  defp failed(task) do
    {:exit, {reason, stack}} = Task.yield(task, 10_000)

    case reason do
      %ErlangError{original: original} -> {original, stack}
      original -> {original, stack}
    end
  end

  test "a node that is killed is seen by all that watch it, and its calls fail", %{nodes: nodes, victim: victim} do
    Process.flag(:trap_exit, true)
    :ok = :net_kernel.monitor_nodes(true, %{node_type: :all})
    Node.monitor(victim, true)
    name = {registered_name(victim), victim}
    ref = Process.monitor(name)
    waiting = Task.async(fn -> catch_error(:erpc.call(victim, Basic, :wait, [60])) end)
    server = Task.async(fn -> catch_exit(GenServer.call(name, {:wait, [60]}, :infinity)) end)
    pid = Node.spawn_link(victim, Basic, :wait, [60])
    pid_ref = Process.monitor(pid)
    assert Node.ping(victim) == :pong

    please("kill", victim)

    assert_receive {:DOWN, ^ref, :process, ^name, :noconnection}, 20_000
    assert_receive {:DOWN, ^pid_ref, :process, ^pid, :noconnection}, 5_000
    assert_receive {:EXIT, ^pid, :noconnection}, 5_000
    assert_receive {:nodedown, ^victim}, 5_000
    assert_receive {:nodedown, ^victim, %{node_type: :hidden}}, 5_000
    assert Task.await(waiting) == {:erpc, :noconnection}
    assert {{:nodedown, ^victim}, _} = Task.await(server)
    assert Enum.sort(Node.list(:hidden)) == nodes |> List.delete(victim) |> Enum.sort()
    assert {["pong", "pong"], [^victim]} = :rpc.multicall(nodes, Basic, :ping, [], 5_000)
    assert [ok: "pong", ok: "pong", error: {:erpc, :noconnection}] = :erpc.multicall(nodes, Basic, :ping, [])
  end

  test "it comes back as another incarnation", %{nodes: nodes, victim: victim} do
    :ok = :net_kernel.monitor_nodes(true, %{node_type: :all})
    please("start", victim)
    until(fn -> Node.connect(victim) end)
    assert_receive {:nodeup, ^victim, %{node_type: :hidden}}, 5_000
    assert :erpc.multicall(nodes, Basic, :ping, []) == [ok: "pong", ok: "pong", ok: "pong"]
    ref = Process.monitor({registered_name(victim), victim})
    assert GenServer.call({registered_name(victim), victim}, {"ping", []}) == "pong"
    assert Process.demonitor(ref, [:flush, :info])
  end

  test "a pid of the earlier incarnation is dead, and one of the present one is not", %{victim: victim} do
    old = Node.spawn(victim, Basic, :wait, [60])
    assert node(old) == victim
    please("kill", victim)
    Node.monitor(victim, true)
    assert_receive {:nodedown, ^victim}, 20_000
    please("start", victim)
    until(fn -> Node.connect(victim) end)
    ref = Process.monitor(old)
    assert_receive {:DOWN, ^ref, :process, ^old, reason}, 5_000
    assert reason in [:noproc, :noconnection]
    send(old, :hello)
    Process.exit(old, :kill)
    assert :erpc.call(victim, Basic, :ping, []) == "pong"
  end
end
