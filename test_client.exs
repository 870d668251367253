# Connectivity: connecting, seeing the server come and go, disconnecting and coming back.
#
#     uv run python examples/basic_server.py    in one terminal
#     elixir test_client.exs                    in another

Code.require_file("tests/elixir/support.exs", __DIR__)
Support.start_tests()

defmodule ClientTest do
  use ExUnit.Case, async: false

  @moduletag timeout: 20_000

  setup do
    {:ok, node: Support.start("test_client")}
  end

  defp disconnect(node) do
    Node.monitor(node, true)
    assert Node.disconnect(node)
    assert_receive {:nodedown, ^node}, 5_000
  end

  test "the server answers a ping", %{node: node} do
    assert Node.ping(node) == :pong
  end

  test "connecting is true, and the server is a hidden node", %{node: node} do
    assert Node.connect(node) == true
    assert node in Node.list(:hidden)
    refute node in Node.list()
    assert node in Node.list(:connected)
  end

  test "epmd knows the server", %{node: node} do
    [name, _host] = node |> Atom.to_string() |> String.split("@")
    {:ok, names} = :net_adm.names(~c"127.0.0.1")
    assert {_name, port} = List.keyfind(names, to_charlist(name), 0)
    assert port in 1..65_535
  end

  test "after a disconnection the next call connects again", %{node: node} do
    disconnect(node)
    refute node in Node.list(:hidden)
    assert :erpc.call(node, Basic, :ping, []) == "pong"
    assert node in Node.list(:hidden)
  end

  test "many disconnections in a row", %{node: node} do
    for _ <- 1..10 do
      disconnect(node)
      assert Node.ping(node) == :pong
    end
  end

  test "Node.monitor and :net_kernel.monitor_nodes tell of the server", %{node: node} do
    :ok = :net_kernel.monitor_nodes(true, %{node_type: :hidden})
    disconnect(node)
    assert_receive {:nodedown, ^node, _}, 5_000
    assert Node.ping(node) == :pong
    assert_receive {:nodeup, ^node, _}, 5_000
    :net_kernel.monitor_nodes(false, %{node_type: :hidden})
  end

  test "a monitor of the server's process ends with the connection", %{node: node} do
    server = {Support.registered_name(), node}
    ref = Process.monitor(server)
    disconnect(node)
    assert_receive {:DOWN, ^ref, :process, ^server, :noconnection}, 5_000
  end

  test "a node that does not exist does not answer, and the server still does", %{node: node} do
    assert Node.ping(:"nobody_at_all@127.0.0.1") == :pang
    assert Node.ping(node) == :pong
  end

  test "a wrong cookie is refused, and the right one let in again", %{node: node} do
    right = Node.get_cookie()
    disconnect(node)
    Node.set_cookie(node, :surely_not_this_one)
    assert Node.ping(node) == :pang
    Node.set_cookie(node, right)
    assert Node.ping(node) == :pong
  end
end
