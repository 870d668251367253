defmodule BeamBpy.CrowdTest do
  # Ten thousand callers of one pool. BEAM_BPY_CALLERS is their number.
  use BeamBpy.Case

  @moduletag :capture_log
  @moduletag :acceptance
  @moduletag timeout: 600_000

  import BeamBpy.Workers

  alias BeamBpy.{Error, Pool}

  @callers String.to_integer(System.get_env("BEAM_BPY_CALLERS", "10000"))
  @max_waiting div(@callers, 2)
  @workers 4

  # Milliseconds, and bytes.
  @time_of_an_error 10
  @memory 20_000_000

  test "callers beyond `:max_waiting` get their error at once, dead callers never run, the others run in order",
       %{
         folder: folder
       } do
    pool = start_pool(min: @workers, max_waiting: @max_waiting, timeout: :infinity)
    wait_until_idle(pool, @workers)
    path = Path.join(folder, "notes")
    load_modules()
    sampler = sample_memory(Process.whereis(pool))
    parent = self()

    holders =
      for _ <- 1..@workers do
        spawn_link(fn -> BeamBpy.checkout(pool, fn _ -> receive do: (:give_back -> :ok) end) end)
      end

    eventually(fn -> length(slots(pool, :busy)) == @workers end)

    callers =
      for number <- 1..@callers do
        spawn(fn ->
          started = System.monotonic_time(:microsecond)
          result = BeamBpy.call(pool, :note_process, [path, "#{number}"])
          time = System.monotonic_time(:microsecond) - started
          send(parent, {:result, self(), result, time})
        end)
      end

    refused = @callers - @max_waiting

    times =
      for _ <- 1..refused do
        assert_receive {:result, _pid, {:error, %Error{kind: :full}}, time}, 60_000
        time
      end

    assert Pool.info(pool).waiting == @max_waiting

    # Half of those that wait die. The others run in the order in which the pool has got their calls.
    numbers = callers |> Enum.with_index(1) |> Map.new()
    {dead, alive} = pool |> waiting() |> Enum.with_index() |> Enum.split_with(&odd?/1)
    for {pid, _index} <- dead, do: Process.exit(pid, :kill)
    eventually(fn -> Pool.info(pool).waiting == length(alive) end)
    for holder <- holders, do: send(holder, :give_back)

    for {pid, _index} <- alive, do: assert_receive({:result, ^pid, {:ok, nil}, _time}, 120_000)
    memory = stop_sampler(sampler)
    expected = for {pid, _index} <- alive, do: numbers[pid]
    ran = for line <- lines(path), do: line |> String.split() |> Enum.map(&String.to_integer/1)

    if System.get_env("BEAM_BPY_CALLERS") do
      sorted = Enum.sort(times)

      IO.puts(
        "#{@callers} callers: #{refused} refused, median #{Enum.at(sorted, div(refused, 2))} us, " <>
          "99.9 % at most #{Enum.at(sorted, div(refused * 999, 1_000))} us, " <>
          "#{Enum.count(times, &(&1 > 1_000))} longer than 1 ms, longest #{List.last(sorted)} us; the pool used at most #{memory} bytes"
      )
    end

    assert ran |> Enum.map(&List.last/1) |> Enum.sort() == Enum.sort(expected)

    # Each Blender gets its callers in the order of the queue.
    places = expected |> Enum.with_index() |> Map.new()

    for {_os_pid, lines} <- Enum.group_by(ran, &hd/1) do
      order = for [_os_pid, number] <- lines, do: places[number]
      assert order == Enum.sort(order)
    end

    # The system can stop this BEAM at any time for longer, so one in a hundred may be late.
    assert Enum.at(Enum.sort(times), div(refused * 99, 100)) <= @time_of_an_error * 1_000
    assert memory < @memory
  end

  # Without it, thousands of callers would wait for the code server, which loads modules at their first use.
  defp load_modules do
    full = start_pool(min: 0, max_waiting: 0)
    {:error, %Error{kind: :full}} = BeamBpy.call(full, :note, ["path", "1"])
    {:error, %Error{kind: :full}} = BeamBpy.call(Process.whereis(full), :note, ["path", "1"])
  end

  defp waiting(pool) do
    queue = :sys.get_state(pool).queue
    for {_ref, %{from: {pid, _tag}}} <- :gb_trees.values(queue.order), do: pid
  end

  defp odd?({_pid, index}), do: rem(index, 2) == 1

  defp sample_memory(pid) do
    spawn_link(fn -> sample(pid, 0) end)
  end

  defp sample(pid, largest) do
    {:memory, memory} = Process.info(pid, :memory)

    receive do
      {:stop, from} -> send(from, {:memory, max(largest, memory)})
    after
      1 -> sample(pid, max(largest, memory))
    end
  end

  defp stop_sampler(sampler) do
    send(sampler, {:stop, self()})
    assert_receive {:memory, memory}
    memory
  end
end
