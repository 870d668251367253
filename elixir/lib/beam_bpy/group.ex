defmodule BeamBpy.Group do
  @moduledoc false
  # The choice of a pool, among the pools of a group on all connected nodes.
  #
  # A caller waits in the queue of the pool that is the least busy. While it waits, it looks for a pool that has a free
  # Blender, and then waits there too. The first lease counts, and the others go back unused. A call is sent only with a
  # lease, so a caller whose node is lost while it waits can go elsewhere: its call has certainly not started.

  alias BeamBpy.{Call, Error, Lease, Runner}
  alias BeamBpy.Group.Members
  alias BeamBpy.Pool.Load

  # Milliseconds between two looks at the other pools.
  @look 200

  @doc "Waits for a lease of any pool of a group, see `BeamBpy.Lease.checkout/2`."
  @spec checkout(atom(), keyword()) :: {:ok, Lease.t()} | {:error, Error.t()}
  def checkout(group, options) do
    choose(%{
      group: group,
      options: options,
      since: Call.now(),
      # Without an option, the default of the first pool that is asked.
      timeout: options[:timeout],
      # The runners that wait for a lease, and the pool of each. The key is the `ref` of the runner.
      runners: %{},
      pools: %{},
      asked_here?: false,
      # The errors of pools, by node and name.
      refused: %{}
    })
  end

  @doc "The nodes and names of the pools of a group that answer."
  @spec pools(atom()) :: [{node(), atom()}]
  def pools(group), do: for(pool <- Members.pools(group), not pool.silent?, do: id(pool))

  @doc "The error of a group without pools."
  @spec no_pool(atom()) :: Error.t()
  def no_pool(group) do
    text =
      "no pool of the group #{inspect(group)} runs on this node or on a connected one: start a `BeamBpy.Pool` with " <>
        "`group: #{inspect(group)}`, and check with `Node.list()` that its node is connected"

    %Error{kind: :not_connected, text: text}
  end

  ## Choose

  defp choose(state) do
    known = Members.pools(state.group)
    pools = Enum.reject(known, &(is_map_key(state.refused, id(&1)) or &1.silent? or full?(&1)))

    cond do
      pools != [] -> pools |> Enum.min_by(&busyness/1) |> ask_first(state)
      known != [] and Enum.all?(known, & &1.silent?) -> wait(state)
      known == [] and state.refused == %{} -> {:error, no_pool(state.group)}
      true -> {:error, refusal(state)}
    end
  end

  # A full pool of another node may have a place again since its last message, so callers ask it: some, but not all of
  # ten thousand.
  defp full?(%{load: load, node: node}) when node == node(), do: Load.full?(load.name)

  defp full?(%{load: load}),
    do: load.idle == 0 and load.waiting >= load.max_waiting + load.max

  # The smallest is the best: a free Blender, then a place in the queue; then the least load; then without the network.
  defp busyness(%{load: load, node: node}) do
    {load.idle == 0, load.idle == 0 and load.waiting >= load.max_waiting,
     (load.working + load.waiting) / load.max, node != node(), :rand.uniform()}
  end

  defp ask_first(pool, state) do
    state = %{state | timeout: state.timeout || pool.load.timeout}

    if pool.node == node() and pool.load.idle > 0 and not state.asked_here?,
      do: ask_here(pool, state),
      else: pool |> ask(state) |> wait()
  end

  # A free Blender of this node needs no other process.
  defp ask_here(pool, state) do
    case Lease.checkout_free(pool.load.name, lease_options(state)) do
      :busy -> choose(%{state | asked_here?: true})
      {:ok, lease} -> {:ok, lease}
      {:error, error} -> state |> refuse(id(pool), error) |> choose()
    end
  end

  defp ask(pool, state) do
    Load.asked(pool.node, pool.load.name)
    runner = Runner.ask(pool.load.name, pool.node, lease_options(state))

    %{
      state
      | runners: Map.put(state.runners, runner.ref, runner),
        pools: Map.put(state.pools, runner.ref, id(pool))
    }
  end

  defp lease_options(state),
    do: [timeout: Call.rest(state.timeout, state.since), affinity: state.options[:affinity]]

  ## Wait

  defp wait(state) do
    rest = Call.rest(state.timeout || :infinity, state.since)

    case Runner.next_of(state.runners, min(rest, @look)) do
      {runner, {:leased, lease}} ->
        state |> forget(runner) |> forget_all()
        {:ok, %{lease | runner: runner}}

      {runner, {:refused, error}} ->
        Runner.close(runner, :unused)
        state |> refuse(state.pools[runner.ref], error) |> forget(runner) |> go_on()

      {runner, {:lost, error}} ->
        # The call may have waited there for long, so the other pools are asked again.
        Runner.close(runner, :unused)
        %{state | refused: %{state.pools[runner.ref] => error}} |> forget(runner) |> go_on()

      :no_event when rest <= @look ->
        forget_all(state)
        {:error, Lease.too_late(state.timeout)}

      :no_event ->
        state |> leave_silent() |> look_elsewhere() |> go_on()
    end
  end

  defp go_on(%{runners: runners} = state) when runners == %{}, do: choose(state)
  defp go_on(state), do: wait(state)

  # A machine that does not answer may get its message later. Its lease then goes back.
  defp leave_silent(state) do
    for {ref, {node, _name}} <- state.pools, Members.silent?(node), reduce: state do
      state ->
        Runner.close(state.runners[ref], :unused)
        forget(state, state.runners[ref])
    end
  end

  defp look_elsewhere(%{runners: runners} = state) when runners == %{}, do: state

  defp look_elsewhere(state) do
    {asked, others} =
      state.group
      |> Members.pools()
      |> Enum.reject(& &1.silent?)
      |> Enum.split_with(&(id(&1) in Map.values(state.pools)))

    served? = Enum.any?(asked, &(places(&1) >= 0))

    case Enum.filter(
           others,
           &(&1.load.idle > 0 or (not served? and places(&1) > 0))
         ) do
      [] -> state
      pools -> pools |> Enum.min_by(&busyness/1) |> ask(state)
    end
  end

  # How many more callers a pool can serve without the end of a call, perhaps with Blenders that it has to start.
  defp places(%{load: load}), do: load.max - load.working - load.waiting

  defp forget(state, runner) do
    %{
      state
      | runners: Map.delete(state.runners, runner.ref),
        pools: Map.delete(state.pools, runner.ref)
    }
  end

  defp forget_all(state) do
    for {_ref, runner} <- state.runners, do: Runner.close(runner, :unused)
    :ok
  end

  defp refuse(state, pool, error), do: %{state | refused: Map.put(state.refused, pool, error)}

  # No pool is left. `:full` means that all are full.
  defp refusal(%{refused: refused, group: group}) do
    Enum.find(Map.values(refused), &(&1.kind != :full)) || Lease.full({:group, group})
  end

  defp id(%{load: %{name: name}, node: node}), do: {node, name}
end
