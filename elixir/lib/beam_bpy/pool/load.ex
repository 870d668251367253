defmodule BeamBpy.Pool.Load do
  @moduledoc false
  # The load of each pool of this node, in an ETS table. Each pool writes its own row, and callers read it.
  #
  # So a caller of a full pool gets its error without a message to the pool, however many such callers there are.

  @table __MODULE__

  @type t :: %{
          waiting: non_neg_integer(),
          max_waiting: non_neg_integer(),
          busy: non_neg_integer(),
          max: pos_integer()
        }

  @doc "Creates the table. The calling process owns it."
  @spec create() :: :ok
  def create do
    :ets.new(@table, [:named_table, :public, read_concurrency: true])
    :ok
  end

  @doc "Writes the row of a pool."
  @spec write(atom(), t()) :: :ok
  def write(pool, %{waiting: waiting, max_waiting: max_waiting, busy: busy, max: max}) do
    :ets.insert(@table, {pool, waiting, max_waiting, busy, max})
    :ok
  end

  @doc "Removes the row of a pool."
  @spec delete(atom()) :: :ok
  def delete(pool) do
    :ets.delete(@table, pool)
    :ok
  end

  @doc "Reads the row of a pool of this node."
  @spec read(term()) :: t() | nil
  def read(pool) do
    case :ets.lookup(@table, pool) do
      [{_pool, waiting, max_waiting, busy, max}] ->
        %{waiting: waiting, max_waiting: max_waiting, busy: busy, max: max}

      [] ->
        nil
    end
  end

  @doc "Whether no further caller may wait for this pool."
  @spec full?(term()) :: boolean()
  def full?(pool) do
    match?(
      [{_pool, waiting, max_waiting, busy, max}] when waiting >= max_waiting and busy >= max,
      :ets.lookup(@table, pool)
    )
  end
end
