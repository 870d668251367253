defmodule BeamBpy.Subscription do
  @moduledoc false
  # Subscribes a process to a topic of one or several nodes, and again after each restart of a node.

  use GenServer, restart: :temporary

  alias BeamBpy.{Lease, Remote}

  # Milliseconds between two attempts to subscribe.
  @pause 1_000

  def start_link({subscriber, target, topic}),
    do: GenServer.start_link(__MODULE__, {subscriber, target, topic})

  @impl true
  def init({subscriber, target, topic}) do
    Process.monitor(subscriber)
    {:ok, %{subscriber: subscriber, target: target, topic: topic, server: nil}}
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
  def handle_info({:DOWN, _ref, :process, _pid, _reason}, state),
    do: {:noreply, again(%{state | server: nil})}

  def handle_info({:nodedown, _node}, state), do: {:noreply, again(state)}

  def handle_info(:again, state) do
    case begin(state) do
      {:ok, state} -> {:noreply, state}
      {:error, _error} -> {:noreply, again(state)}
    end
  end

  def handle_info(_message, state), do: {:noreply, state}

  defp begin(state) do
    if Lease.node_name?(state.target), do: begin_node(state), else: begin_server(state)
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

  defp nodes(state) do
    if Lease.node_name?(state.target), do: [state.target], else: watched(state)
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
