defmodule BeamBpy.Generator do
  @moduledoc """
  Writes the source of a module from the descriptions of handlers. `mix beam_bpy.gen` uses it.

  ## Types

  The annotations of Python become typespecs. An annotation that is not in this table is `term()`.

  | Python | Elixir |
  |---|---|
  | `str` | `String.t()` |
  | `bytes`, `bytearray`, `memoryview` | `binary()` |
  | `int` | `integer()` |
  | `float` | `number()` for an argument, `float()` in a result |
  | `bool` | `boolean()` |
  | `None` | `nil` |
  | `list[X]`, `set[X]`, `frozenset[X]`, `Sequence[X]`, `Iterable[X]`, `Collection[X]` | `[X]` |
  | `list[tuple[str, X]]` | `[{atom() \\| String.t(), X}]` for an argument, because a keyword list is such a list |
  | `tuple[X, Y]` | `{X, Y}` |
  | `tuple`, `tuple[X, ...]` | `tuple()` |
  | `dict[K, V]`, `Mapping[K, V]`, `MutableMapping[K, V]` | `map()` |
  | `X \\| Y`, `Union[X, Y]`, `Optional[X]` | `X \\| Y`, `X \\| nil` |
  | `Literal[1, True, None]` | `1 \\| true \\| nil` |
  | `Literal["a"]` | `String.t()` |
  | `Annotated[X, …]` | `X` |
  | `Atom`, `Pid`, `Reference` of `beam_bpy` | `atom()`, `pid()`, `reference()` |
  | `Generator[X, Y, Z]` as the result of a long handler | `Z` |
  | `Any`, no annotation, any other annotation | `term()` |

  ## Names

  A handler whose name is not a function name in Elixir, such as `Ping` or `case`, has no function. A comment at the end
  of the module lists these handlers. `BeamBpy.call/4` calls them. If several handlers have the same name, those that
  answer only one module get the name of this module as a prefix: `physics_move` for `move` of `Physics`.
  """

  alias BeamBpy.Generator.{Docs, Typespec}

  @reserved ~w(true false nil when and or not in fn do end catch rescue after else)
  # A module cannot define these functions, or the generated source uses the macro with this name.
  @taken ~w(def defp defmodule module_info) ++
           Enum.map(Keyword.keys(Kernel.SpecialForms.__info__(:macros)), &Atom.to_string/1)

  # A function has at most 255 parameters, and an atom at most 255 characters: `stream_` and `!` are added to names.
  @most_parameters 254
  @longest_name 240

  @typedoc "A handler, as `BeamBpy.handlers/1` describes it."
  @type description :: map()

  @doc """
  The source of a module.

    * `module` - the name of the module, such as `"MyApp.Scene"`.
    * `descriptions` - what `BeamBpy.handlers/1` returns. Their order has no effect.
    * `target` - the pool, worker or node that the functions call by default.

  Nothing in a description becomes code: names that are not plain words are left out or replaced, and all other texts are
  contents of strings and comments.
  """
  @spec source(String.t(), [description()], atom()) :: String.t()
  def source(module, descriptions, target) do
    {functions, left_out} = descriptions |> Enum.sort_by(&sort_key/1) |> named()
    names = MapSet.new(functions, fn {name, _} -> name end)

    body = [
      moduledoc(),
      if(functions == [], do: [], else: "@target #{inspect(target)}\n\n"),
      Enum.map(functions, fn {name, description} -> functions(name, description, names) end),
      comment(left_out)
    ]

    source = IO.iodata_to_binary(["defmodule ", module, " do\n", body, "end\n"])
    IO.iodata_to_binary([Code.format_string!(source), "\n"])
  end

  defp sort_key(description), do: {description.name, description.module || ""}

  defp moduledoc do
    heredoc("@moduledoc", """
    Handlers of Blender, as functions.

    `mix beam_bpy.gen` has written this module from the descriptions of the handlers. Don't edit it: run the task again.

    Each function returns `{:ok, result}` or `{:error, error}` with a `BeamBpy.Error`. The function with the same name and
    `!` returns the result itself, or raises the error. A function whose name begins with `stream_` returns the stream of
    `BeamBpy.stream/4`.

    The last parameter of each function is a keyword list of options:

      * `:target` - the pool, worker or node to call
      * all other options of `BeamBpy.call/4`, such as `:timeout`

    An optional argument that is `:default` is left out, so that Python uses its own default.
    """)
  end

  # Names

  # The handlers that get functions, as {name of the function, description}, and those that do not, with the reason.
  defp named(descriptions) do
    counts = Enum.frequencies_by(descriptions, & &1.name)

    descriptions
    |> Enum.map(&{function_name(&1, counts), &1})
    |> Enum.reduce({[], [], MapSet.new()}, fn {name, description}, {functions, left_out, used} ->
      case reason(name, description, used) do
        nil -> {[{name, description} | functions], left_out, MapSet.put(used, name)}
        reason -> {functions, [{description, reason} | left_out], used}
      end
    end)
    |> then(fn {functions, left_out, _used} ->
      {Enum.reverse(functions), Enum.reverse(left_out)}
    end)
  end

  defp function_name(%{name: name, module: module}, counts) do
    if counts[name] > 1 and module != nil do
      prefix = module |> Macro.underscore() |> String.replace(~r/[^a-z0-9_]/, "_")
      "#{prefix}_#{name}"
    else
      name
    end
  end

  defp reason(name, description, used) do
    cond do
      not (name =~ ~r/\A[a-z_][a-zA-Z0-9_]*\z/) or name =~ ~r/\A_+\z/ ->
        "a name of a function has only the letters a to z, digits and underscores, and begins with a small letter"

      name in @reserved ->
        "the name is a reserved word"

      name in @taken or String.starts_with?(name, "__") ->
        "Elixir itself uses the name"

      byte_size(name) > @longest_name ->
        "the name has more than #{@longest_name} characters"

      length(description.parameters) > @most_parameters ->
        "it has more than #{@most_parameters} parameters"

      MapSet.member?(used, name) ->
        "another handler already has the function #{name}"

      true ->
        nil
    end
  end

  # The names of the variables of a handler, which are all different: {variable, parameter}.
  defp variables(parameters) do
    {variables, _used} =
      Enum.map_reduce(parameters, MapSet.new(), fn parameter, used ->
        variable = free(variable(parameter.name), used, 1)
        {{variable, parameter}, MapSet.put(used, variable)}
      end)

    variables
  end

  defp variable(name) do
    name =
      name
      |> String.normalize(:nfd)
      |> String.replace(~r/\p{Mn}/u, "")
      |> String.replace(~r/[^a-zA-Z0-9_]+/, "_")
      |> String.trim("_")

    name = if name =~ ~r/\A[A-Z]/, do: Macro.underscore(name), else: name
    name = String.slice(name, 0, @longest_name)

    cond do
      not (name =~ ~r/\A[a-z]/) -> String.trim_trailing("arg_" <> name, "_")
      name in @reserved -> name <> "_"
      true -> name
    end
  end

  defp free(variable, used, number) do
    candidate = if number == 1, do: variable, else: "#{variable}_#{number}"
    if MapSet.member?(used, candidate), do: free(variable, used, number + 1), else: candidate
  end

  # Functions

  defp functions(name, description, names) do
    variables = variables(description.parameters)
    {required, optional, rest} = parts(variables)

    options =
      if List.keymember?(variables, "options", 0), do: last_name(variables), else: "options"

    head =
      Enum.join(
        required ++ Enum.map(optional, &"#{&1} \\\\ :default") ++ rest_head(rest, optional),
        ", "
      )

    head = if head == "", do: "#{options} \\\\ []", else: "#{head}, #{options} \\\\ []"
    call = "(@target, #{handler(description)}, #{args(required, optional, rest)}, #{options})"
    types = argument_types(variables, optional) ++ ["keyword()"]
    result = result_type(description)

    [
      heredoc("@doc", doc(description, variables, optional)),
      "@spec #{name}(#{Enum.join(types, ", ")}) :: {:ok, #{result}} | {:error, BeamBpy.Error.t()}\n",
      "def #{name}(#{head}) do\nBeamBpy.Generated.call#{call}\nend\n\n",
      "@doc " <>
        quoted(
          "Like `#{name}/#{length(types)}`, but returns the result itself, and raises `BeamBpy.Error`."
        ) <> "\n",
      "@spec #{name}!(#{Enum.join(types, ", ")}) :: #{result}\n",
      "def #{name}!(#{head}) do\nBeamBpy.Generated.call!#{call}\nend\n\n",
      if(description.options.long, do: stream(name, head, call, types, names), else: [])
    ]
  end

  defp stream(name, head, call, types, names) do
    stream = "stream_" <> name

    if MapSet.member?(names, stream) do
      "# `BeamBpy.stream/4` shows the progress of `#{name}`: another handler has the name `#{stream}`.\n\n"
    else
      [
        "@doc " <>
          quoted(
            "Like `#{name}/#{length(types)}`, but returns a stream of its progress and of its result."
          ) <> "\n",
        "@spec #{stream}(#{Enum.join(types, ", ")}) :: Enumerable.t()\n",
        "def #{stream}(#{head}) do\nBeamBpy.Generated.stream#{call}\nend\n\n"
      ]
    end
  end

  # The variables that have to be given, those that can be left out, and the one for all further arguments.
  defp parts(variables) do
    {rest, positional} =
      Enum.split_with(variables, fn {_, parameter} -> parameter.kind == :variadic end)

    {optional, required} =
      positional
      |> Enum.reverse()
      |> Enum.split_while(fn {_, parameter} -> not parameter.required end)

    names = fn variables -> Enum.map(variables, fn {variable, _} -> variable end) end
    {names.(Enum.reverse(required)), names.(Enum.reverse(optional)), names.(rest)}
  end

  defp last_name(variables) do
    used = MapSet.new(variables, fn {variable, _} -> variable end)
    free("call_options", used, 1)
  end

  defp rest_head(rest, []), do: rest
  defp rest_head(rest, _optional), do: Enum.map(rest, &"#{&1} \\\\ []")

  defp args(required, [], []), do: "[#{Enum.join(required, ", ")}]"
  defp args([], [], [rest]), do: rest

  defp args(required, optional, rest) do
    optional = Enum.map_join(optional, ", ", &"#{&1}: #{&1}")

    "BeamBpy.Generated.args(#{Enum.join(["[#{Enum.join(required, ", ")}]", "[#{optional}]" | rest], ", ")})"
  end

  defp handler(%{name: name, module: nil}), do: atom(name)
  defp handler(%{name: name, module: module}), do: "{#{module_atom(module)}, #{atom(name)}}"

  # The rule of the node: a name that begins with a capital letter is an Elixir module.
  defp module_atom(module) do
    cond do
      module =~ ~r/\A[A-Z]\w*(\.[A-Z]\w*)*\z/ -> module
      module =~ ~r/\A\p{Lu}/u -> atom("Elixir." <> module)
      true -> atom(module)
    end
  end

  defp atom(text) do
    if text =~ ~r/\A[a-zA-Z_][a-zA-Z0-9_]*[!?]?\z/, do: ":" <> text, else: ":" <> quoted(text)
  end

  defp argument_types(variables, optional) do
    for {variable, parameter} <- variables do
      type = Typespec.translate(parameter.type, :argument)

      cond do
        parameter.kind == :variadic -> "[#{type}]"
        variable in optional and type != "term()" -> "#{type} | :default"
        true -> type
      end
    end
  end

  defp result_type(%{options: %{long: true}} = description) do
    description |> Map.get(:returns) |> Typespec.long_result()
  end

  defp result_type(description),
    do: description |> Map.get(:returns) |> Typespec.translate(:result)

  # Documentation and comments

  defp doc(description, variables, optional) do
    parameters =
      for {variable, parameter} <- variables do
        {parameter.name, variable, if(variable in optional, do: default(parameter))}
      end

    Docs.markdown(description.doc, parameters, notes(description))
  end

  defp default(%{default: default}) do
    inspect(default, limit: 20, printable_limit: 200, width: :infinity)
  end

  defp default(_parameter), do: ":default"

  defp notes(%{module: nil} = description), do: first_note(description)

  defp notes(%{module: module} = description) do
    first_note(description) ++ ["Calls the handler of the module #{Docs.code(one_line(module))}."]
  end

  defp first_note(%{doc: doc, name: name}) when doc in [nil, ""] do
    ["Calls the handler `#{name}`, which has no docstring."]
  end

  defp first_note(_description), do: []

  defp comment([]), do: []

  defp comment(left_out) do
    lines =
      for {description, reason} <- left_out do
        module =
          if description.module,
            do: ", module: #{one_line(module_atom(description.module))}",
            else: ""

        "# #{one_line(atom(description.name))}: #{reason}.\n" <>
          "#     BeamBpy.call(target, #{one_line(atom(description.name))}, args#{module})\n"
      end

    ["# These handlers have no function. Call them with BeamBpy:\n#\n" | lines]
  end

  # A text for one line of a comment or of a paragraph.
  defp one_line(text), do: text |> escape() |> String.replace("\n", "\\n")

  defp heredoc(attribute, text) do
    text =
      text
      |> String.trim_trailing("\n")
      |> String.replace("\\", "\\\\")
      |> String.replace("\"\"\"", "\\\"\\\"\\\"")
      |> String.replace("\#{", "\\\#{")
      |> escape()

    [attribute, " \"\"\"\n", text, "\n\"\"\"\n"]
  end

  defp quoted(text) do
    text =
      text
      |> String.replace("\\", "\\\\")
      |> String.replace("\"", "\\\"")
      |> String.replace("\#{", "\\\#{")
      |> String.replace("\n", "\\n")
      |> escape()

    "\"#{text}\""
  end

  # Characters that cannot be seen, or that change the direction of the text, must not stand in source code.
  defp escape(text) do
    Regex.replace(~r/[^\P{C}\n]|[\p{Zl}\p{Zp}]/u, text, fn character ->
      <<codepoint::utf8>> = character
      "\\u{#{Integer.to_string(codepoint, 16)}}"
    end)
  end
end
