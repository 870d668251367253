defmodule BeamBpy.Pool.Server do
  @moduledoc false
  # The process of a pool. It decides which Blender a caller gets, and when Blenders start and end.
  #
  # Workers are children of a supervisor that does not restart them: this process does, because it knows how many are
  # needed.

  use GenServer

  alias BeamBpy.{Error, Lease, Remote, Telemetry, Worker}
  alias BeamBpy.Pool.{Load, Queue, Slot}

  @longest_pause 10_000
  @first_pause 500

  # Milliseconds after which a Blender that is one of `:min` looks again whether it is still needed.
  @idle_pause 1_000

  defstruct [
    :name,
    :options,
    :worker_options,
    :workers,
    :slots,
    :last_error,
    nameless: false,
    queue: %Queue{},
    leases: %{},
    watchers: %{}
  ]

  def start_link({options, worker_options, workers}) do
    GenServer.start_link(__MODULE__, {options, worker_options, workers}, name: options[:name])
  end

  @impl true
  def init({options, worker_options, workers}) do
    # So that `terminate/2` removes the row of this pool.
    Process.flag(:trap_exit, true)
    slots = Map.new(1..options[:max], &{&1, %Slot{number: &1}})

    state = %__MODULE__{
      name: options[:name],
      options: Map.new(options),
      worker_options: worker_options,
      workers: workers,
      slots: slots
    }

    {:ok, publish(state), {:continue, :start}}
  end

  @impl true
  def handle_continue(:start, state), do: {:noreply, grow(state)}

  @impl true
  def terminate(_reason, state), do: Load.delete(state.name)

  ## Requests

  @impl true
  def handle_call({:checkout, options}, from, state) do
    result = checkout(options, from, state)
    # Only now: the caller has just been counted among those that wait.
    if options[:counted], do: Load.request_read(state.name)
    result
  end

  def handle_call({:watch, pid, what}, _from, state) do
    nodes =
      for {_number, %{state: state, node: node}} <- state.slots,
          state in [:idle, :busy, :checking],
          do: node

    if {pid, what} in Map.values(state.watchers) do
      {:reply, nodes, state}
    else
      for {_number, %{pid: worker}} when is_pid(worker) <- state.slots,
          do: watch(worker, pid, what)

      watchers = Map.put(state.watchers, Process.monitor(pid), {pid, what})
      {:reply, nodes, %{state | watchers: watchers}}
    end
  end

  def handle_call(:info, _from, state) do
    workers =
      for {number, slot} <- Enum.sort(state.slots) do
        %{number: number, state: slot.state, node: slot.node, pid: slot.pid, calls: slot.calls}
      end

    {:reply, %{waiting: Queue.size(state.queue), workers: workers}, state}
  end

  @impl true
  def handle_cast({:checkin, ref, outcome}, state) do
    case Map.pop(state.leases, ref) do
      {nil, _leases} ->
        {:noreply, state}

      {number, leases} ->
        Process.demonitor(ref, [:flush])

        {:noreply,
         %{state | leases: leases} |> returned(state.slots[number], outcome) |> publish()}
    end
  end

  def handle_cast({:cast, {module, function, args}, options}, state) do
    spawn(BeamBpy, :call, [state.name, function, args, [module: module] ++ options])
    {:noreply, state}
  end

  @impl true
  def handle_info({:DOWN, ref, :process, _pid, reason}, state) do
    cond do
      Map.has_key?(state.leases, ref) ->
        {:noreply, state |> caller_down(ref) |> publish()}

      slot = slot_of(state, ref) ->
        {:noreply, state |> worker_down(slot, reason) |> publish()}

      Map.has_key?(state.watchers, ref) ->
        {:noreply, %{state | watchers: Map.delete(state.watchers, ref)}}

      true ->
        {:noreply, state |> leave(ref, :cancelled) |> publish()}
    end
  end

  def handle_info({:too_late, ref}, state),
    do: {:noreply, state |> leave(ref, :timeout) |> publish()}

  def handle_info({:worker_ready, pid, node}, state) do
    case Enum.find(state.slots, &match?({_number, %{pid: ^pid, state: :starting}}, &1)) do
      {_number, slot} -> {:noreply, state |> idle(%{slot | node: node, failures: 0}) |> publish()}
      nil -> {:noreply, state}
    end
  end

  def handle_info({:checked, number, ref, result}, state) do
    case state.slots[number] do
      %{state: :checking, ref: ^ref} = slot ->
        {:noreply, state |> checked(slot, result) |> publish()}

      _other ->
        {:noreply, state}
    end
  end

  def handle_info({:idle, number, ref}, state) do
    case state.slots[number] do
      %{state: :idle, ref: ^ref} = slot -> {:noreply, state |> idle_too_long(slot) |> publish()}
      _other -> {:noreply, state}
    end
  end

  def handle_info({:try_again, number}, state),
    do: {:noreply, state |> try_again(number) |> grow() |> publish()}

  def handle_info(_message, state), do: {:noreply, state}

  ## Callers

  defp checkout(options, {caller, _tag} = from, state) do
    state = if Node.alive?(), do: start_as_node(state), else: state
    timeout = options[:timeout] || state.options.timeout

    waiter = %{
      from: from,
      timeout: timeout,
      affinity: options[:affinity],
      since: System.monotonic_time(),
      timer: nil
    }

    cond do
      slot = Slot.best(idle(state), waiter.affinity) ->
        {:noreply, state |> grant(slot, Process.monitor(caller), waiter) |> publish()}

      options[:wait] == false ->
        {:reply, :busy, state}

      Queue.size(state.queue) >= state.options.max_waiting ->
        {:reply, {:error, Lease.full(state.name)}, queue_event(state, waiter, :full)}

      hopeless?(state) ->
        {:reply, {:error, state.last_error}, queue_event(state, waiter, :error)}

      true ->
        {:noreply, state |> enqueue(caller, waiter) |> grow() |> publish()}
    end
  end

  defp enqueue(state, caller, waiter) do
    ref = Process.monitor(caller)

    timer =
      if waiter.timeout != :infinity,
        do: Process.send_after(self(), {:too_late, ref}, waiter.timeout)

    %{state | queue: Queue.push(state.queue, ref, %{waiter | timer: timer})}
  end

  # A waiter leaves the queue without a Blender: it died, its time is over, or no Blender can be started.
  defp leave(state, ref, why) do
    case Queue.remove(state.queue, ref) do
      {nil, _queue} -> state
      {waiter, queue} -> refuse(%{state | queue: queue}, ref, waiter, why)
    end
  end

  defp refuse(state, ref, waiter, why) do
    forget_waiter(ref, waiter)

    case why do
      :cancelled -> :ok
      :timeout -> GenServer.reply(waiter.from, {:error, Lease.too_late(waiter.timeout)})
      :error -> GenServer.reply(waiter.from, {:error, state.last_error})
    end

    queue_event(state, waiter, why)
  end

  defp refuse_all(state) do
    case Queue.pop(state.queue) do
      nil ->
        state

      {{ref, waiter}, queue} ->
        %{state | queue: queue} |> refuse(ref, waiter, :error) |> refuse_all()
    end
  end

  defp forget_waiter(ref, waiter) do
    waiter.timer && Process.cancel_timer(waiter.timer)
    Process.demonitor(ref, [:flush])
  end

  defp serve(state) do
    with [_ | _] = slots <- idle(state),
         {{ref, waiter}, queue} <- Queue.pop(state.queue) do
      waiter.timer && Process.cancel_timer(waiter.timer)
      %{state | queue: queue} |> grant(Slot.best(slots, waiter.affinity), ref, waiter) |> serve()
    else
      _nobody -> state
    end
  end

  defp grant(state, slot, ref, waiter) do
    lease = %Lease{
      node: slot.node,
      worker: slot.pid,
      pool: self(),
      ref: ref,
      timeout: state.options.timeout,
      progress_timeout: state.options.progress_timeout
    }

    GenServer.reply(waiter.from, {:ok, lease})
    slot.timer && Process.cancel_timer(slot.timer, async: true, info: false)
    slot = %{slot | state: :busy, ref: ref, timer: nil, affinity: waiter.affinity}

    queue_event(
      %{put(state, slot) | leases: Map.put(state.leases, ref, slot.number)},
      waiter,
      :ok
    )
  end

  defp queue_event(state, waiter, result) do
    measurements = %{
      queue_time: System.monotonic_time() - waiter.since,
      waiting: Queue.size(state.queue)
    }

    Telemetry.execute([:pool, :queue], measurements, %{pool: state.name, result: result})
    state
  end

  ## The end of a lease

  defp returned(state, slot, :ok) do
    slot = %{slot | calls: slot.calls + 1}

    cond do
      used_up?(state, slot) -> stop(state, slot)
      state.options.recycle[:memory] -> check(state, slot)
      true -> idle(state, slot)
    end
  end

  # No call was made with this lease.
  defp returned(state, slot, :unused), do: idle(state, slot)

  defp returned(state, slot, :check), do: check(state, %{slot | calls: slot.calls + 1})
  defp returned(state, slot, {:kill, sentence}), do: kill(state, slot, sentence)

  defp caller_down(state, ref) do
    {number, leases} = Map.pop(state.leases, ref)
    state = %{state | leases: leases}

    slot = state.slots[number]
    check(state, %{slot | calls: slot.calls + 1})
  end

  defp used_up?(state, slot) do
    state.options.single_use or
      slot.calls >= Keyword.get(state.options.recycle, :calls, :infinity)
  end

  # Waits until no handler runs any more, in a process of its own.
  defp check(state, slot) do
    {pool, ref, limit} = {self(), make_ref(), state.options.cancel_timeout}

    spawn(fn ->
      send(pool, {:checked, slot.number, ref, wait_until_quiet(slot.node, deadline(limit))})
    end)

    put(state, %{slot | state: :checking, ref: ref})
  end

  defp deadline(time), do: System.monotonic_time(:millisecond) + time

  defp wait_until_quiet(node, deadline) do
    case Remote.call(
           node,
           {:beam_bpy, :health, []},
           max(1, deadline - System.monotonic_time(:millisecond))
         ) do
      {:ok, %{running: nil, queued: 0} = health} ->
        {:ok, health}

      {:ok, _health} ->
        if System.monotonic_time(:millisecond) < deadline do
          Process.sleep(20)
          wait_until_quiet(node, deadline)
        else
          :stuck
        end

      {:error, _error} ->
        :stuck
    end
  end

  defp checked(state, slot, :stuck) do
    kill(
      state,
      slot,
      "it was still busy with the call of a process that has died or given up (`:cancel_timeout`)"
    )
  end

  defp checked(state, slot, {:ok, health}) do
    limit = Keyword.get(state.options.recycle, :memory, :infinity)
    # Without a figure from the system there is nothing to compare.
    if used_up?(state, slot) or (health.memory || 0) > limit,
      do: stop(state, slot),
      else: idle(state, slot)
  end

  ## Blenders

  defp idle(state), do: for({_number, %{state: :idle} = slot} <- state.slots, do: slot)

  defp idle(state, slot) do
    slot = %{slot | state: :idle, ref: make_ref(), idle_since: System.monotonic_time()}
    state |> put(wait_for_a_call(slot, state.options.idle_shutdown_after)) |> serve()
  end

  defp wait_for_a_call(slot, :infinity), do: slot

  defp wait_for_a_call(slot, time),
    do: %{slot | timer: Process.send_after(self(), {:idle, slot.number, slot.ref}, time)}

  defp idle_too_long(state, slot) do
    if live(state) > state.options.min,
      do: stop(state, slot),
      else: put(state, wait_for_a_call(slot, max(state.options.idle_shutdown_after, @idle_pause)))
  end

  defp stop(state, slot) do
    Worker.stop(slot.pid)
    put(state, %{slot | state: :ending, ref: nil})
  end

  defp kill(state, slot, sentence) do
    Worker.kill(slot.pid, "the pool killed the Blender: " <> sentence)
    put(state, %{slot | state: :ending, ref: nil})
  end

  # Starts as many Blenders as are needed: `:min`, and one for each caller for whom none is on its way.
  defp grow(state) do
    slots = Map.values(state.slots)
    starting = Enum.count(slots, &(&1.state == :starting))
    wanted = max(state.options.min - live(state), Queue.size(state.queue) - starting)
    off = slots |> Enum.filter(&(&1.state == :off)) |> Enum.sort_by(& &1.number)
    off |> Enum.take(max(wanted, 0)) |> Enum.reduce(state, &start(&2, &1))
  end

  defp start(state, slot) do
    own = [
      node_name: Worker.Name.of_pool(state.name, slot.number),
      owner: self(),
      pool: state.name
    ]

    options = Keyword.merge(state.worker_options, own)
    spec = Supervisor.child_spec({Worker, options}, restart: :temporary)

    case DynamicSupervisor.start_child(state.workers, spec) do
      {:ok, pid} ->
        for {_ref, {watcher, what}} <- state.watchers, do: watch(pid, watcher, what)

        put(state, %Slot{
          slot
          | state: :starting,
            pid: pid,
            monitor: Process.monitor(pid),
            calls: 0,
            affinity: nil
        })

      {:error, reason} ->
        failed(state, slot, reason)
    end
  end

  defp worker_down(state, %{state: :starting} = slot, reason) when reason != :normal do
    failed(state, slot, reason)
  end

  defp worker_down(state, slot, _reason) do
    state
    |> forget_lease(slot)
    |> put(%Slot{number: slot.number, failures: slot.failures})
    |> grow()
  end

  # The caller notices the end of its call by itself.
  defp forget_lease(state, %{state: :busy, ref: ref}) do
    Process.demonitor(ref, [:flush])
    %{state | leases: Map.delete(state.leases, ref)}
  end

  defp forget_lease(state, _slot), do: state

  defp failed(state, slot, reason) do
    failures = slot.failures + 1
    pause = min(@longest_pause, @first_pause * Integer.pow(2, min(failures, 10) - 1))
    Process.send_after(self(), {:try_again, slot.number}, pause)
    slot = %Slot{number: slot.number, state: :failed, failures: failures}
    error = start_error(state, reason)
    state = put(%{state | last_error: error, nameless: not Node.alive?()}, slot)
    if hopeless?(state), do: refuse_all(state), else: state
  end

  # Another message may have made the pool try again already.
  defp try_again(state, number) do
    case state.slots[number] do
      %{state: :failed} = slot -> put(state, %{slot | state: :off})
      _slot -> state
    end
  end

  # This BEAM was no node when the pool tried to start Blenders, and now it is one.
  defp start_as_node(%{nameless: false} = state), do: state

  defp start_as_node(state) do
    numbers = Map.keys(state.slots)
    numbers |> Enum.reduce(%{state | nameless: false}, &try_again(&2, &1)) |> grow()
  end

  defp start_error(state, {:shutdown, %Error{} = error}) do
    %{
      error
      | kind: :not_connected,
        text: "no Blender of #{inspect(state.name)} can be started: #{error.text}"
    }
  end

  defp start_error(state, reason) do
    text = "no Blender of #{inspect(state.name)} can be started: #{Exception.format_exit(reason)}"
    %Error{kind: :not_connected, text: text}
  end

  # No Blender runs, and the last attempt to start one has just failed.
  defp hopeless?(state),
    do: live(state) == 0 and Enum.any?(state.slots, &match?({_number, %{state: :failed}}, &1))

  defp live(state), do: Enum.count(state.slots, fn {_number, slot} -> Slot.live?(slot) end)

  defp slot_of(state, monitor) do
    Enum.find_value(state.slots, fn {_number, slot} -> slot.monitor == monitor && slot end)
  end

  defp put(state, slot), do: %{state | slots: Map.put(state.slots, slot.number, slot)}

  # The worker may have ended; then there is nothing to watch.
  defp watch(worker, pid, what), do: GenServer.cast(worker, {:watch, pid, what})

  defp publish(state) do
    count = fn states ->
      Enum.count(state.slots, fn {_number, slot} -> slot.state in states end)
    end

    Load.write(%{
      name: state.name,
      group: state.options.group,
      waiting: Queue.size(state.queue),
      max_waiting: state.options.max_waiting,
      idle: count.([:idle]),
      working: count.([:busy, :checking, :ending, :failed]),
      max: state.options.max,
      timeout: state.options.timeout
    })

    state
  end
end
