defmodule BeamBpy.Generator.Docs do
  @moduledoc false
  # Translates a Python docstring to Markdown as Elixir programmers write it. The sections of Google's style become
  # headings and lists; all other text is taken as it is.

  @sections %{
    "Args" => {"Arguments", :names},
    "Arguments" => {"Arguments", :names},
    "Parameters" => {"Arguments", :names},
    "Raises" => {"Raises", :names},
    "Attributes" => {"Attributes", :names},
    "Returns" => {"Returns", :text},
    "Return" => {"Returns", :text},
    "Yields" => {"Progress", :text},
    "Example" => {"Examples", :code},
    "Examples" => {"Examples", :code},
    "Note" => {"Note", :text},
    "Notes" => {"Notes", :text}
  }

  @name "\\*{0,2}[^\\W\\d][\\w.]*"
  @kind "(?: \\([^()]*\\))?"

  @typedoc "The name of a parameter in Python, its variable in Elixir, and its default as text."
  @type parameter :: {name :: String.t(), variable :: String.t(), default :: String.t() | nil}

  @doc "The documentation of a handler. `notes` are paragraphs that follow the first one of the docstring."
  @spec markdown(String.t() | nil, [parameter()], [String.t()]) :: String.t()
  def markdown(docstring, parameters, notes) do
    {text, sections} = (docstring || "") |> lines() |> split()
    sections = with_arguments(sections, parameters)

    [text | notes]
    |> Enum.concat(Enum.map(sections, &section/1))
    |> Enum.reject(&(&1 == ""))
    |> Enum.join("\n\n")
  end

  defp lines(docstring) do
    docstring
    |> String.replace(["\r\n", "\r"], "\n")
    |> String.split("\n")
    |> Enum.map(&String.trim_trailing/1)
  end

  # The text before the first section, and the sections as {title, form, content}.
  defp split(lines) do
    {text, sections} =
      Enum.reduce(lines, {[], []}, fn line, {text, sections} ->
        case {Map.get(@sections, String.trim_trailing(line, ":")), String.ends_with?(line, ":"),
              sections} do
          {{title, form}, true, _} ->
            {text, [{title, form, []} | sections]}

          {_, _, []} ->
            {[line | text], []}

          {_, _, [{title, form, content} | before]} ->
            section_line(line, text, title, form, content, before)
        end
      end)

    {join_reversed(text), Enum.reverse(sections) |> Enum.map(&finish/1)}
  end

  # A line that is not indented ends the section.
  defp section_line(line, text, title, form, content, before) do
    if line == "" or String.starts_with?(line, [" ", "\t"]) or form == :plain do
      {text, [{title, form, [line | content]} | before]}
    else
      {text, [{nil, :plain, [line]}, {title, form, content} | before]}
    end
  end

  defp join_reversed(lines), do: lines |> Enum.reverse() |> Enum.join("\n") |> String.trim("\n")

  defp finish({title, :names, lines}),
    do: {title, :names, lines |> Enum.reverse() |> dedent() |> items()}

  defp finish({title, :text, lines}),
    do: {title, :text, lines |> Enum.reverse() |> dedent() |> body()}

  defp finish({title, form, lines}) do
    lines = Enum.reverse(lines)
    lines = if form == :code, do: dedent(lines), else: lines
    text = lines |> Enum.join("\n") |> String.trim("\n")
    {title, :text, if(form == :code and text =~ ~r/\A>>> /, do: indent(text, 4), else: text)}
  end

  defp dedent(lines) do
    width =
      lines
      |> Enum.reject(&(&1 == ""))
      |> Enum.map(&indentation/1)
      |> Enum.min(fn -> 0 end)

    Enum.map(lines, &String.slice(&1, width..-1//1))
  end

  defp indentation(line), do: String.length(line) - String.length(String.trim_leading(line))

  # The items `name: text` of a section, as {names, kind, lines}. Text without a name stays as it is.
  defp items(lines) do
    lines
    |> Enum.reduce([], fn line, items ->
      case {named(line), items} do
        {{names, text}, _} -> [{names, [text]} | items]
        {nil, [{names, content} | before]} -> [{names, [line | content]} | before]
        {nil, []} when line == "" -> []
        {nil, []} -> [{nil, [line]}]
      end
    end)
    |> Enum.reverse()
    |> Enum.map(fn {names, [_ | _] = content} ->
      [first | more] = Enum.reverse(content)
      {names, body([String.trim_leading(first) | dedent(more)])}
    end)
  end

  # `name: text`, `first, second: text` or `name (type): text`, at the beginning of the line.
  defp named(line) do
    regex = Regex.compile!("\\A((?:#{@name}#{@kind}, )*#{@name}#{@kind}):(?: (.*))?\\z", "u")

    case Regex.run(regex, line) do
      [_, names] -> {names, ""}
      [_, names, text] -> {names, text}
      nil -> nil
    end
  end

  # Text whose further lines are `name: text` has a list below its first line.
  defp body([first | more]) do
    case Enum.drop_while(dedent(more), &(&1 == "")) do
      [next | _] = more when next != "" ->
        if named(next) && not String.ends_with?(first, ","),
          do: with_list(first, more),
          else: plain(first, more)

      [] ->
        first
    end
  end

  defp body([]), do: ""

  defp plain(first, more), do: [first | more] |> Enum.join("\n") |> String.trim("\n")

  defp with_list(first, lines) do
    list =
      lines
      |> Enum.reduce([], fn line, items ->
        cond do
          match?({_, _}, named(line)) -> [named(line) | items]
          line == "" -> items
          String.starts_with?(line, " ") -> append(items, line)
          true -> [{nil, line} | items]
        end
      end)
      |> Enum.reverse()
      |> Enum.map_join("\n", &item/1)

    String.trim_trailing(first) <> "\n\n" <> list
  end

  defp append([{names, text} | items], line) do
    [{names, String.trim_leading(text <> " " <> String.trim(line))} | items]
  end

  # Each parameter with a default is in the list of arguments, also if the docstring does not mention it.
  defp with_arguments(sections, parameters) do
    {arguments, others} = Enum.split_with(sections, fn {title, _, _} -> title == "Arguments" end)
    documented = Enum.flat_map(arguments, fn {_, :names, items} -> items end)
    known = documented |> Enum.flat_map(fn {names, _} -> words(names) end) |> MapSet.new()

    items =
      Enum.map(documented, &with_parameter(&1, parameters)) ++
        for {name, variable, default} <- parameters,
            not MapSet.member?(known, name) and (default != nil or name != variable) do
          {variable, details("", [{name, variable, default}])}
        end

    if items == [], do: others, else: [{"Arguments", :names, items} | others]
  end

  defp with_parameter({names, text}, parameters) do
    here = Enum.filter(parameters, fn {name, _, _} -> name in words(names) end)
    renamed = Map.new(here, fn {name, variable, _} -> {name, variable} end)

    case here do
      [] -> {names, text}
      [_ | _] -> {names && rename(names, renamed), details(text, here)}
    end
  end

  defp rename(names, renamed) do
    Regex.replace(~r/\*{0,2}([^\W\d]\w*)((?: \([^()]*\))?)/u, names, fn _, name, kind ->
      Map.get(renamed, name, name) <> kind
    end)
  end

  # Adds the default, and the name in Python if it is another one. A list stays below the text.
  defp details(text, parameters) do
    added =
      for {name, variable, default} <- parameters,
          sentence <- [
            name != variable && "In Python: #{code(name)}.",
            default && "Default: #{code(default)}."
          ],
          sentence,
          do: sentence

    {first, rest} =
      case String.split(text, "\n\n", parts: 2) do
        [first, rest] -> {first, "\n\n" <> rest}
        [first] -> {first, ""}
      end

    Enum.join(Enum.reject([ended(first, added, rest)] ++ added, &(&1 == "")), " ") <> rest
  end

  defp ended("", _added, _rest), do: ""
  defp ended(text, [], _rest), do: text
  defp ended(text, _added, _rest), do: if(text =~ ~r/[.:!?…]\z/u, do: text, else: text <> ".")

  defp words(nil), do: []

  defp words(names) do
    ~r/([^\W\d]\w*)(?: \([^()]*\))?/u
    |> Regex.scan(names, capture: :all_but_first)
    |> List.flatten()
  end

  defp section({nil, _, text}), do: text
  defp section({_title, _, empty}) when empty in ["", []], do: ""

  defp section({title, :names, items}),
    do: "## #{title}\n\n" <> Enum.map_join(items, "\n", &item/1)

  defp section({title, _, text}), do: "## #{title}\n\n" <> text

  defp item({nil, text}), do: "  * " <> indent_rest(text, 4)

  defp item({names, ""}), do: "  * " <> coded(names)
  defp item({names, text}), do: "  * " <> coded(names) <> " - " <> indent_rest(text, 4)

  # Names in code spans; what stands in brackets after a name is not part of it.
  defp coded(names) do
    Regex.replace(~r/(\*{0,2}[^\W\d][\w.]*)((?: \([^()]*\))?)/u, names, fn _, name, kind ->
      code(name) <> kind
    end)
  end

  defp indent_rest(text, width) do
    [first | more] = String.split(text, "\n")
    Enum.join([first | Enum.map(more, &indent(&1, width))], "\n")
  end

  defp indent("", _width), do: ""

  defp indent(text, width) do
    text
    |> String.split("\n")
    |> Enum.map_join("\n", &if(&1 == "", do: "", else: String.duplicate(" ", width) <> &1))
  end

  @doc "A text as a code span of Markdown, also if it contains backticks."
  @spec code(String.t()) :: String.t()
  def code(text) do
    longest =
      ~r/`+/
      |> Regex.scan(text)
      |> Enum.map(fn [run] -> byte_size(run) end)
      |> Enum.max(fn -> 0 end)

    if longest == 0 do
      "`#{text}`"
    else
      fence = String.duplicate("`", longest + 1)
      "#{fence} #{text} #{fence}"
    end
  end
end
