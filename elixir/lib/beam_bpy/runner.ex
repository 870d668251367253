defmodule BeamBpy.Runner do
  @moduledoc false
  # A process that makes a call for another process, its caller, and sends it what happens.
  #
  # A caller needs one
  #
  #   * for the progress of a call, because `:erpc.call` only waits for the result: `start/1`;
  #   * for a pool or a worker of another node: `ask/3`. The node of a Blender accepts connections of its own machine
  #     only. So the runner runs there, and it asks for the lease.
  #
  # The caller gets `{ref, event}` through an alias, so nothing arrives after `close/2`. If the caller dies, the runner
  # ends; the node of the Blender then closes the handler, and a pool takes the lease back.

  alias BeamBpy.{Call, Error, Group, Lease, Remote}
  alias BeamBpy.Pool.Load

  # Milliseconds between two looks at whether a node still lives.
  @look 500

  # Milliseconds between two attempts to send a cast.
  @pause 10

  @enforce_keys [:pid, :ref, :node]
  defstruct @enforce_keys

  @typedoc "`pid` takes the messages for the runner, which runs on `node`. `ref` is a monitor of `pid` and an alias."
  @type t :: %__MODULE__{pid: pid(), ref: reference(), node: node()}

  @typedoc "`{:lost, _}`: the runner, or the connection to its node, has ended."
  @type event ::
          {:leased, Lease.t()}
          | {:refused, Error.t()}
          | {:progress, term()}
          | {:render, map()}
          | {:ok, term()}
          | {:error, Error.t()}
          | {:lost, Error.t()}

  ## The caller

  @doc "Starts a runner for one call with a lease that the caller has."
  @spec start(Lease.t()) :: t()
  def start(lease) do
    caller = self()
    begin(node(), fn -> hold(caller, lease) end)
  end

  @doc "Starts a runner on a node, which asks a pool or a worker there for a lease, see `BeamBpy.Lease.checkout/2`."
  @spec ask(GenServer.server(), node(), keyword()) :: t()
  def ask(server, node, options) do
    caller = self()
    begin(node, fn -> relay(caller, node, server, options) end)
  end

  defp begin(node, function) do
    pid = spawn(function)
    ref = :erlang.monitor(:process, pid, alias: :demonitor)
    send(pid, {:start, ref})
    %__MODULE__{pid: pid, ref: ref, node: node}
  end

  @doc "Starts the call. With `report?`, its progress and the lines of its render become events."
  @spec call(t(), Remote.mfargs(), boolean()) :: :ok
  def call(runner, mfargs, report?) do
    send(runner.pid, {:call, mfargs, report?})
    :ok
  end

  @doc "Waits for the next event. Notices a node that does not answer any more."
  @spec next(t(), timeout()) :: event() | :no_event
  def next(%__MODULE__{ref: ref} = runner, timeout) do
    receive do
      {^ref, event} -> event
      {:DOWN, ^ref, :process, _pid, reason} -> {:lost, lost(reason, runner.node)}
    after
      min(timeout, @look) ->
        cond do
          Group.Members.lost?(runner.node) -> {:lost, silent(runner.node)}
          timeout <= @look -> :no_event
          true -> next(runner, Call.less(timeout, @look))
        end
    end
  end

  @doc "Waits for the next event of one of several runners, which are in a map with their `ref` as the key."
  @spec next_of(%{reference() => t()}, timeout()) :: {t(), event()} | :no_event
  def next_of(runners, timeout) do
    receive do
      {ref, event} when is_map_key(runners, ref) ->
        {runners[ref], event}

      {:DOWN, ref, :process, _pid, reason} when is_map_key(runners, ref) ->
        {runners[ref], {:lost, lost(reason, runners[ref].node)}}
    after
      timeout -> :no_event
    end
  end

  @doc "Ends the runner, and removes its messages. If it has the lease, it gives it back with this outcome."
  @spec close(t(), Lease.outcome()) :: :ok
  def close(%__MODULE__{ref: ref, pid: pid}, outcome) do
    Process.demonitor(ref, [:flush])
    send(pid, {:close, outcome})
    flush(ref)
  end

  defp flush(ref) do
    receive do
      {^ref, _event} -> flush(ref)
    after
      0 -> :ok
    end
  end

  defp lost({:shutdown, {:lost, reason}}, node), do: lost(reason, node)

  defp lost(:noconnection, node),
    do: not_connected(node, "the connection to #{node} failed or was lost")

  defp lost({:undef, _stack}, node) do
    not_connected(node, "#{node} does not have this version of the application `:beam_bpy`")
  end

  defp lost(reason, node) do
    not_connected(node, "the process of the call on #{node} ended: #{inspect(reason)}")
  end

  defp silent(node) do
    not_connected(node, "#{node} is connected, but has not sent anything for several seconds")
  end

  defp not_connected(node, text), do: %Error{kind: :not_connected, node: node, text: text}

  ## The relay on the machine of the caller

  # A message to a machine that hangs can block its sender until the connection is closed. So another process than the
  # caller sends all messages.
  defp relay(caller, node, server, options) do
    monitor = Process.monitor(caller)

    receive do
      {:DOWN, ^monitor, :process, _pid, _reason} ->
        :ok

      {:start, ref} ->
        relay(
          monitor,
          Node.spawn_monitor(node, __MODULE__, :serve, [self(), ref, server, options])
        )
    end
  end

  defp relay(caller_monitor, {runner, monitor}) do
    receive do
      {:DOWN, ^caller_monitor, :process, _pid, _reason} ->
        :ok

      {:DOWN, ^monitor, :process, _pid, reason} ->
        exit({:shutdown, {:lost, reason}})

      message ->
        send(runner, message)
        relay(caller_monitor, {runner, monitor})
    end
  end

  ## The runner

  # It makes one call with a lease of its caller, who gives the lease back.
  defp hold(caller, lease) do
    monitor = Process.monitor(caller)

    receive do
      {:DOWN, ^monitor, :process, _pid, _reason} -> :ok
      {:start, ref} -> leased(%{owner: monitor, caller: ref, lease: lease, has_lease?: false})
    end
  end

  @doc false
  # It asks for a lease. If the process `owner` ends, this one does, too.
  def serve(owner, caller, server, options) do
    state = %{owner: Process.monitor(owner), caller: caller, lease: nil, has_lease?: true}

    case Load.count_request(server) do
      false ->
        refused(Lease.refused(server), state)

      counted ->
        request = {:checkout, [{:counted, counted} | options]}
        wait(:gen_server.send_request(server, request), server, state)
    end
  end

  # If this process ends while it waits, it leaves the queue of the pool.
  defp wait(request, server, %{owner: owner} = state) do
    receive do
      {:DOWN, ^owner, :process, _pid, _reason} ->
        :ok

      {:close, _outcome} ->
        :ok

      message ->
        case :gen_server.check_response(message, request) do
          {:reply, {:ok, _lease} = reply} ->
            {:ok, lease} = Lease.monitored(reply)
            tell(state, {:leased, %{lease | monitor: nil, pool: nil, ref: nil, worker: self()}})
            leased(%{state | lease: lease})

          {:reply, {:error, error}} ->
            refused(error, state)

          {:error, {reason, _server}} ->
            refused(Lease.no_server(server, reason), state)

          :no_reply ->
            wait(request, server, state)
        end
    end
  end

  defp refused(error, state) do
    tell(state, {:refused, error})
    finished(state)
  end

  # For the function of `BeamBpy.checkout/3`, this process is a worker: the target of calls.
  defp leased(%{owner: owner, lease: lease} = state) do
    receive do
      {:DOWN, ^owner, :process, _pid, _reason} ->
        give_back(state, if(state[:lent?], do: :check, else: :unused))

      {:close, outcome} ->
        give_back(state, outcome)

      {:call, mfargs, report?} ->
        if report? and lease.worker,
          do: GenServer.cast(lease.worker, {:watch, self(), :progress})

        tag = make_ref()
        request = Remote.request(lease.node, mfargs, if(report?, do: {self(), tag}))
        calling({request, tag, mfargs}, state)

      {:"$gen_call", from, {:checkout, _options}} ->
        GenServer.reply(from, {:ok, %{lease | monitor: nil, pool: nil, ref: nil}})
        leased(Map.put(state, :lent?, true))

      {:"$gen_call", from, {:watch, _pid, :ready}} ->
        GenServer.reply(from, [lease.node])
        leased(state)

      {:"$gen_cast", {:cast, mfargs, _options}} ->
        cast(mfargs, state)
        leased(Map.put(state, :lent?, true))
    end
  end

  # It must not wait for a full connection when its owner has ended.
  defp cast(mfargs, %{owner: owner, lease: lease} = state) do
    with :full <- Remote.try_cast(lease.node, mfargs) do
      receive do
        {:DOWN, ^owner, :process, _pid, _reason} = down -> send(self(), down)
      after
        @pause -> cast(mfargs, state)
      end
    end
  end

  defp calling({request, tag, mfargs} = call, %{owner: owner, lease: lease} = state) do
    receive do
      # The pool takes the lease back, because this process ends.
      {:DOWN, ^owner, :process, _pid, _reason} ->
        :ok

      {:close, outcome} ->
        give_back(state, outcome)

      {:progress, ^tag, value} ->
        tell(state, {:progress, value})
        calling(call, state)

      {:beam_bpy_render, _node, render} ->
        tell(state, {:render, render})
        calling(call, state)

      # The end of the worker belongs to `BeamBpy.Lease.give_up/2`.
      message when not (is_tuple(message) and elem(message, 1) == lease.monitor) ->
        case Remote.response(message, request, lease.node, mfargs) do
          :no_response ->
            calling(call, state)

          result ->
            tell(state, if(state.has_lease?, do: Call.finish(lease, result), else: result))
            finished(state)
        end
    end
  end

  # It still runs, so that its end never overtakes its last message.
  defp finished(%{owner: owner}) do
    receive do
      {:DOWN, ^owner, :process, _pid, _reason} -> :ok
      {:close, _outcome} -> :ok
    end
  end

  defp give_back(state, outcome),
    do: if(state.has_lease?, do: Lease.checkin(state.lease, outcome))

  defp tell(%{caller: caller}, event), do: send(caller, {caller, event})
end
