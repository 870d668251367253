defmodule BeamBpy.Progress do
  @moduledoc false
  # A call whose progress its caller receives.
  #
  # A linked process makes the call, because `:erpc.call` blocks. If the caller dies or stops to enumerate, that process
  # ends, and the node then closes the handler.

  alias BeamBpy.{Call, Error, Lease, Remote}

  @enforce_keys [:lease, :mfargs, :tag, :runner, :deadline, :progress_timeout]
  defstruct @enforce_keys

  @type t :: %__MODULE__{}
  @type event :: {:progress, term()} | {:render, map()} | {:ok, term()} | {:error, Error.t()}

  @doc "Starts a call with this lease. Times are in milliseconds."
  @spec start(Lease.t(), Remote.mfargs(), timeout(), timeout()) :: t()
  def start(lease, mfargs, timeout, progress_timeout) do
    {caller, tag} = {self(), make_ref()}
    if lease.worker, do: GenServer.cast(lease.worker, {:watch, caller, :progress})

    runner =
      spawn_link(fn ->
        send(caller, {tag, Remote.call_with_progress(lease.node, mfargs, timeout, {caller, tag})})
      end)

    %__MODULE__{
      lease: lease,
      mfargs: mfargs,
      tag: tag,
      runner: runner,
      deadline: if(timeout == :infinity, do: :infinity, else: Call.now() + timeout),
      progress_timeout: progress_timeout
    }
  end

  @doc "Waits for the next event. `{:ok, _}` or `{:error, _}` is the last one."
  @spec next(t()) :: event()
  def next(%__MODULE__{tag: tag, lease: %{node: node}} = progress) do
    receive do
      {:progress, ^tag, value} -> {:progress, value}
      {:beam_bpy_render, ^node, render} -> {:render, render}
      {^tag, result} -> result
    after
      progress.progress_timeout -> {:error, no_progress(progress)}
    end
  end

  @doc "Ends a call that may still run, and removes its messages."
  @spec cancel(t()) :: :ok
  def cancel(%__MODULE__{lease: lease, runner: runner, tag: tag}) do
    Process.unlink(runner)
    Process.exit(runner, :kill)
    if lease.worker, do: GenServer.cast(lease.worker, {:unwatch, self(), :progress})
    flush(tag, lease.node)
  end

  defp flush(tag, node) do
    receive do
      {:progress, ^tag, _value} -> flush(tag, node)
      {:beam_bpy_render, ^node, _render} -> flush(tag, node)
      {^tag, _result} -> flush(tag, node)
    after
      0 -> :ok
    end
  end

  @doc "Makes a call that has to report progress at least each `progress_timeout` milliseconds."
  @spec await(Lease.t(), Remote.mfargs(), timeout(), timeout()) ::
          {:ok, term()} | {:error, Error.t()}
  def await(lease, mfargs, timeout, progress_timeout) do
    progress = start(lease, mfargs, timeout, progress_timeout)
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

  defp no_progress(progress) do
    %Error{
      kind: :timeout,
      function: Remote.name(progress.mfargs),
      node: progress.lease.node,
      text: "there was no progress for #{progress.progress_timeout} milliseconds"
    }
  end
end
