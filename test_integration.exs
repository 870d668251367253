# Integration: every way in which Elixir calls another node, against a running server.
#
#     uv run python examples/basic_server.py    in one terminal
#     elixir test_integration.exs               in another

Code.require_file("tests/elixir/support.exs", __DIR__)
Support.start_tests()

defmodule IntegrationTest do
  use ExUnit.Case, async: false

  @moduletag timeout: 30_000

  setup_all do
    node = Support.start("test_integration")
    {:ok, node: node, server: {Support.registered_name(), node}}
  end

  describe "rpc" do
    test "call_handler and handle_rpc name the handler in their first argument", %{node: node} do
      assert :rpc.call(node, MyModule, :call_handler, ["ping", []]) == "pong"
      assert :rpc.call(node, BeamServer, :handle_rpc, ["echo", ["arg1", "arg2"]]) == ["arg1", "arg2"]
      assert :rpc.call(node, MyModule, :call_handler, [:add, [1, 2]]) == 3
      assert :rpc.call(node, MyModule, :call_handler, [~c"add", [1, 2]]) == 3
    end

    test "call, async_call, multicall and cast", %{node: node} do
      assert :rpc.call(node, Basic, :add, [1, 2], 5_000) == 3
      key = :rpc.async_call(node, Basic, :add, [3, 4])
      assert :rpc.yield(key) == 7
      assert :rpc.multicall([node, node], Basic, :ping, []) == {["pong", "pong"], []}
      assert :rpc.cast(node, Basic, :ping, []) == true
    end
  end

  describe "erpc" do
    test "call, cast, multicall and requests", %{node: node} do
      assert :erpc.call(node, Basic, :add, [1, 2], 5_000) == 3
      assert :erpc.cast(node, Basic, :ping, []) == :ok
      assert :erpc.multicall([node], Basic, :ping, []) == [ok: "pong"]
      request = :erpc.send_request(node, Basic, :add, [5, 6])
      assert :erpc.receive_response(request, 5_000) == 11
    end

    test "from many tasks at once, each gets its own answer", %{node: node} do
      sums =
        1..64
        |> Enum.map(fn n -> Task.async(fn -> :erpc.call(node, Basic, :add, [n, n]) end) end)
        |> Task.await_many(20_000)

      assert sums == Enum.map(1..64, &(&1 * 2))
    end

    test "an argument and an answer of 16 MB", %{node: node} do
      big = :binary.copy("0123456789abcdef", 1024 * 1024)
      assert [^big] = :erpc.call(node, Basic, :echo, [big])
    end
  end

  describe "GenServer" do
    test "call takes a name with arguments, or a name alone", %{server: server} do
      assert GenServer.call(server, {"ping", []}) == "pong"
      assert GenServer.call(server, {:add, [1, 2]}) == 3
      assert GenServer.call(server, "ping") == "pong"
      assert GenServer.call(server, {"echo", ["a", %{b: 1}]}, 5_000) == ["a", %{b: 1}]
    end

    test "cast is ok, and so is a multi_call", %{node: node, server: {name, _} = server} do
      assert GenServer.cast(server, {"ping", []}) == :ok
      assert GenServer.abcast([node], name, {"ping", []}) == :abcast
      assert GenServer.multi_call([node], name, {"ping", []}) == {[{node, "pong"}], []}
    end

    test "a call of an unknown handler exits with undef, and the next one is answered", %{server: server} do
      assert {{:undef, [{_, :nothing, [1], []}]}, {GenServer, :call, _}} =
               catch_exit(GenServer.call(server, {:nothing, [1]}))

      assert {{{:python_error, %{type: "TypeError"}}, _}, {GenServer, :call, _}} =
               catch_exit(GenServer.call(server, {:add, ["text", 1]}))

      assert GenServer.call(server, {"ping", []}) == "pong"
    end

    test "a server on another node that is not there exits with noproc", %{node: node} do
      assert {:noproc, _} = catch_exit(GenServer.call({:nobody_here, node}, :hello))
    end
  end

  describe "processes" do
    test "Node.spawn gives a pid on the server's node", %{node: node} do
      pid = Node.spawn(node, Basic, :ping, [])
      assert node(pid) == node
    end

    test "Node.spawn_monitor reports the end", %{node: node} do
      {pid, ref} = Node.spawn_monitor(node, Basic, :ping, [])
      assert_receive {:DOWN, ^ref, :process, ^pid, :normal}, 5_000

      {pid, ref} = Node.spawn_monitor(node, Basic, :add, ["text", 1])
      assert_receive {:DOWN, ^ref, :process, ^pid, {{:python_error, %{type: "TypeError"}}, _stack}}, 5_000
    end

    test "Node.spawn_link gives the end to a process that traps exits", %{node: node} do
      Process.flag(:trap_exit, true)
      pid = Node.spawn_link(node, Basic, :ping, [])
      assert_receive {:EXIT, ^pid, :normal}, 5_000
      pid = Node.spawn_link(node, Basic, :nothing, [])
      assert_receive {:EXIT, ^pid, {:undef, [{Basic, :nothing, [], []}]}}, 5_000
    end

    test "Process.monitor of the registered name and of one that does not exist", %{node: node, server: server} do
      ref = Process.monitor(server)
      assert GenServer.call(server, {"ping", []}) == "pong"
      assert Process.demonitor(ref, [:flush, :info])

      ref = Process.monitor({:nobody_here, node})
      assert_receive {:DOWN, ^ref, :process, {:nobody_here, ^node}, :noproc}, 5_000
    end

    test "an alias gets an answer", %{server: server} do
      reply_to = :erlang.alias([:reply])
      send(server, {:"$gen_call", {self(), [:alias | reply_to]}, {"ping", []}})
      assert_receive {[:alias | ^reply_to], "pong"}, 5_000
    end
  end

  test "a stream of tasks", %{node: node} do
    answers = Task.async_stream(1..50, &:erpc.call(node, Basic, :add, [&1, 1]), max_concurrency: 8)
    assert Enum.to_list(answers) == Enum.map(1..50, &{:ok, &1 + 1})
  end
end
