defmodule BeamBpy.Progress do
  @moduledoc false
  # A call that a `BeamBpy.Runner` makes, and whose progress its caller receives.

  alias BeamBpy.{Call, Error, Lease, Remote, Runner}

  @enforce_keys [:lease, :mfargs, :runner, :started, :timeout, :progress_timeout]
  defstruct @enforce_keys

  @type t :: %__MODULE__{
          lease: Lease.t(),
          mfargs: Remote.mfargs(),
          runner: Runner.t(),
          started: integer(),
          timeout: timeout(),
          progress_timeout: timeout()
        }
  @type event :: {:progress, term()} | {:render, map()} | {:ok, term()} | {:error, Error.t()}

  @doc "Starts a call with this lease. Times are in milliseconds. With `report?`, progress becomes events."
  @spec start(Lease.t(), Remote.mfargs(), timeout(), timeout(), boolean()) :: t()
  def start(lease, mfargs, timeout, progress_timeout, report? \\ true) do
    runner = lease.runner || Runner.start(lease)
    Runner.call(runner, mfargs, report?)

    %__MODULE__{
      lease: lease,
      mfargs: mfargs,
      runner: runner,
      started: Call.now(),
      timeout: timeout,
      progress_timeout: progress_timeout
    }
  end

  @doc "Waits for the next event. `{:ok, _}` or `{:error, _}` is the last one."
  @spec next(t()) :: event()
  def next(%__MODULE__{progress_timeout: progress_timeout} = progress) do
    rest = Call.rest(progress.timeout, progress.started)

    case Runner.next(progress.runner, min(rest, progress_timeout)) do
      {:lost, error} -> {:error, %{error | function: Remote.name(progress.mfargs)}}
      :no_event when rest <= progress_timeout -> {:error, no_answer(progress)}
      :no_event -> {:error, no_progress(progress)}
      event -> event
    end
  end

  @doc "Ends a call that may still run, and removes its messages. A runner that has the lease ends with the lease."
  @spec cancel(t()) :: :ok
  def cancel(%__MODULE__{lease: %{runner: nil}, runner: runner}), do: Runner.close(runner, :check)
  def cancel(_progress), do: :ok

  @doc "Makes a call that has to report progress at least each `progress_timeout` milliseconds."
  @spec await(Lease.t(), Remote.mfargs(), timeout(), timeout()) ::
          {:ok, term()} | {:error, Error.t()}
  def await(lease, mfargs, timeout, progress_timeout) do
    progress = start(lease, mfargs, timeout, progress_timeout, progress_timeout != :infinity)
    result = await(progress)
    cancel(progress)
    result
  end

  defp await(progress) do
    case next(progress) do
      {tag, _value} when tag in [:progress, :render] -> await(progress)
      result -> result
    end
  end

  defp no_answer(%{lease: lease, mfargs: mfargs, timeout: timeout}),
    do: Remote.too_late(lease.node, mfargs, timeout)

  defp no_progress(progress) do
    %Error{
      kind: :timeout,
      function: Remote.name(progress.mfargs),
      node: progress.lease.node,
      text: "there was no progress for #{progress.progress_timeout} milliseconds"
    }
  end
end
