defmodule BeamBpy.Progress do
  @moduledoc false
  # A call whose progress its caller receives.
  #
  # A process of its own makes the call and passes on what it reports, so that nothing of a call that has ended or was
  # cancelled reaches the caller's mailbox. When that process ends, the node closes the handler.

  alias BeamBpy.{Call, Error, Lease, Remote}

  @enforce_keys [:lease, :mfargs, :tag, :relay, :monitor, :progress_timeout]
  defstruct @enforce_keys

  @type t :: %__MODULE__{
          lease: Lease.t(),
          mfargs: Remote.mfargs(),
          tag: reference(),
          relay: pid(),
          monitor: reference(),
          progress_timeout: timeout()
        }
  @type event :: {:progress, term()} | {:render, map()} | {:ok, term()} | {:error, Error.t()}

  @doc "Starts a call with this lease. Times are in milliseconds."
  @spec start(Lease.t(), Remote.mfargs(), timeout(), timeout()) :: t()
  def start(lease, mfargs, timeout, progress_timeout) do
    {caller, tag} = {self(), make_ref()}
    {relay, monitor} = spawn_monitor(fn -> relay(caller, tag, lease, mfargs, timeout) end)

    %__MODULE__{
      lease: lease,
      mfargs: mfargs,
      tag: tag,
      relay: relay,
      monitor: monitor,
      progress_timeout: progress_timeout
    }
  end

  defp relay(caller, tag, lease, mfargs, timeout) do
    state = %{
      caller: caller,
      monitor: Process.monitor(caller),
      tag: tag,
      node: lease.node,
      mfargs: mfargs,
      started: Call.now(),
      timeout: timeout
    }

    if lease.worker, do: GenServer.cast(lease.worker, {:watch, self(), :progress})
    pass_on(Remote.request_with_progress(lease.node, mfargs, tag), state)
  end

  defp pass_on(request, %{tag: tag, monitor: monitor} = state) do
    receive do
      {:progress, ^tag, value} ->
        tell(state, {:progress, value})
        pass_on(request, state)

      {:beam_bpy_render, _node, render} ->
        tell(state, {:render, render})
        pass_on(request, state)

      {:DOWN, ^monitor, :process, _caller, _reason} ->
        :ok

      message ->
        case Remote.response(message, request, state.node, state.mfargs) do
          :no_response -> pass_on(request, state)
          result -> tell(state, result)
        end
    after
      Call.rest(state.timeout, state.started) ->
        tell(state, {:error, Remote.too_late(state.node, state.mfargs, state.timeout)})
    end
  end

  defp tell(%{caller: caller, tag: tag}, event), do: send(caller, {tag, event})

  @doc "Waits for the next event. `{:ok, _}` or `{:error, _}` is the last one."
  @spec next(t()) :: event()
  def next(%__MODULE__{tag: tag} = progress) do
    receive do
      {^tag, event} -> event
    after
      progress.progress_timeout -> {:error, no_progress(progress)}
    end
  end

  @doc "Ends a call that may still run, and removes its messages."
  @spec cancel(t()) :: :ok
  def cancel(%__MODULE__{relay: relay, monitor: monitor, tag: tag}) do
    Process.exit(relay, :kill)

    receive do
      {:DOWN, ^monitor, :process, _relay, _reason} -> flush(tag)
    end
  end

  defp flush(tag) do
    receive do
      {^tag, _event} -> flush(tag)
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
