defmodule BeamBpy.Subscription do
  @moduledoc false
  # Subscribes a process to a topic of one or several nodes, and again after each restart of a node.
  #
  # A Blender sends its events to processes of its own machine only. For a pool or a worker of another node, a process
  # there has a subscription of its own, and sends the events on: a forwarder.

  use GenServer, restart: :temporary

  alias BeamBpy.{Error, Group, Lease, Remote}

  # Milliseconds between two attempts to subscribe.
  @pause 1_000

  # The longest time, in milliseconds, that a forwarder needs to subscribe, or to end.
  @forwarder_timeout 15_000

  def start_link({subscriber, target, topic}),
    do: GenServer.start_link(__MODULE__, {subscriber, target, topic})

  @impl true
  def init({subscriber, target, topic}) do
    Process.monitor(subscriber)
    {:ok, %{subscriber: subscriber, target: target, topic: topic, server: nil, forwarders: %{}}}
  end

  @impl true
  def handle_call(:subscribe, _from, state) do
    case begin(state) do
      {:ok, state} -> {:reply, :ok, state}
      {:error, error} -> {:stop, :normal, {:error, error}, state}
    end
  end

  def handle_call(:unsubscribe, _from, state) do
    for node <- nodes(state), do: ask(node, :unsubscribe, state)
    for {_place, {pid, monitor}} <- state.forwarders, do: end_forwarder(pid, monitor)
    {:stop, :normal, :ok, state}
  end

  @impl true
  def handle_info({:beam_bpy_worker, :ready, node}, state) do
    follow(node, state)
    {:noreply, state}
  end

  def handle_info({:follow, node}, state) do
    # A node that has ended meanwhile tells when it is ready again.
    if node in nodes(state), do: follow(node, state)
    {:noreply, state}
  end

  def handle_info({:DOWN, _ref, :process, pid, _reason}, %{subscriber: pid} = state),
    do: {:stop, :normal, state}

  # The worker or the pool has ended; its supervisor may start it again.
  def handle_info({:DOWN, _ref, :process, pid, _reason}, %{server: pid} = state),
    do: {:noreply, again(%{state | server: nil})}

  def handle_info({:DOWN, monitor, :process, pid, _reason}, state) do
    forwarders = Map.reject(state.forwarders, &match?({_place, {^pid, ^monitor}}, &1))
    {:noreply, %{state | forwarders: forwarders}}
  end

  def handle_info({:nodedown, _node}, state), do: {:noreply, again(state)}

  def handle_info(:again, state) do
    case begin(state) do
      {:ok, state} -> {:noreply, state}
      {:error, _error} -> {:noreply, again(state)}
    end
  end

  def handle_info(_message, state), do: {:noreply, state}

  defp begin(%{target: {:group, group}} = state) do
    case Group.pools(group) do
      [] -> {:error, Group.no_pool(group)}
      places -> begin_forwarders(places, state)
    end
  end

  defp begin(state) do
    if Lease.node_name?(state.target) do
      begin_node(state)
    else
      case Lease.place(state.target) do
        {_server, node} when node == node() -> begin_server(state)
        {server, node} -> begin_forwarders([{node, server}], state)
      end
    end
  end

  defp begin_node(state) do
    with :ok <- ask(state.target, :subscribe, state) do
      Node.monitor(state.target, true)
      {:ok, state}
    end
  end

  defp begin_server(state) do
    with {:ok, nodes, pid} <- Lease.watch(state.target) do
      Process.monitor(pid)
      for node <- nodes, do: follow(node, state)
      {:ok, %{state | server: pid}}
    end
  end

  # A Blender that is busy, or that ends now, may give no answer.
  defp follow(node, state) do
    with {:error, _error} <- ask(node, :subscribe, state),
         do: Process.send_after(self(), {:follow, node}, @pause)
  end

  # Looks again and again, because pools join a group, and a machine comes back.
  defp begin_forwarders(places, state) do
    new = for place <- places, not is_map_key(state.forwarders, place), do: place
    results = for place <- new, do: {place, start_forwarder(place, state)}

    started =
      for {place, {:ok, forwarder}} <- results, into: state.forwarders, do: {place, forwarder}

    case results do
      [{_place, {:error, error}} | _] when started == %{} -> {:error, error}
      _some -> {:ok, again(%{state | forwarders: started})}
    end
  end

  defp start_forwarder({node, server}, state) do
    arguments = [self(), state.subscriber, server, state.topic]
    {pid, monitor} = Node.spawn_monitor(node, __MODULE__, :forward, arguments)

    receive do
      {:subscribed, ^pid, {:ok, _subscription}} ->
        {:ok, {pid, monitor}}

      {:subscribed, ^pid, {:error, error}} ->
        Process.demonitor(monitor, [:flush])
        {:error, error}

      {:DOWN, ^monitor, :process, ^pid, _reason} ->
        {:error, not_subscribed(node)}
    after
      @forwarder_timeout ->
        end_forwarder(pid, monitor)
        {:error, not_subscribed(node)}
    end
  end

  defp not_subscribed(node) do
    text =
      "#{node} did not subscribe: check that it is connected and has the application `:beam_bpy`"

    %Error{kind: :not_connected, node: node, text: text}
  end

  # After its end, no event arrives any more.
  defp end_forwarder(pid, monitor) do
    Process.exit(pid, :kill)

    receive do
      {:DOWN, ^monitor, :process, ^pid, _reason} -> :ok
    after
      @forwarder_timeout -> :ok
    end
  end

  @doc false
  # The forwarder, on the node of the pool.
  def forward(owner, subscriber, server, topic) do
    monitor = Process.monitor(owner)
    result = BeamBpy.subscribe(server, topic)
    send(owner, {:subscribed, self(), result})

    with {:ok, subscription} <- result,
         do: forward(monitor, Process.monitor(subscription), subscriber)
  end

  defp forward(owner, subscription, subscriber) do
    receive do
      {:DOWN, monitor, :process, _pid, _reason} when monitor in [owner, subscription] ->
        :ok

      event ->
        send(subscriber, event)
        forward(owner, subscription, subscriber)
    end
  end

  defp nodes(%{target: {:group, _group}}), do: []

  defp nodes(state) do
    cond do
      Lease.node_name?(state.target) -> [state.target]
      state.server != nil -> watched(state)
      true -> []
    end
  end

  defp watched(state) do
    case Lease.watch(state.target) do
      {:ok, nodes, _pid} -> nodes
      {:error, _error} -> []
    end
  end

  defp ask(node, function, state) do
    with {:ok, _ok} <-
           Remote.call(node, {Blender, function, [state.topic, state.subscriber]}, 10_000),
         do: :ok
  end

  defp again(state) do
    Process.send_after(self(), :again, @pause)
    state
  end
end
