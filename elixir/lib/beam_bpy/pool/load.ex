defmodule BeamBpy.Pool.Load do
  @moduledoc false
  # The load of each pool of this node, in an ETS table. Each pool writes its own row, and callers read it.
  #
  # So a caller of a full pool gets its error without a message to the pool, however many such callers there are.

  @table __MODULE__

  @typedoc """
  `idle` Blenders are free, `working` ones are not, and the others of `max` have not been started or are starting.
  `timeout` is the default of the pool for calls, and `group` the name of its group or nil.
  """
  @type t :: %{
          name: atom(),
          group: atom(),
          waiting: non_neg_integer(),
          max_waiting: non_neg_integer(),
          idle: non_neg_integer(),
          working: non_neg_integer(),
          max: pos_integer(),
          timeout: timeout()
        }

  @doc "Creates the table. The calling process owns it."
  @spec create() :: :ok
  def create do
    :ets.new(@table, [:named_table, :public, read_concurrency: true])
    :ok
  end

  @doc "Writes the row of a pool."
  @spec write(t()) :: :ok
  def write(load) do
    :ets.insert(@table, {load.name, load.waiting, load.max_waiting, load.idle, load.group, load})
    if load.group, do: :ets.delete(@table, {:asked, node(), load.name})
    :ok
  end

  @doc "Removes the row of a pool."
  @spec delete(atom()) :: :ok
  def delete(pool) do
    :ets.delete(@table, pool)
    :ok
  end

  @doc "The pools of this node that have this group, or any group: `:_`."
  @spec of_group(atom()) :: [t()]
  def of_group(group) do
    for [load] <- :ets.match(@table, {:_, :_, :_, :_, group, :"$1"}), load.group != nil, do: load
  end

  @doc """
  Counts a caller that asks a pool of a node, until its load is news again.

  Without it, many callers at once would all choose the same pool of a group.
  """
  @spec asked(node(), atom()) :: :ok
  def asked(node, pool) do
    :ets.update_counter(@table, {:asked, node, pool}, 1, {nil, 0})
    :ok
  end

  @doc "The load of a pool of a node, with the callers that were counted."
  @spec with_asked(t(), node()) :: t()
  def with_asked(load, node) do
    case :ets.lookup(@table, {:asked, node, load.name}) do
      [{_key, asked}] -> %{load | idle: max(0, load.idle - asked), waiting: load.waiting + asked}
      [] -> load
    end
  end

  @doc "Forgets the callers of a node that were counted: its load is new."
  @spec heard(node()) :: :ok
  def heard(node) do
    :ets.match_delete(@table, {{:asked, node, :_}, :_})
    :ok
  end

  @doc "How many callers wait for a pool of this node."
  @spec waiting(atom()) :: non_neg_integer()
  def waiting(pool) do
    case :ets.lookup(@table, pool) do
      [row] -> elem(row, 1)
      [] -> 0
    end
  end

  @doc "Whether no further caller may wait for this pool."
  @spec full?(term()) :: boolean()
  def full?(pool) do
    match?(
      [{_pool, waiting, max_waiting, 0, _group, _load}] when waiting >= max_waiting,
      :ets.lookup(@table, pool)
    )
  end
end
