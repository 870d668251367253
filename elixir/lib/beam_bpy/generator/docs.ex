defmodule BeamBpy.Generator.Docs do
  @moduledoc false
  # Translates a Python docstring to Markdown as Elixir programmers write it. The sections of Google's style become
  # headings and lists; all other text is taken as it is.
  #
  # A section is {title, items} or {title, text}. An item is {names, text}, where `names` is the text before the colon,
  # such as "width, height", or nil for a sentence that stands between items.

  @sections %{
    "Args" => {"Arguments", :items},
    "Arguments" => {"Arguments", :items},
    "Parameters" => {"Arguments", :items},
    "Raises" => {"Raises", :items},
    "Attributes" => {"Attributes", :items},
    "Returns" => {"Returns", :text},
    "Yields" => {"Progress", :text},
    "Example" => {"Examples", :code},
    "Examples" => {"Examples", :code},
    "Note" => {"Note", :text},
    "Notes" => {"Notes", :text}
  }

  # A name, and its type in brackets.
  @name "(\\*{0,2}[^\\W\\d][\\w.]*)((?: \\([^()]*\\))?)"

  @typedoc "The name of a parameter in Python, its variable in Elixir, and its default as text."
  @type parameter :: {name :: String.t(), variable :: String.t(), default :: String.t() | nil}

  @doc "The documentation of a handler. `notes` are paragraphs between the text of the docstring and its sections."
  @spec markdown(String.t() | nil, [parameter()], [String.t()]) :: String.t()
  def markdown(docstring, parameters, notes) do
    {text, sections} = (docstring || "") |> lines() |> split()

    sections
    |> Enum.map(&read/1)
    |> with_parameters(parameters)
    |> Enum.map(&section/1)
    |> then(&([trimmed(text) | notes] ++ &1))
    |> Enum.reject(&(&1 == ""))
    |> Enum.join("\n\n")
  end

  # A text as a code span of Markdown, also if it contains backticks.
  @doc false
  @spec code(String.t()) :: String.t()
  def code(text) do
    runs = for [run] <- Regex.scan(~r/`+/, text), do: byte_size(run)

    if runs == [] do
      "`#{text}`"
    else
      fence = String.duplicate("`", Enum.max(runs) + 1)
      "#{fence} #{text} #{fence}"
    end
  end

  # Reading

  defp lines(docstring) do
    docstring
    |> String.split(["\r\n", "\r", "\n"])
    |> Enum.map(&String.trim_trailing/1)
  end

  # The lines before the first section, and the sections as {title, form, lines}. A line that is not indented ends a
  # section; what follows has no title.
  defp split(lines) do
    {text, rest} = Enum.split_while(lines, &(title(&1) == nil))
    {text, sections(rest)}
  end

  defp sections([]), do: []

  defp sections([line | rest]) do
    case title(line) do
      nil ->
        {text, rest} = Enum.split_while([line | rest], &(title(&1) == nil))
        [{nil, :plain, text} | sections(rest)]

      {title, form} ->
        {content, rest} =
          Enum.split_while(rest, &(&1 == "" or String.starts_with?(&1, [" ", "\t"])))

        [{title, form, dedent(content)} | sections(rest)]
    end
  end

  defp title(line) do
    if String.ends_with?(line, ":"), do: @sections[String.slice(line, 0..-2//1)]
  end

  defp read({title, :items, lines}), do: {title, items(lines)}
  defp read({title, :text, lines}), do: {title, body(lines)}

  defp read({title, :code, [">>> " <> _ | _] = lines}),
    do: {title, lines |> trimmed() |> indent(4)}

  defp read({title, _form, lines}), do: {title, trimmed(lines)}

  # Each line `names: text` that is not indented begins an item.
  defp items(lines) do
    lines
    |> Enum.chunk_while(nil, &chunk/2, &{:cont, &1, nil})
    |> Enum.reject(&(&1 == nil))
    |> Enum.map(fn {names, [first | more]} ->
      {names, body([first | more |> Enum.reverse() |> dedent()])}
    end)
  end

  # The lines after the first one are in reverse order.
  defp chunk(line, item) do
    case {named(line), item} do
      {{names, text}, _} -> {:cont, item, {names, [text]}}
      {nil, nil} -> {:cont, nil, if(line != "", do: {nil, [line]})}
      {nil, {names, [first | more]}} -> {:cont, {names, [first, line | more]}}
    end
  end

  # `name: text`, `first, second: text` or `name (type): text`.
  defp named(line) do
    case Regex.run(~r/\A((?:#{@name}, )*#{@name}):(?: (.*))?\z/u, line) do
      nil -> nil
      [_, names | groups] -> {names, Enum.at(groups, 4, "")}
    end
  end

  # A text has a list below its first line, if its second line is `names: text`.
  defp body([]), do: ""

  defp body([first | more]) do
    more = dedent(more)

    case Enum.find(more, &(&1 != "")) do
      nil -> first
      next -> if named(next), do: first <> "\n\n" <> list(more), else: trimmed([first | more])
    end
  end

  defp list(lines) do
    lines
    |> Enum.reject(&(&1 == ""))
    |> Enum.reduce([], fn line, items ->
      case {named(line), items} do
        {{_names, _text} = item, _} -> [item | items]
        {nil, [{names, text} | before]} -> continued(line, names, text, before)
      end
    end)
    |> Enum.reverse()
    |> Enum.map_join("\n", &item/1)
  end

  defp continued(" " <> _ = line, names, text, before) do
    [{names, String.trim_leading(text <> " " <> String.trim(line))} | before]
  end

  defp continued(line, names, text, before), do: [{nil, line}, {names, text} | before]

  defp dedent(lines) do
    width =
      lines
      |> Enum.reject(&(&1 == ""))
      |> Enum.map(&(String.length(&1) - String.length(String.trim_leading(&1))))
      |> Enum.min(fn -> 0 end)

    Enum.map(lines, &String.slice(&1, width..-1//1))
  end

  defp trimmed(lines), do: lines |> Enum.join("\n") |> String.trim("\n")

  # Parameters

  # Each optional or renamed parameter is in the list of arguments, also if the docstring does not mention it.
  defp with_parameters(sections, parameters) do
    {arguments, others} = Enum.split_with(sections, &match?({"Arguments", _}, &1))
    documented = Enum.flat_map(arguments, fn {_title, items} -> items end)
    known = Enum.flat_map(documented, fn {names, _text} -> words(names) end)

    added =
      for {name, variable, default} = parameter <- parameters,
          name not in known and (default != nil or name != variable),
          do: {variable, details("", [parameter])}

    [{"Arguments", Enum.map(documented, &with_details(&1, parameters)) ++ added} | others]
  end

  defp with_details({nil, text}, _parameters), do: {nil, text}

  defp with_details({names, text}, parameters) do
    here = Enum.filter(parameters, fn {name, _, _} -> name in words(names) end)
    variables = Map.new(here, fn {name, variable, _} -> {name, variable} end)

    names =
      Regex.replace(~r/#{@name}/u, names, fn _, name, kind ->
        Map.get(variables, String.trim_leading(name, "*"), name) <> kind
      end)

    {names, details(text, here)}
  end

  defp words(nil), do: []

  defp words(names) do
    for [_, name, _kind] <- Regex.scan(~r/#{@name}/u, names), do: String.trim_leading(name, "*")
  end

  # Adds the default, and the name in Python if it is another one. A list stays below the text.
  defp details(text, parameters) do
    [first | list] = String.split(text, "\n\n", parts: 2)

    sentences =
      for {name, variable, default} <- parameters,
          sentence <- [
            if(name != variable, do: "In Python: #{code(name)}."),
            default && "Default: #{code(default)}."
          ],
          sentence != nil,
          do: sentence

    first =
      if sentences == [] or first == "" or first =~ ~r/[.!?…:]\z/u, do: first, else: first <> "."

    [first | sentences]
    |> Enum.reject(&(&1 == ""))
    |> Enum.join(" ")
    |> then(&Enum.join([&1 | list], "\n\n"))
  end

  # Writing

  defp section({_title, empty}) when empty in ["", []], do: ""
  defp section({nil, text}), do: text
  defp section({title, text}) when is_binary(text), do: "## #{title}\n\n" <> text
  defp section({title, items}), do: "## #{title}\n\n" <> Enum.map_join(items, "\n", &item/1)

  defp item({nil, text}), do: "  * " <> hanging(text)
  defp item({names, ""}), do: "  * " <> coded(names)
  defp item({names, text}), do: "  * " <> coded(names) <> " - " <> hanging(text)

  # Names in code spans; a type in brackets is not part of a name.
  defp coded(names) do
    Regex.replace(~r/#{@name}/u, names, fn _, name, kind -> code(name) <> kind end)
  end

  defp hanging(text), do: text |> indent(4) |> String.trim_leading(" ")

  defp indent(text, width) do
    text
    |> String.split("\n")
    |> Enum.map_join("\n", &if(&1 == "", do: "", else: String.duplicate(" ", width) <> &1))
  end
end
