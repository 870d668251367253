# Handler validation: what the handlers of examples/basic_server.py are given and what they answer.
#
#     uv run python examples/basic_server.py    in one terminal
#     elixir test_simple.exs                    in another

Code.require_file("tests/elixir/support.exs", __DIR__)
Support.start_tests()

defmodule SimpleTest do
  use ExUnit.Case, async: false

  @moduletag timeout: 20_000

  defmodule Point do
    defstruct [:x, :y, label: "origin"]
  end

  setup_all do
    {:ok, node: Support.start("test_simple")}
  end

  defp echo(node, term) do
    [back] = :erpc.call(node, Basic, :echo, [term])
    back
  end

  test "ping answers pong", %{node: node} do
    assert :erpc.call(node, Basic, :ping, []) == "pong"
  end

  test "add adds integers of any size and floats", %{node: node} do
    assert :erpc.call(node, Basic, :add, [1, 2]) === 3
    assert :erpc.call(node, Basic, :add, [1, 2.5]) === 3.5
    assert :erpc.call(node, Basic, :add, [Integer.pow(2, 200), -1]) === Integer.pow(2, 200) - 1
    assert :erpc.call(node, Basic, :add, ["a", "b"]) === "ab"
  end

  test "info is a map with binaries as keys", %{node: node} do
    assert %{"python" => version, "system" => system} = :erpc.call(node, Basic, :info, [])
    assert version =~ ~r/^3\.\d+/
    assert is_binary(system)
  end

  test "echo returns the list of its arguments", %{node: node} do
    assert :erpc.call(node, Basic, :echo, []) === []
    assert :erpc.call(node, Basic, :echo, [1, :two, "three"]) === [1, :two, "three"]
  end

  test "Elixir's values come back as they were", %{node: node} do
    for term <- [
          nil,
          true,
          false,
          :atom,
          Enum,
          :"with space",
          :"ünïcode",
          "héllo 中 😀",
          "",
          <<255, 0, 1>>,
          <<5::3>>,
          ~c"charlist",
          ~c"λ",
          [],
          [1, 2, 3],
          [name: "Cube", size: 2.0],
          {},
          {:ok, "value"},
          %{},
          %{"a" => 1, 3 => [4], b: 2},
          %{1 => :integer, 1.0 => :float},
          -1.5e-300,
          1..10//2,
          MapSet.new([1, :a, "b"]),
          ~D[2024-02-29],
          ~U[2024-02-29 12:00:00.123456Z],
          ~r/a+b/,
          self(),
          make_ref(),
          &Enum.map/2,
          %Point{x: 1, y: 2.5},
          %ArgumentError{message: "no"},
          [1 | 2],
          -0.5
        ] do
      assert echo(node, term) === term
    end
  end

  test "a struct is still a struct of its module", %{node: node} do
    assert %Point{x: 1, y: [%Point{label: "inner"}]} = echo(node, %Point{x: 1, y: [%Point{label: "inner"}]})
  end

  test "a closure comes back and can be called", %{node: node} do
    offset = 10
    assert echo(node, fn x -> x + offset end).(5) == 15
  end

  test "a charlist of arguments is a list of integers", %{node: node} do
    assert :erpc.call(node, Basic, :echo, ~c"abc") === [97, 98, 99]
  end

  test "an unknown handler is undefined as on any node", %{node: node} do
    assert :rpc.call(node, Basic, :nothing, [1]) === {:badrpc, {:EXIT, {:undef, [{Basic, :nothing, [1], []}]}}}

    error = assert_raise ErlangError, fn -> :erpc.call(node, Basic, :nothing, []) end
    assert {:exception, :undef, [{Basic, :nothing, [], []}]} = error.original
  end

  test "a Python exception raises with its type, message and traceback", %{node: node} do
    error = assert_raise ErlangError, fn -> :erpc.call(node, Basic, :add, ["text", 1]) end
    assert {:exception, {:python_error, details}, _stack} = error.original
    assert %{type: "TypeError", message: message, traceback: traceback} = details
    assert message =~ "concatenate"
    assert traceback =~ "basic_server.py"
    assert map_size(details) == 3

    assert {:badrpc, {:EXIT, {{:python_error, %{type: "TypeError"}}, _}}} = :rpc.call(node, Basic, :add, ["text", 1])
  end

  test "the wrong number of arguments is a TypeError", %{node: node} do
    assert {:badrpc, {:EXIT, {{:python_error, %{type: "TypeError", message: message}}, _}}} =
             :rpc.call(node, Basic, :add, [1])

    assert message =~ "missing 1 required positional argument"
  end
end
