defmodule BeamBpy.Generator.Typespec do
  @moduledoc false
  # Translates Python's annotations to typespecs; `BeamBpy.Generator` has the table. The result is built from the words
  # in this module only, so no text of an annotation becomes code. What this module does not understand is `term()`.

  @type position :: :argument | :result

  @longest 2_000

  @plain %{
    "str" => "String.t()",
    "bytes" => "binary()",
    "bytearray" => "binary()",
    "memoryview" => "binary()",
    "int" => "integer()",
    "bool" => "boolean()",
    "None" => "nil",
    "NoneType" => "nil",
    "Atom" => "atom()",
    "Pid" => "pid()",
    "Reference" => "reference()",
    "tuple" => "tuple()",
    "Tuple" => "tuple()"
  }

  @lists ~w(list List set Set frozenset FrozenSet Sequence Iterable Collection)
  @maps ~w(dict Dict Mapping MutableMapping)
  @tuples ~w(tuple Tuple)

  @doc "The typespec of a parameter or of a result."
  @spec translate(String.t() | nil, position()) :: String.t()
  def translate(annotation, position)
      when is_binary(annotation) and byte_size(annotation) <= @longest do
    with {:ok, tokens} <- tokens(annotation, []),
         {type, []} <- union(tokens) do
      show(type, position)
    else
      _not_understood -> "term()"
    end
  end

  def translate(_annotation, _position), do: "term()"

  @doc "The typespec of what a long handler returns: the third type of `Generator[Yield, Send, Return]`."
  @spec long_result(String.t() | nil) :: String.t()
  def long_result(annotation) when is_binary(annotation) and byte_size(annotation) <= @longest do
    with {:ok, tokens} <- tokens(annotation, []),
         {{"Generator", [_yield, _send, result]}, []} <- union(tokens) do
      show(result, :result)
    else
      _not_understood -> "term()"
    end
  end

  def long_result(_annotation), do: "term()"

  # The grammar: type {"|" type}, where a type is a dotted name, a name with types in brackets, a list of types in
  # brackets, or a literal. Each function returns {tree, further tokens}, or :error.

  defp tokens("", tokens), do: {:ok, Enum.reverse(tokens)}

  defp tokens(text, tokens) do
    with {token, size} <- Enum.find_value(rules(), :error, &first_token(text, &1)) do
      rest = binary_part(text, size, byte_size(text) - size)
      tokens(rest, if(token == :space, do: tokens, else: [token | tokens]))
    end
  end

  # The text of b'...' comes before a name, because it begins like one. Of a dotted name, the last part counts.
  defp rules do
    [
      {~r/\A\s+/, fn _match -> :space end},
      {~r/\Ab(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")/su, fn _match -> :bytes end},
      {~r/\A(?:[^\W\d]\w*\.)*([^\W\d]\w*)/u, &{:name, &1}},
      {~r/\A\.\.\./, fn _match -> :ellipsis end},
      {~r/\A[\[\]|,()]/, & &1},
      {~r/\A-?\d{1,30}(?![\w.])/, &{:integer, String.to_integer(&1)}},
      {~r/\A(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")/su, fn _match -> :text end}
    ]
  end

  defp first_token(text, {regex, token}) do
    with [whole | groups] <- Regex.run(regex, text) do
      {token.(List.last([whole | groups])), byte_size(whole)}
    end
  end

  defp union(tokens) do
    with {first, rest} <- single(tokens), do: union_rest(rest, [first])
  end

  defp union_rest(["|" | tokens], types) do
    with {type, rest} <- single(tokens), do: union_rest(rest, [type | types])
  end

  defp union_rest(rest, [type]), do: {type, rest}
  defp union_rest(rest, types), do: {{"Union", Enum.reverse(types)}, rest}

  defp single([{:name, name}, "[" | tokens]) do
    with {types, rest} <- several(tokens, "]"), do: {{name, types}, rest}
  end

  defp single([{:name, name} | rest]), do: {{name, nil}, rest}
  defp single([{:integer, _} = literal | rest]), do: {literal, rest}
  defp single([literal | rest]) when literal in [:text, :bytes, :ellipsis], do: {literal, rest}

  defp single([open | tokens]) when open in ["[", "("] do
    close = if open == "[", do: "]", else: ")"
    with {_types, rest} <- several(tokens, close), do: {:group, rest}
  end

  defp single(_tokens), do: :error

  defp several([close | rest], close), do: {[], rest}

  defp several(tokens, close) do
    with {type, rest} <- union(tokens) do
      case rest do
        [^close | rest] ->
          {[type], rest}

        ["," | rest] ->
          with {types, rest} <- several(rest, close), do: {[type | types], rest}

        _other ->
          :error
      end
    end
  end

  defp show(type, position) do
    alternatives = type |> alternatives(position) |> Enum.uniq()
    if "term()" in alternatives, do: "term()", else: Enum.join(alternatives, " | ")
  end

  defp alternatives({"Optional", [type]}, position) do
    alternatives(type, position) ++ ["nil"]
  end

  defp alternatives({"Union", [_ | _] = types}, position) do
    Enum.flat_map(types, &alternatives(&1, position))
  end

  defp alternatives({"Literal", [_ | _] = values}, _position), do: Enum.map(values, &literal/1)

  defp alternatives({"Annotated", [type | _notes]}, position), do: alternatives(type, position)
  defp alternatives(type, position), do: [one(type, position)]

  defp one({"float", nil}, :argument), do: "number()"
  defp one({"float", nil}, :result), do: "float()"
  defp one({list, nil}, _position) when list in @lists, do: "list()"
  defp one({map, _types}, _position) when map in @maps, do: "map()"

  # A keyword list arrives as a list of pairs, whose keys are atoms.
  defp one({list, [{tuple, [{"str", nil}, value]}]}, :argument)
       when list in @lists and tuple in @tuples do
    "[{atom() | String.t(), #{show(value, :argument)}}]"
  end

  defp one({list, [type]}, position) when list in @lists, do: "[#{show(type, position)}]"

  defp one({tuple, types}, position) when tuple in @tuples and is_list(types) do
    if :ellipsis in types or :group in types do
      "tuple()"
    else
      "{#{Enum.map_join(types, ", ", &show(&1, position))}}"
    end
  end

  defp one({name, nil}, _position), do: Map.get(@plain, name, "term()")
  defp one(_type, _position), do: "term()"

  defp literal(:text), do: "String.t()"
  defp literal(:bytes), do: "binary()"
  defp literal({:integer, value}), do: Integer.to_string(value)
  defp literal({"None", nil}), do: "nil"
  defp literal({"True", nil}), do: "true"
  defp literal({"False", nil}), do: "false"
  defp literal(_other), do: "term()"
end
