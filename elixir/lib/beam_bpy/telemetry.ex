defmodule BeamBpy.Telemetry do
  @moduledoc """
  The events of this library.

  They are sent if the application has the package `:telemetry`. Spans have the form of `:telemetry.span/3`: `:start`
  has the measurements `system_time` and `monotonic_time`, `:stop` and `:exception` have `duration` and
  `monotonic_time`, all in native units.

  | event | metadata |
  |---|---|
  | `[:beam_bpy, :call, :start \\| :stop]` | `target`, `module`, `function`, `arity`; at the end also `result` (`:ok`, the kind of the error, or `:cancelled` for a stream that was not read to its end) and `error` |
  | `[:beam_bpy, :cast]` | `target`, `module`, `function`, `arity`; the measurement is `system_time` |
  | `[:beam_bpy, :worker, :start \\| :stop \\| :exception]` | `node`, `pool`; `:stop` is an end on request; `:exception` is a crash or a failed start, with `error` |
  | `[:beam_bpy, :worker, :ready]` | `node`, `pool`; the measurement `duration` is the time of the start |
  | `[:beam_bpy, :pool, :queue]` | `pool`, `result` (`:ok`, `:full`, `:timeout`, `:cancelled` or `:error`); the measurements are `queue_time`, in native units, and `waiting`, the number of callers that wait now |

  A call and a cast send their events on the node of their caller; a pool and a worker send theirs on their own node.
  Nobody waits for a cast, so its event tells only that it was sent. A cast to a pool or a group is a call there, which
  sends the events of a call too, for a pool on the node of the pool.
  """

  @doc false
  def execute(event, measurements, metadata) do
    if :erlang.function_exported(:telemetry, :execute, 3) do
      # `apply` because the package is not a dependency: the compiler does not know the module.
      apply(:telemetry, :execute, [[:beam_bpy | event], measurements, metadata])
    end

    :ok
  end

  @doc false
  def start(event, metadata) do
    now = System.monotonic_time()

    execute(
      event ++ [:start],
      %{system_time: System.system_time(), monotonic_time: now},
      metadata
    )

    now
  end

  @doc false
  def stop(event, started, metadata), do: finish(event ++ [:stop], started, metadata)

  @doc false
  def exception(event, started, metadata), do: finish(event ++ [:exception], started, metadata)

  defp finish(event, started, metadata) do
    now = System.monotonic_time()
    execute(event, %{duration: now - started, monotonic_time: now}, metadata)
  end
end
