defmodule BeamBpy.Pool.Queue do
  @moduledoc false
  # The callers that wait for a Blender, in the order of their arrival. Each can be removed at any time.

  defstruct order: :gb_trees.empty(), keys: %{}, next: 0

  @type key :: reference()
  @type t(waiter) :: %__MODULE__{
          order: :gb_trees.tree(non_neg_integer(), {key(), waiter}),
          keys: %{key() => non_neg_integer()},
          next: non_neg_integer()
        }
  @type t :: t(term())

  @doc """
  Adds a waiter at the end.

      iex> alias BeamBpy.Pool.Queue
      iex> [a, b] = [make_ref(), make_ref()]
      iex> queue = %Queue{} |> Queue.push(a, "first") |> Queue.push(b, "second")
      iex> {{^a, "first"}, queue} = Queue.pop(queue)
      iex> {"second", queue} = Queue.remove(queue, b)
      iex> Queue.pop(queue)
      nil
  """
  @spec push(t(waiter), key(), waiter) :: t(waiter) when waiter: term()
  def push(%__MODULE__{order: order, keys: keys, next: next}, key, waiter) do
    %__MODULE__{
      order: :gb_trees.insert(next, {key, waiter}, order),
      keys: Map.put(keys, key, next),
      next: next + 1
    }
  end

  @doc "Removes the first waiter."
  @spec pop(t(waiter)) :: {{key(), waiter}, t(waiter)} | nil when waiter: term()
  def pop(%__MODULE__{keys: keys}) when map_size(keys) == 0, do: nil

  def pop(%__MODULE__{order: order, keys: keys} = queue) do
    {_number, {key, _waiter} = first, order} = :gb_trees.take_smallest(order)
    {first, %{queue | order: order, keys: Map.delete(keys, key)}}
  end

  @doc "Removes the waiter with this key; returns it, or nil if there is none."
  @spec remove(t(waiter), key()) :: {waiter | nil, t(waiter)} when waiter: term()
  def remove(%__MODULE__{order: order, keys: keys} = queue, key) do
    case Map.pop(keys, key) do
      {nil, _keys} ->
        {nil, queue}

      {number, keys} ->
        {{^key, waiter}, order} = :gb_trees.take(number, order)
        {waiter, %{queue | order: order, keys: keys}}
    end
  end

  @doc "The number of waiters."
  @spec size(t()) :: non_neg_integer()
  def size(%__MODULE__{keys: keys}), do: map_size(keys)
end
