# Measures how many 3D files a second Blenders convert and picture. `bench/assets.py` runs it.
#
# Each round does the same work in each way, one way after the other, and starts with another way each time, so that a
# change of the machine's speed meets all of them. Prints a line for each round: the files per second of each way.

defmodule BeamBpy.AssetsBench do
  alias BeamBpy.{Assets, Pool}

  @converted 24
  @pictured 8

  # `programs` are paths of programs that convert one file, and then end.
  def run(python, rounds, model, programs) do
    source = {:bytes, File.read!(model)}
    convert = fn pool -> Assets.convert!(pool, source, :glb) end
    picture = fn pool -> Assets.thumbnail!(pool, source, width: 128, height: 128, samples: 4) end
    for {pool, size} <- [{Bench.One, 1}, {Bench.Two, 2}], do: start(python, pool, size)

    ways = [
      convert_one: fn -> rate(@converted, 1, fn -> convert.(Bench.One) end) end,
      convert_two: fn -> rate(@converted, 2, fn -> convert.(Bench.Two) end) end,
      picture_one: fn -> rate(@pictured, 1, fn -> picture.(Bench.One) end) end,
      picture_two: fn -> rate(@pictured, 2, fn -> picture.(Bench.Two) end) end
    ]

    ways = ways ++ Enum.map(programs, &{name(&1), fn -> rate(1, 1, fn -> run(&1) end) end})

    for {_name, way} <- ways, do: way.()

    for round <- 1..rounds do
      {last, first} = Enum.split(ways, rem(round, length(ways)))
      rates = Map.new(first ++ last, fn {name, way} -> {name, way.()} end)
      IO.puts(Enum.map_join(ways, " ", fn {name, _way} -> "#{name}=#{rates[name]}" end))
    end
  end

  defp name(program), do: program |> Path.basename() |> String.to_atom()
  defp run(program), do: {_output, 0} = System.cmd(program, [])

  defp start(python, pool, size) do
    {:ok, _pool} =
      Pool.start_link(
        name: pool,
        command: {:python, python},
        handlers: ["scene_handlers"],
        min: size,
        timeout: 120_000
      )

    wait(pool, size)
  end

  # At most a minute, which is the longest time of a start.
  defp wait(pool, size, rest \\ 600) when rest > 0 do
    if Enum.count(Pool.info(pool).workers, &(&1.state == :idle)) < size do
      Process.sleep(100)
      wait(pool, size, rest - 1)
    end
  end

  defp rate(count, at_once, work) do
    {microseconds, :ok} =
      :timer.tc(fn ->
        1..count
        |> Task.async_stream(fn _ -> work.() end, max_concurrency: at_once, timeout: :infinity)
        |> Stream.run()
      end)

    1_000_000 * count / microseconds
  end
end

[python, rounds, model | programs] = System.argv()
Logger.configure(level: :warning)

BeamBpy.AssetsBench.run(python, String.to_integer(rounds), model, programs)
