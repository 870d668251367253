defmodule BeamBpy.Call do
  @moduledoc false
  # One call: a lease, the call itself, and what becomes of the lease.

  alias BeamBpy.{Error, Lease, Progress, Remote}

  @type options :: [
          timeout: timeout(),
          progress_timeout: timeout(),
          retries: non_neg_integer(),
          affinity: term()
        ]

  # The longest time in which a supervisor starts a worker again, in milliseconds.
  @time_of_a_restart 5_000

  # The longest time that a timer can have.
  @longest 4_294_967_295

  @doc "Whether a value is a time in milliseconds, or `:infinity`."
  defguard is_time(value)
           when value == :infinity or (is_integer(value) and value >= 0 and value <= @longest)

  @doc "Raises `ArgumentError` for an option that a call does not have, and for a value that it cannot have."
  @spec validate!(keyword(), [atom()]) :: keyword()
  def validate!(options, names) do
    options = Keyword.validate!(options, names)

    for {key, value} <- options, not valid?(key, value) do
      raise ArgumentError, "the option #{inspect(key)} of a call cannot be #{inspect(value)}"
    end

    options
  end

  defp valid?(key, nil) when key in [:timeout, :progress_timeout], do: true
  defp valid?(key, time) when key in [:timeout, :progress_timeout], do: is_time(time)
  defp valid?(:retries, retries), do: is_integer(retries) and retries >= 0
  defp valid?(:module, module), do: is_atom(module)
  defp valid?(:affinity, _term), do: true

  @doc "Makes a call. Of `BeamBpy.call/4`, the options are validated and the telemetry is sent there."
  @spec run(BeamBpy.target(), Remote.mfargs(), options()) :: {:ok, term()} | {:error, Error.t()}
  def run(target, mfargs, options),
    do: run(target, mfargs, options, now(), Keyword.get(options, :retries, 0))

  # Each attempt gets the rest of the time.
  defp run(target, mfargs, options, started, retries) do
    case checkout(target, options, started) do
      {:ok, lease, rest} ->
        result = attempt(lease, mfargs, rest, options)
        options = Keyword.put_new(options, :timeout, lease.timeout)

        case finish(lease, result, rest(options[:timeout], started)) do
          {:error, %Error{kind: kind}} when kind in [:crashed, :not_connected] and retries > 0 ->
            Lease.await(target, min(@time_of_a_restart, rest(options[:timeout], started)))
            run(target, mfargs, options, started, retries - 1)

          result ->
            result
        end

      {:error, error} ->
        {:error, %{error | function: error.function || Remote.name(mfargs)}}
    end
  end

  @doc "Waits for a lease for a call that started at this time. Returns also the time that the call has left."
  @spec checkout(BeamBpy.target(), options(), integer()) ::
          {:ok, Lease.t(), timeout()} | {:error, Error.t()}
  def checkout(target, options, started) do
    with {:ok, lease} <- Lease.checkout(target, checkout_options(options, started)) do
      timeout = options[:timeout] || lease.timeout

      case rest(timeout, started) do
        0 ->
          # A call without time would only have its Blender killed.
          Lease.checkin(lease, :unused)
          {:error, Lease.too_late(timeout)}

        rest ->
          {:ok, lease, rest}
      end
    end
  end

  defp checkout_options(options, started) do
    case options[:timeout] do
      nil -> Keyword.take(options, [:affinity])
      timeout -> [timeout: rest(timeout, started), affinity: options[:affinity]]
    end
  end

  @doc "The rest of a time, in milliseconds, at least 0."
  @spec rest(timeout(), integer()) :: timeout()
  def rest(:infinity, _started), do: :infinity
  def rest(timeout, started), do: max(0, started + timeout - now())

  @doc "A time, less some milliseconds."
  @spec less(timeout(), non_neg_integer()) :: timeout()
  def less(:infinity, _time), do: :infinity
  def less(timeout, time), do: max(0, timeout - time)

  @doc "The present time of `rest/2`."
  @spec now() :: integer()
  def now, do: System.monotonic_time(:millisecond)

  defp attempt(lease, mfargs, timeout, options) do
    case options[:progress_timeout] || lease.progress_timeout do
      :infinity when lease.runner == nil -> Remote.call(lease.node, mfargs, timeout)
      progress_timeout -> Progress.await(lease, mfargs, timeout, progress_timeout)
    end
  end

  @doc """
  Gives a lease back after a call with this result. Returns the result, with the reason of a lost connection; it waits
  for the reason at most `rest` milliseconds.
  """
  @spec finish(Lease.t(), {:ok, term()} | {:error, Error.t()}, timeout()) ::
          {:ok, term()} | {:error, Error.t()}
  def finish(lease, result, rest \\ :infinity)

  def finish(lease, {:error, %Error{kind: :timeout} = error}, _rest) do
    Lease.checkin(lease, {:kill, "#{error.function} took too long"})
    {:error, error}
  end

  def finish(lease, {:error, %Error{kind: :not_connected} = error}, rest) do
    {:error, Lease.give_up(lease, error, rest)}
  end

  def finish(lease, result, _rest) do
    Lease.checkin(lease, :ok)
    result
  end
end
