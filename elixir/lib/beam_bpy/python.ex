defmodule BeamBpy.Python do
  @moduledoc ~S'''
  Runs Python code in a Blender, or in any Python program that is a node.

      children = [
        {BeamBpy.Pool,
         name: MyApp.Blender, command: :python, handlers: ["python_handlers"], allow_python: true}
      ]

      {:ok, 6} = BeamBpy.Python.eval(MyApp.Blender, "print('hello')\nsum(numbers)", %{numbers: [1, 2, 3]})

  The result is the value of the last expression, or nil if the last statement is no expression. What the code prints
  appears where this process prints: in IEx, or under the cell of a Livebook.

  > #### Consequences {: .warning}
  >
  > Whoever can call `run_python` can do everything that the user of the Python program can do: read and delete files,
  > and start programs. So it is off by default, and the user of the program has to allow it: with `allow_python: true`
  > for a `BeamBpy.Pool` or a `BeamBpy.Worker`, with `--allow-python`, or with the checkbox in Blender's preferences.
  > Never put text of strangers into the code; give it as an argument.

  The handler belongs to the extension *Python Handlers*. With `command: :python`, install the package
  `beam-bpy-python-handlers` and name it in `:handlers`, as above. With `command: :blender`, install and enable the
  extension.

  ## Values

  Arguments become variables of the code. A binary that is valid UTF-8 is a `str`, any other binary is `bytes`. Code that
  needs bytes in both cases writes `data if isinstance(data, bytes) else data.encode()`. The result must have a term, see
  the chapter about terms of the documentation of beam-bpy. An object of Blender has none: return its name.

  ## What remains

  Each call has new variables. In a pool, each call may also run in another Blender. What an earlier call has returned is
  a value of Elixir, which is an argument of the next call. Only what belongs to the program remains: the scene of
  Blender, imported modules, files. For several calls to one scene, use `BeamBpy.checkout/3`.

  ## The sigil

  `~PY` runs Python in the target of `set_target/2`, and passes variables of Elixir:

      import BeamBpy.Python
      set_target(MyApp.Blender)

      size = 2.5

      ~PY"""
      bpy.ops.mesh.primitive_cube_add(size=size)
      bpy.context.object.name
      """

  It needs Elixir 1.15; before that, use `eval/4`. See `sigil_PY/2`.
  '''

  alias BeamBpy.Error

  @typedoc "The names of variables, as atoms or strings, and their values."
  @type arguments :: %{optional(atom() | String.t()) => term()} | keyword()

  @type option ::
          BeamBpy.call_option()
          | {:output, IO.device() | (String.t() -> term())}
          | {:max_output, non_neg_integer()}

  @keywords ~w(False None True and as assert async await break class continue def del elif else except finally for from
               global if import in is lambda nonlocal not or pass raise return try while with yield)

  @doc """
  Runs code, and returns the value of its last expression.

      {:ok, 3} = BeamBpy.Python.eval(MyApp.Blender, "x + 1", %{x: 2})

  If the code raises an exception, the error has the kind `:python`, with Python's `type`, `text` and `traceback`, and with
  the `output` until then. If Python is not allowed, it has the kind `:erlang` and the reason
  `{:error, {:not_allowed, sentence}}`. Without the handlers of *Python Handlers*, the kind is `:undef`.

  ## Options

    * `:output` - where the text goes that the code prints: an IO device such as `:stdio` or `:stderr`, or a function that
      gets the text. The text comes in one piece at the end. Default: `:stdio`
    * `:max_output` - the largest number of characters of this text. Default: `100_000`
    * all options of `BeamBpy.call/4`
  """
  @spec eval(BeamBpy.target(), String.t(), arguments(), [option()]) ::
          {:ok, term()} | {:error, Error.t()}
  def eval(target, code, arguments \\ %{}, options \\ [])
      when is_binary(code) and (is_map(arguments) or is_list(arguments)) do
    {own, call_options} = Keyword.split(options, [:output, :max_output])
    device = own |> Keyword.get(:output, :stdio) |> device!()
    handler_options = own |> Keyword.take([:max_output]) |> Map.new()

    case BeamBpy.call(
           target,
           :run_python,
           [code, Map.new(arguments), handler_options],
           call_options
         ) do
      {:ok, %{result: result, output: output}} ->
        write(device, output)
        {:ok, result}

      {:error, error} ->
        write(device, error.output)
        {:error, error}
    end
  end

  @doc "Like `eval/4`, but returns the result itself, and raises `BeamBpy.Error`."
  @spec eval!(BeamBpy.target(), String.t(), arguments(), [option()]) :: term()
  def eval!(target, code, arguments \\ %{}, options \\ []) do
    case eval(target, code, arguments, options) do
      {:ok, result} -> result
      {:error, error} -> raise error
    end
  end

  @doc """
  Sets the target of `~PY` for this process.

      BeamBpy.Python.set_target(MyApp.Blender, timeout: 120_000)

  The options are those of `eval/4`. Other processes, also tasks of this one, have their own target: call it there, or use
  `eval/4`. All cells of a Livebook run in one process, except those of branching sections and of `Kino.listen/2`.
  """
  @spec set_target(BeamBpy.target(), [option()]) :: :ok
  def set_target(target, options \\ []) when is_list(options) do
    Process.put(__MODULE__, {target, options})
    :ok
  end

  @doc ~S'''
  Runs Python in the target of `set_target/2`, and returns the value of the last expression. Raises `BeamBpy.Error`.

      import BeamBpy.Python
      set_target(MyApp.Blender)

      names = ["Crate", "Barrel"]

      ~PY"""
      print(len(names))
      [name.upper() for name in names]
      """

  Every variable of Elixir whose name occurs in the code as a word is an argument. Names that begin with `_` or end with `?`
  or `!`, and keywords of Python, are never arguments. Variables that the code sets do not become variables of Elixir:
  bind the result.

  A sigil in capital letters has no interpolation and no escapes: `#{x}` and `\n` reach Python as they are.
  '''
  defmacro sigil_PY({:<<>>, _meta, [code]}, []) when is_binary(code) do
    arguments = for name <- variables(__CALLER__, code), do: {name, Macro.var(name, nil)}

    quote do
      BeamBpy.Python.__run__(unquote(code), %{unquote_splicing(arguments)})
    end
  end

  @doc false
  def __run__(code, arguments) do
    case Process.get(__MODULE__) do
      {target, options} ->
        eval!(target, code, arguments, options)

      nil ->
        raise ArgumentError,
              "this process has no target for ~PY: call `BeamBpy.Python.set_target(target)` in it first"
    end
  end

  defp variables(env, code) do
    words = Regex.scan(~r/[\p{L}_][\p{L}\p{N}_]*/u, code) |> MapSet.new(&hd/1)

    for {name, nil} <- Macro.Env.vars(env),
        text = Atom.to_string(name),
        text in words and text not in @keywords and not String.starts_with?(text, "_"),
        do: name
  end

  defp device!(device) when is_atom(device) or is_pid(device) or is_function(device, 1),
    do: device

  defp device!(other) do
    raise ArgumentError,
          "the option :output has to be an IO device or a function with one argument, not #{inspect(other)}"
  end

  defp write(_device, nothing) when nothing in [nil, ""], do: :ok
  defp write(device, text) when is_function(device), do: device.(text)
  defp write(device, text), do: IO.write(device, text)
end
