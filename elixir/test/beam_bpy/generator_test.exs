defmodule BeamBpy.GeneratorTest do
  # Not async: these tests read what the compiler prints to standard error.
  use BeamBpy.Case, async: false

  import ExUnit.CaptureIO

  alias BeamBpy.Generator
  alias BeamBpy.Generator.{Docs, Typespec}

  doctest BeamBpy.Generated

  @options %{long: false}

  # Texts that would become code, or would stop the compiler, if they were not escaped.
  @attacks [
    ~S|"""|,
    ~S|""""""|,
    ~S|\"""|,
    ~S|#{send(self(), :injected)}|,
    ~S|\#{send(self(), :injected)}|,
    "\\",
    "\"\"\"\nsend(self(), :injected)\n\"\"\"",
    "a\nend\nsend(self(), :injected)",
    "\r\nend",
    "\u202E",
    "\u2066",
    "\u2028",
    "\u0085",
    <<0>>,
    "\e[31m",
    "`",
    "'''",
    "~S|",
    "Args:\n    a: b\n\nReturns:",
    "Args:\n\nReturns:\nRaises:\n    :\n"
  ]

  defp handler(name, fields \\ []) do
    Map.merge(
      %{
        name: name,
        module: nil,
        owner: nil,
        doc: nil,
        parameters: [],
        returns: nil,
        options: @options
      },
      Map.new(fields)
    )
  end

  defp parameter(name, fields \\ []) do
    Map.merge(%{name: name, kind: :positional, type: nil, required: true}, Map.new(fields))
  end

  # Compiles without warnings, calls the function with the module, and deletes the module.
  defp compiled(handlers, function) do
    name = "BeamBpy.GeneratorTest.M#{System.unique_integer([:positive])}"
    source = Generator.source(name, handlers, :"nobody@127.0.0.1")

    warnings =
      capture_io(:stderr, fn -> send(self(), {:compiled, Code.compile_string(source)}) end)

    assert warnings == "", warnings <> source
    assert_received {:compiled, [{module, _binary}]}

    try do
      function.(module, source)
    after
      :code.purge(module)
      :code.delete(module)
    end
  end

  defp functions(handlers) do
    compiled(handlers, fn module, _source -> module.__info__(:functions) end)
  end

  describe "names of handlers" do
    test "every function and macro of Kernel, with each number of parameters" do
      names =
        (Kernel.__info__(:functions) ++ Kernel.__info__(:macros))
        |> Enum.map(fn {name, _arity} -> Atom.to_string(name) end)
        |> Enum.uniq()

      for count <- [0, 2] do
        parameters = for number <- 1..count//1, do: parameter("p#{number}")

        compiled(Enum.map(names, &handler(&1, parameters: parameters)), fn module, source ->
          for name <- names do
            exported? = function_exported?(module, String.to_atom(name), count + 1)
            assert exported? or source =~ "BeamBpy.call(target, :"
          end

          for name <- [:send, :self, :node, :length, :if, :raise, :to_string, :use] do
            assert function_exported?(module, name, count)
          end
        end)
      end
    end

    test "special forms and reserved words are left out with a reason" do
      names =
        ~w(true false nil when and or not in fn do end catch rescue after else def defp defmodule module_info
           case cond for with try receive quote unquote unquote_splicing alias import require super __MODULE__ __info__
           __struct__ _ __)

      compiled(Enum.map(names, &handler/1), fn module, source ->
        assert module.__info__(:functions) == []

        for name <- names,
            do:
              assert(
                source =~ ~r/# :#{name}: .+\n\s+#     BeamBpy.call\(target, :#{name}, args\)/
              )
      end)
    end

    test "names that are not names of functions are left out with a reason" do
      names =
        [
          "Ping",
          "größe",
          "名前",
          "my name",
          "a-b",
          "+",
          "a.b",
          "1st",
          "save!",
          "ok?",
          "@",
          "a\nend",
          ""
        ] ++
          [String.duplicate("a", 255)] ++ @attacks

      compiled(Enum.map(names, &handler/1), fn module, source ->
        assert module.__info__(:functions) == []
        assert length(String.split(source, "BeamBpy.call(target, ")) == length(names) + 1
      end)
    end

    test "a comment shows a call that names the handler" do
      for name <- ["Ping", "größe", "my name", "a\"b", "a\\b", ~S(a#{1}), "a\u202Eb", "a\u2028b"] do
        compiled([handler(name, module: "Deep.Module")], fn _module, source ->
          [call] = Regex.run(~r/BeamBpy\.call\(.*\)/, source)
          assert {_call, _, [_target, called, _args, [module: _]]} = Code.string_to_quoted!(call)
          assert called == String.to_atom(name)
        end)
      end
    end

    test "functions with and without optional parameters, and of long handlers" do
      optional = [parameter("a"), parameter("b", required: false, default: 1)]

      assert functions([
               handler("one"),
               handler("two", parameters: optional, options: %{long: true})
             ]) ==
               [
                 one: 0,
                 one: 1,
                 one!: 0,
                 one!: 1,
                 stream_two: 1,
                 stream_two: 2,
                 stream_two: 3,
                 two: 1,
                 two: 2,
                 two: 3,
                 two!: 1,
                 two!: 2,
                 two!: 3
               ]
    end

    test "the same name for several modules" do
      handlers =
        for module <- [nil, "Physics", "Deep.Module", "erlang"],
            do: handler("move", module: module)

      names = handlers |> functions() |> Keyword.keys() |> Enum.uniq()

      assert Enum.reject(names, &String.ends_with?(Atom.to_string(&1), "!")) ==
               [:deep_module_move, :erlang_move, :move, :physics_move]
    end

    test "a name with the prefix of a module that another handler has" do
      handlers = [handler("move", module: "A"), handler("move", module: "B"), handler("b_move")]

      compiled(handlers, fn module, source ->
        assert function_exported?(module, :a_move, 0)
        assert source =~ "another handler already has the function b_move"
      end)
    end

    test "a handler has priority over the function for the progress of another one" do
      handlers = [
        handler("render", options: %{long: true}),
        handler("stream_render", parameters: [parameter("x")])
      ]

      compiled(handlers, fn module, source ->
        refute function_exported?(module, :stream_render, 0)
        assert function_exported?(module, :stream_render, 1)
        assert source =~ "another handler has the name `stream_render`"
      end)
    end

    test "modules that are no names of modules" do
      for module <- ["a b", "Élan", "Foo bar", "nil", "A.b"] ++ @attacks do
        compiled([handler("move", module: module), handler("Ping", module: module)], fn _, _ ->
          :ok
        end)

        functions([handler("move", module: module), handler("move")])
      end
    end
  end

  describe "names of parameters" do
    test "reserved words, names of variables of the function, repeated and invalid names" do
      names =
        ~w(true nil when end fn do options options target self args X ABC aB _x __x __ _ arg 名 größe Größe GRÖSSE x x) ++
          ["a b", "%", ""] ++ @attacks

      for required <- [true, false], kind <- [:positional, :variadic] do
        last = parameter("options", kind: kind, required: required)
        parameters = Enum.map(names, &parameter(&1, required: required)) ++ [last]
        functions([handler("call", parameters: parameters)])
        Enum.each(parameters, &functions([handler("call", parameters: [&1])]))
      end
    end

    test "more parameters than a function can have" do
      for count <- [254, 255, 300] do
        parameters = for number <- 1..count, do: parameter("p#{number}")

        names =
          functions([handler("wide", parameters: parameters)]) |> Keyword.keys() |> Enum.uniq()

        assert names == if(count == 254, do: [:wide, :wide!], else: [])
      end
    end
  end

  describe "texts" do
    test "nothing in a description becomes code" do
      for text <- @attacks,
          other <- ["", "Text.\n\nArgs:\n    value: ", "Args:\n    ", "Returns:\n    "] do
        parameter = parameter("value", type: text, required: false, default: text)

        fields = [
          doc: other <> text,
          parameters: [parameter],
          returns: "Literal['#{text}', #{text}]",
          owner: text
        ]

        compiled([handler("attack", fields)], fn module, _source ->
          assert {:error, _} = module.attack()
        end)
      end

      refute_received :injected
    end

    test "a docstring arrives as it is, if it has no sections" do
      for text <-
            @attacks ++
              ["# *Head* _line_ <b> [link](x) | a | `code` ünï 🎲", "  a\n    b\n\n\n\tc"] do
        unless text =~ ~r/Args:|\r/ do
          assert doc(handler("a", doc: "a#{text}b")) == "a#{text}b"
        end
      end
    end

    test "the sections of a docstring" do
      docstring = """
      Does it.

      More.

      Args:
          name: the name
              in two lines.
          given (dict): the options
              size: a number,
                  default 2.0.
              first, second (radians): numbers.
              The others keep their value.
          width, height: the size
          *rest: others.

      Returns:
          A map:
              key: a value.

      Raises:
          ValueError: if not.
      """

      parameters = [
        parameter("name"),
        parameter("given", required: false, default: nil),
        parameter("width", required: false, default: 640),
        parameter("end", required: false, default: "`"),
        parameter("rest", kind: :variadic, required: false)
      ]

      assert doc(handler("it", doc: docstring, parameters: parameters)) == """
             Does it.

             More.

             ## Arguments

               * `name` - the name
                 in two lines.
               * `given` (dict) - the options. Default: `nil`.

                   * `size` - a number, default 2.0.
                   * `first`, `second` (radians) - numbers.
                   * The others keep their value.
               * `width`, `height` - the size. Default: `640`.
               * `rest` - others.
               * `end_` - In Python: `end`. Default: `` "`" ``.

             ## Returns

             A map:

               * `key` - a value.

             ## Raises

               * `ValueError` - if not.\
             """
    end
  end

  describe "docstrings of any form" do
    @lines [
      "Args:",
      "Returns:",
      "Raises:",
      "Example:",
      "Yields:",
      "",
      "text",
      "    name: text",
      "    name:",
      "        more: text",
      "      text",
      "    a, b (c): text",
      "  : ",
      "\ttab: x",
      "    >>> call()",
      "    (",
      ":"
    ]

    test "contain all their words" do
      :rand.seed(:exsss, {1, 2, 3})

      for _ <- 1..500 do
        lines =
          for number <- 1..:rand.uniform(8),
              do: String.replace(Enum.random(@lines), "text", "text#{number}")

        parameters = [{"name", "name", "1"}, {"b", "b", nil}, {"end", "end_", nil}]
        doc = Docs.markdown(Enum.join(lines, "\n"), parameters, [])

        for line <- lines, [word] <- Regex.scan(~r/text\d/, line), do: assert(doc =~ word)
      end
    end
  end

  describe "types" do
    test "annotations" do
      for {python, argument, result} <- [
            {nil, "term()", "term()"},
            {"str", "String.t()", "String.t()"},
            {"bytes", "binary()", "binary()"},
            {"memoryview", "binary()", "binary()"},
            {"int", "integer()", "integer()"},
            {"float", "number()", "float()"},
            {"bool", "boolean()", "boolean()"},
            {"None", "nil", "nil"},
            {"Any", "term()", "term()"},
            {"typing.Any", "term()", "term()"},
            {"object", "term()", "term()"},
            {"Euler", "term()", "term()"},
            {"list", "list()", "list()"},
            {"list[float]", "[number()]", "[float()]"},
            {"list[list[int]]", "[[integer()]]", "[[integer()]]"},
            {"collections.abc.Sequence[str]", "[String.t()]", "[String.t()]"},
            {"list[str | None]", "[String.t() | nil]", "[String.t() | nil]"},
            {"list[tuple[str, int]]", "[{atom() | String.t(), integer()}]",
             "[{String.t(), integer()}]"},
            {"tuple", "tuple()", "tuple()"},
            {"tuple[int, float]", "{integer(), number()}", "{integer(), float()}"},
            {"tuple[int, ...]", "tuple()", "tuple()"},
            {"tuple[()]", "tuple()", "tuple()"},
            {"dict", "map()", "map()"},
            {"dict[str, list[int]]", "map()", "map()"},
            {"Optional[int]", "integer() | nil", "integer() | nil"},
            {"typing.Union[int, str, None]", "integer() | String.t() | nil",
             "integer() | String.t() | nil"},
            {"str | bytes | str", "String.t() | binary()", "String.t() | binary()"},
            {"int | Euler", "term()", "term()"},
            {"Literal['a', \"b|]\", 'it\\'s']", "String.t()", "String.t()"},
            {"Literal[1, -2, True, False, None, b'x']", "1 | -2 | true | false | nil | binary()",
             "1 | -2 | true | false | nil | binary()"},
            {"Annotated[float, 'metres']", "number()", "float()"},
            {"Callable[[int], str]", "term()", "term()"},
            {"beam_bpy.Atom", "atom()", "atom()"}
          ] do
        assert {python, Typespec.translate(python, :argument),
                Typespec.translate(python, :result)} ==
                 {python, argument, result}
      end
    end

    test "a long handler returns the third type of its generator" do
      assert Typespec.long_result("collections.abc.Generator[tuple[int, int], None, list[str]]") ==
               "[String.t()]"

      assert Typespec.long_result("Iterator[int]") == "term()"
      assert Typespec.long_result(nil) == "term()"
    end

    test "every text is a valid typespec" do
      for text <-
            @attacks ++
              [
                "list[",
                "]",
                "|",
                "int |",
                "Literal[]",
                "Optional[]",
                "Union[]",
                "Literal[x]",
                "1",
                "..."
              ] do
        for position <- [:argument, :result],
            text <- [text, "Literal['#{text}']", "list[#{text}]", "int | #{text}"] do
          type = Typespec.translate(text, position)
          assert {:ok, _} = Code.string_to_quoted("@type t :: " <> type)

          compiled([handler("a", parameters: [parameter("a", type: text)], returns: text)], fn _,
                                                                                               _ ->
            :ok
          end)
        end
      end
    end
  end

  test "a thousand handlers" do
    handlers = for number <- 1..1_000, do: handler("handler_#{number}", doc: "Does #{number}.")
    source = Generator.source("A", handlers, Pool)

    {_ast, definitions} =
      source
      |> Code.string_to_quoted!()
      |> Macro.prewalk(0, fn
        {:def, _, _} = definition, count -> {definition, count + 1}
        other, count -> {other, count}
      end)

    assert definitions == 2_000
    assert handlers |> Enum.take(100) |> functions() |> length() == 400
  end

  test "the order of the descriptions has no effect" do
    handlers =
      for name <- ["b", "a", "c"], module <- [nil, "M"], do: handler(name, module: module)

    assert Generator.source("A", handlers, Pool) ==
             Generator.source("A", Enum.reverse(handlers), Pool)
  end

  test "the source is formatted" do
    source = Generator.source("A", [handler("a", doc: "x"), handler("Ping")], Pool)

    assert source == IO.iodata_to_binary([Code.format_string!(source), "\n"])
  end

  defp doc(handler) do
    source = Generator.source("A", [handler], Pool)
    {:defmodule, _, [_, [do: {:__block__, _, body}]]} = Code.string_to_quoted!(source)
    [doc, _bang] = for {:@, _, [{:doc, _, [doc]}]} <- body, do: doc
    String.trim_trailing(doc, "\n")
  end
end
