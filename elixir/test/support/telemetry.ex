defmodule :telemetry do
  @moduledoc "A stand-in for the library telemetry, with its functions that this project and its tests use."

  def attach(id, event, function, config), do: attach_many(id, [event], function, config)

  def attach_many(id, events, function, config) do
    change(fn handlers ->
      if Enum.any?(handlers, &(elem(&1, 0) == id)) do
        {{:error, :already_exists}, handlers}
      else
        {:ok, for(event <- events, do: {id, event, function, config}) ++ handlers}
      end
    end)
  end

  def detach(id) do
    change(fn handlers ->
      kept = Enum.reject(handlers, &(elem(&1, 0) == id))
      {if(kept == handlers, do: {:error, :not_found}, else: :ok), kept}
    end)
  end

  # As in the library, a handler that raises is detached, and the caller does not notice.
  def execute(event, measurements, metadata \\ %{}) do
    for {id, ^event, function, config} <- handlers() do
      try do
        function.(event, measurements, metadata, config)
      catch
        _kind, _reason -> detach(id)
      end
    end

    :ok
  end

  def span(prefix, start_metadata, function) do
    start = System.monotonic_time()
    context = %{telemetry_span_context: make_ref()}
    times = %{monotonic_time: start, system_time: System.system_time()}
    execute(prefix ++ [:start], times, Map.merge(context, start_metadata))

    try do
      function.()
    else
      {result, metadata} -> stop(prefix, start, %{}, Map.merge(context, metadata), result)
      {result, more, metadata} -> stop(prefix, start, more, Map.merge(context, metadata), result)
    catch
      kind, reason ->
        failure = %{kind: kind, reason: reason, stacktrace: __STACKTRACE__}
        metadata = start_metadata |> Map.merge(context) |> Map.merge(failure)
        execute(prefix ++ [:exception], durations(start), metadata)
        :erlang.raise(kind, reason, __STACKTRACE__)
    end
  end

  defp stop(prefix, start, more, metadata, result) do
    execute(prefix ++ [:stop], Map.merge(more, durations(start)), metadata)
    result
  end

  defp durations(start) do
    now = System.monotonic_time()
    %{duration: now - start, monotonic_time: now}
  end

  defp handlers, do: :persistent_term.get(:telemetry, [])

  defp change(function) do
    :global.trans(
      {:telemetry, self()},
      fn ->
        {result, handlers} = function.(handlers())
        :persistent_term.put(:telemetry, handlers)
        result
      end,
      [node()]
    )
  end
end
