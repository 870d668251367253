defmodule BeamBpy.Pool.Slot do
  @moduledoc false
  # One place for a Blender in a pool. Its number is part of the node name, so each Blender in it has the same name.

  @enforce_keys [:number]
  defstruct [
    :number,
    # :off, :starting, :idle, :busy, :checking, :ending, or :failed while the pool waits for the next attempt.
    state: :off,
    pid: nil,
    monitor: nil,
    node: nil,
    # The lease of a busy slot; the reference of a check, or of an idle time, in other states.
    ref: nil,
    # The timer of an idle time.
    timer: nil,
    affinity: nil,
    calls: 0,
    failures: 0,
    idle_since: 0
  ]

  @type state :: :off | :starting | :idle | :busy | :checking | :ending | :failed
  @type t :: %__MODULE__{
          number: pos_integer(),
          state: state(),
          pid: pid() | nil,
          monitor: reference() | nil,
          node: node() | nil,
          ref: reference() | nil,
          timer: reference() | nil,
          affinity: term(),
          calls: non_neg_integer(),
          failures: non_neg_integer(),
          idle_since: integer()
        }

  @doc "Whether a program runs in this slot, or soon will."
  @spec live?(t()) :: boolean()
  def live?(%__MODULE__{state: state}), do: state not in [:off, :failed]

  @doc """
  The best of these idle slots for a call: one with the same affinity, else one without, else the one that has been idle
  for the longest time. Without a preference it is the lowest number, so that the others can end.
  """
  @spec best([t()], term()) :: t() | nil
  def best([], _affinity), do: nil

  def best(slots, affinity) do
    Enum.min_by(slots, fn slot ->
      cond do
        affinity != nil and slot.affinity == affinity -> {0, slot.number}
        slot.affinity == nil -> {1, slot.number}
        affinity == nil -> {2, slot.number}
        true -> {2, slot.idle_since}
      end
    end)
  end
end
