# Measures what `BeamBpy.call/4` adds to a bare `:erpc.call/5`. `bench/elixir_calls.py` runs it.
#
# Each round makes the same calls in each way, one way after the other, and starts with another way each time, so that
# a change of the machine's speed meets all of them. Prints a line for each round: the microseconds of a call in each way.

defmodule BeamBpy.Bench do
  @calls 500

  def run(python, rounds) do
    common = [
      command: {:python, python},
      handlers: [Path.expand("handlers.py", __DIR__)],
      log: :debug
    ]

    {:ok, _pool} = BeamBpy.Pool.start_link([name: Bench.Pool] ++ common)
    {:ok, worker} = BeamBpy.Worker.start_link([name: Bench.Worker] ++ common)
    {:ok, node} = BeamBpy.Worker.node_of(worker)
    {:ok, pool_node} = BeamBpy.checkout(Bench.Pool, & &1)

    ways = [
      erpc: fn -> :erpc.call(node, Blender, :echo, [1], 5_000) end,
      node: fn -> BeamBpy.call(node, :echo, [1], timeout: 5_000) end,
      worker: fn -> BeamBpy.call(Bench.Worker, :echo, [1], timeout: 5_000) end,
      pool: fn -> BeamBpy.call(Bench.Pool, :echo, [1], timeout: 5_000) end,
      # The same program as the pool's, so that the two programs can be compared.
      erpc_pool: fn -> :erpc.call(pool_node, Blender, :echo, [1], 5_000) end
    ]

    for {_name, way} <- ways, do: measure(way)

    for round <- 1..rounds do
      {last, first} = Enum.split(ways, rem(round, length(ways)))
      times = Map.new(first ++ last, fn {name, way} -> {name, measure(way)} end)

      IO.puts(
        Enum.map_join(ways, " ", fn {name, _way} -> "#{name}=#{Float.round(times[name], 2)}" end)
      )
    end
  end

  defp measure(way) do
    {microseconds, _result} = :timer.tc(fn -> for _call <- 1..@calls, do: way.() end)
    microseconds / @calls
  end
end

[python, rounds] = System.argv()
Logger.configure(level: :warning)
BeamBpy.Bench.run(python, String.to_integer(rounds))
