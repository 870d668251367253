defmodule BeamBpy.Generated do
  @moduledoc """
  Modules that `mix beam_bpy.gen` has written call these functions.

  Programs call the generated module, or `BeamBpy`, and not this module.
  """

  alias BeamBpy.Error

  @typedoc "The name of a handler, alone or with the module to which it answers."
  @type handler :: atom() | {module(), atom()}

  @doc "Calls a handler with `BeamBpy.call/4`. The option `:target` replaces the default target."
  @spec call(BeamBpy.target(), handler(), [term()], keyword()) ::
          {:ok, term()} | {:error, Error.t()}
  def call(target, handler, args, options) do
    {target, name, options} = resolve(target, handler, options)
    BeamBpy.call(target, name, args, options)
  end

  @doc "Like `call/4`, with `BeamBpy.call!/4`."
  @spec call!(BeamBpy.target(), handler(), [term()], keyword()) :: term()
  def call!(target, handler, args, options) do
    {target, name, options} = resolve(target, handler, options)
    BeamBpy.call!(target, name, args, options)
  end

  @doc "Like `call/4`, with `BeamBpy.stream/4`."
  @spec stream(BeamBpy.target(), handler(), [term()], keyword()) :: Enumerable.t()
  def stream(target, handler, args, options) do
    {target, name, options} = resolve(target, handler, options)
    BeamBpy.stream(target, name, args, options)
  end

  @doc """
  The list of arguments for a handler with optional parameters.

  `optional` has the name and the value of each optional argument. Those that are `:default` are left out, so that
  Python uses its own default. `rest` are the further arguments of a handler that takes any number of them.

      iex> BeamBpy.Generated.args(["Crate"], size: 2.0, parent: :default)
      ["Crate", 2.0]

  Arguments have no names in a call. So `:default` can be followed by no other argument:

      iex> BeamBpy.Generated.args(["Crate"], size: :default, parent: "Car")
      ** (ArgumentError) give size, too: an argument after it is given, and only the last arguments can be left out
  """
  @spec args([term()], keyword(), [term()]) :: [term()]
  def args(required, optional, rest \\ []) when is_list(rest) do
    given = if rest == [], do: without_last_defaults(optional), else: optional

    case List.keyfind(given, :default, 1) do
      nil ->
        required ++ Keyword.values(given) ++ rest

      {name, :default} ->
        raise ArgumentError,
              "give #{name}, too: an argument after it is given, and only the last arguments can be left out"
    end
  end

  defp without_last_defaults(optional) do
    optional
    |> Enum.reverse()
    |> Enum.drop_while(&match?({_name, :default}, &1))
    |> Enum.reverse()
  end

  defp resolve(target, handler, options) do
    {target, options} = Keyword.pop(options, :target, target)

    case handler do
      {module, name} -> {target, name, Keyword.put(options, :module, module)}
      name -> {target, name, options}
    end
  end
end
