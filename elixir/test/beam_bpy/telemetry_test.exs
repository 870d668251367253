defmodule BeamBpy.TelemetryTest do
  use BeamBpy.Case, async: true

  @moduletag :capture_log

  import BeamBpy.Workers

  alias BeamBpy.{Error, Pool}

  defp event(event, metadata) do
    receive do
      {:telemetry, ^event, measurements, data} ->
        if metadata == Map.take(data, Map.keys(metadata)),
          do: {measurements, data},
          else: event(event, metadata)
    after
      30_000 -> flunk("no event #{inspect(event)} with #{inspect(metadata)}")
    end
  end

  test "of calls, the queue and the workers of a pool" do
    attach(for(last <- [:start, :stop], do: [:beam_bpy, :call, last]))
    attach(for(last <- [:start, :ready, :stop, :exception], do: [:beam_bpy, :worker, last]))
    attach([[:beam_bpy, :pool, :queue]])
    pool = start_pool(max_waiting: 0)

    {start, %{node: node}} = event([:beam_bpy, :worker, :start], %{pool: pool})
    assert %{system_time: _, monotonic_time: _} = start
    {%{duration: duration}, _} = event([:beam_bpy, :worker, :ready], %{pool: pool, node: node})
    assert duration > 0
    wait_until_idle(pool)

    assert BeamBpy.call(pool, :echo, [1]) == {:ok, 1}
    {_, data} = event([:beam_bpy, :call, :start], %{target: pool})
    assert %{module: Blender, function: :echo, arity: 1} = data
    event([:beam_bpy, :pool, :queue], %{pool: pool, result: :ok})
    {stop, %{error: nil}} = event([:beam_bpy, :call, :stop], %{target: pool, result: :ok})
    assert %{duration: _, monotonic_time: _} = stop

    assert {:error, error} = BeamBpy.call(pool, :fail, ["x"])
    event([:beam_bpy, :call, :stop], %{target: pool, result: :python, error: error})

    pool |> BeamBpy.stream(:count, [9, 0.01]) |> Enum.take(1)
    event([:beam_bpy, :call, :stop], %{target: pool, function: :count, result: :cancelled})
    wait_until_idle(pool)
    pool |> BeamBpy.stream(:count, [2, 0.01]) |> Enum.to_list()
    event([:beam_bpy, :call, :stop], %{target: pool, function: :count, result: :ok})

    wait_until_idle(pool)

    BeamBpy.checkout(pool, fn _ ->
      for target <- [pool, Process.whereis(pool)] do
        assert {:error, %Error{kind: :full}} = BeamBpy.call(target, :echo, [1])
        {measurements, _} = event([:beam_bpy, :pool, :queue], %{pool: pool, result: :full})
        assert %{queue_time: _, waiting: 0} = measurements
      end
    end)

    wait_until_idle(pool)
    assert {:error, %Error{kind: :crashed}} = BeamBpy.call(pool, :abort)

    {%{duration: _}, %{error: error}} =
      event([:beam_bpy, :worker, :exception], %{pool: pool, node: node})

    assert %Error{kind: :crashed} = error

    wait_until_idle(pool)
    stop_supervised!({Pool, pool})
    event([:beam_bpy, :worker, :stop], %{pool: pool, node: node})
  end

  test "of a worker that cannot start" do
    attach([[:beam_bpy, :worker, :exception]])
    pool = start_pool(command: ["/no/such/program"])
    {_, %{error: error}} = event([:beam_bpy, :worker, :exception], %{pool: pool})
    assert %Error{kind: :not_connected} = error
  end

  test "of callers that leave the queue" do
    attach([[:beam_bpy, :pool, :queue]])
    pool = start_pool()
    wait_until_idle(pool)

    BeamBpy.checkout(pool, fn _ ->
      caller = spawn(fn -> BeamBpy.call(pool, :echo, [1]) end)
      eventually(fn -> Pool.info(pool).waiting == 1 end)
      Process.exit(caller, :kill)
      event([:beam_bpy, :pool, :queue], %{pool: pool, result: :cancelled})
      assert {:error, _} = BeamBpy.call(pool, :echo, [1], timeout: 50)
      event([:beam_bpy, :pool, :queue], %{pool: pool, result: :timeout})
    end)
  end
end
