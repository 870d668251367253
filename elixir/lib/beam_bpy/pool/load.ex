defmodule BeamBpy.Pool.Load do
  @moduledoc false
  # The load of each pool of this node, in an ETS table. Each pool writes its own row, and callers read it.
  #
  # So a caller of a full pool gets its error without a message to the pool, however many such callers there are.
  #
  # A row also has the number of requests that callers have sent and the pool has not read. Their callers may wait, too, so
  # they count. It is too large, until no caller waits, if a caller is killed before it sends its request. The pool has the
  # last word in any case.

  @table __MODULE__

  # The places in a row.
  @waiting 2
  @max_waiting 3
  @idle 4
  @group 5
  @load 6
  @requests 7

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
    changes = [
      {@waiting, load.waiting},
      {@max_waiting, load.max_waiting},
      {@idle, load.idle},
      {@group, load.group},
      {@load, load} | if(load.waiting == 0, do: [{@requests, 0}], else: [])
    ]

    :ets.update_element(@table, load.name, changes) || :ets.insert(@table, new_row(load))
    if load.group, do: :ets.delete(@table, {:asked, node(), load.name})
    :ok
  end

  defp new_row(load),
    do: {load.name, load.waiting, load.max_waiting, load.idle, load.group, load, 0}

  @doc "Removes the row of a pool."
  @spec delete(atom()) :: :ok
  def delete(pool) do
    :ets.delete(@table, pool)
    :ok
  end

  @doc "The pools of this node that have this group, or any group: `:_`."
  @spec of_group(atom()) :: [t()]
  def of_group(group) do
    for [load] <- :ets.match(@table, {:_, :_, :_, :_, group, :"$1", :_}),
        load.group != nil,
        do: load
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

  @doc """
  Counts a request of the calling process, unless no further caller may wait for this pool.

  Returns whether the request is counted, and nil if the pool has to decide, or is not one of this node.
  """
  @spec count_request(term()) :: boolean() | nil
  def count_request(pool) do
    case :ets.lookup(@table, pool) do
      # A caller may have given a Blender back just now, and the pool reads that before the request.
      [{_pool, _waiting, 0, _idle, _group, _load, _requests}] ->
        nil

      [{_pool, waiting, max_waiting, idle, _group, _load, requests}] ->
        waiting + requests < max_waiting + idle and counted?(pool)

      [] ->
        nil
    end
  end

  # Others may have sent requests since the row was read.
  defp counted?(pool) do
    counters = [{@requests, 1}, {@waiting, 0}, {@max_waiting, 0}, {@idle, 0}]
    [requests, waiting, max_waiting, idle] = :ets.update_counter(@table, pool, counters)
    fits? = waiting + requests <= max_waiting + idle
    unless fits?, do: request_read(pool)
    fits?
  rescue
    # The pool has ended meanwhile.
    ArgumentError -> nil
  end

  @doc "Whether no further caller may wait for this pool of this node."
  @spec full?(atom()) :: boolean()
  def full?(pool) do
    match?(
      [{_pool, waiting, max_waiting, idle, _group, _load, requests}]
      when waiting + requests >= max_waiting + idle,
      :ets.lookup(@table, pool)
    )
  end

  @doc "A request that was counted does not count any more."
  @spec request_read(term()) :: :ok
  def request_read(pool) do
    :ets.update_counter(@table, pool, {@requests, -1, 0, 0})
    :ok
  end
end
