defmodule BeamBpy do
  @moduledoc """
  Calls handlers of Blenders.
  """

  alias BeamBpy.{Error, Remote}

  @typedoc "A node, a `BeamBpy.Worker` or a `BeamBpy.Pool`."
  @type target :: node() | GenServer.server() | {:group, atom()}

  @call_options [:timeout, :module]

  @doc "Calls a handler and waits for its result."
  @spec call(target(), atom(), [term()], keyword()) :: {:ok, term()} | {:error, Error.t()}
  def call(target, function, args \\ [], options \\ [])
      when is_atom(function) and is_list(args) do
    options = Keyword.validate!(options, @call_options)
    timeout = Keyword.get(options, :timeout, 30_000)
    Remote.call(target, {Keyword.get(options, :module, Blender), function, args}, timeout)
  end

  @doc "Like `call/4`, but returns the result itself, and raises `BeamBpy.Error`."
  @spec call!(target(), atom(), [term()], keyword()) :: term()
  def call!(target, function, args \\ [], options \\ []) do
    case call(target, function, args, options) do
      {:ok, result} -> result
      {:error, error} -> raise error
    end
  end

  @doc "Describes the handlers that a node has for this caller."
  @spec handlers(target()) :: {:ok, [map()]} | {:error, Error.t()}
  def handlers(target), do: call(target, :describe_handlers, [])
end
