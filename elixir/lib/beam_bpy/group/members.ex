defmodule BeamBpy.Group.Members do
  @moduledoc false
  # An ETS table with the pools of groups on other nodes, as far as this node knows them.
  #
  # Each node that has this application runs this process. The processes find each other with `:pg`, and send the load of
  # their pools to each other. So the messages also tell that a node still works: a machine that hangs or that has
  # lost its network keeps its connection for a minute.

  use GenServer

  alias BeamBpy.Pool.Load

  @table __MODULE__
  @scope BeamBpy.Group

  # Milliseconds between two messages to a node.
  @pause 200

  # After this number of pauses without a message, a node gets no calls: it is silent.
  @silent 4

  # After this number of pauses, calls that run there are lost. A machine can need seconds when it has no memory left.
  @lost 25

  @typedoc "A pool of a node. `silent?`: the node has sent nothing for a short time."
  @type pool :: %{load: Load.t(), node: node(), silent?: boolean()}

  @doc "Creates the table. The calling process owns it."
  @spec create() :: :ok
  def create do
    :ets.new(@table, [:named_table, :public, read_concurrency: true])
    :ok
  end

  @doc "The child specification of the scope of `:pg`."
  @spec scope() :: Supervisor.child_spec()
  def scope, do: %{id: :pg, start: {:pg, :start_link, [@scope]}}

  def start_link(_options), do: GenServer.start_link(__MODULE__, nil, name: __MODULE__)

  @doc "The pools of a group, on this node and on others."
  @spec pools(atom()) :: [pool()]
  def pools(group) do
    own = for load <- Load.of_group(group), do: pool(load, node(), false)
    own ++ others(group, :ets.match_object(@table, {:_, :_, :_}))
  end

  defp others(_group, []), do: []

  defp others(group, rows) do
    connected = :erlang.nodes(:connected)

    for {node, missed, loads} <- rows,
        missed < @lost and node in connected,
        %{group: ^group} = load <- loads,
        do: pool(load, node, missed >= @silent)
  end

  defp pool(load, node, silent?),
    do: %{load: Load.with_asked(load, node), node: node, silent?: silent?}

  @doc "Whether a node that has this application is connected, but has sent nothing for a long time."
  @spec lost?(node()) :: boolean()
  def lost?(node), do: match?([{_node, missed, _loads}] when missed >= @lost, row(node))

  @doc "Whether a node has sent nothing for a short time, or is not connected."
  @spec silent?(node()) :: boolean()
  def silent?(node) when node == node(), do: false

  def silent?(node) do
    match?([{_node, missed, _loads}] when missed >= @silent, row(node)) or
      node not in :erlang.nodes(:connected)
  end

  defp row(node), do: :ets.lookup(@table, node)

  ## The process

  @impl true
  def init(nil) do
    # Messages that are late because this BEAM is busy look like those of a machine that hangs.
    Process.flag(:priority, :high)
    # After a restart, nothing that the table has is new.
    :ets.delete_all_objects(@table)
    :ok = :net_kernel.monitor_nodes(true, node_type: :all)
    :ok = :pg.join(@scope, __MODULE__, self())
    send(self(), :look)
    {:ok, %{senders: %{}}}
  end

  @impl true
  def handle_info({:load, node, loads}, state) do
    :ets.insert(@table, {node, 0, loads})
    Load.heard(node)
    {:noreply, state}
  end

  # This process counts, instead of comparing times, so that a pause of this BEAM is not taken for one of the others.
  def handle_info(:look, state) do
    for [node] <- :ets.match(@table, {:"$1", :_, :_}), do: :ets.update_counter(@table, node, 1)
    Process.send_after(self(), :look, @pause)
    {:noreply, %{state | senders: start_senders(state.senders)}}
  end

  def handle_info({:nodedown, node, _info}, state) do
    :ets.delete(@table, node)
    Load.heard(node)
    {:noreply, state}
  end

  def handle_info({:DOWN, _monitor, :process, pid, _reason}, state) do
    {:noreply, %{state | senders: Map.reject(state.senders, &match?({_node, ^pid}, &1))}}
  end

  def handle_info(_message, state), do: {:noreply, state}

  defp start_senders(senders) do
    for pid <- :pg.get_members(@scope, __MODULE__),
        node(pid) != node(),
        not is_map_key(senders, node(pid)),
        into: senders do
      node = node(pid)

      {sender, _monitor} =
        :erlang.spawn_opt(fn -> send_load(node) end, [:link, :monitor, priority: :high])

      {node, sender}
    end
  end

  # One process for each node, because a message to a machine that hangs blocks its sender.
  defp send_load(node) do
    message = {:load, node(), Load.of_group(:_)}

    if Process.send({__MODULE__, node}, message, [:noconnect]) == :ok do
      Process.sleep(@pause)
      send_load(node)
    end
  end
end
