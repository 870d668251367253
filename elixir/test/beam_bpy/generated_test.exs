defmodule BeamBpy.GeneratedTest do
  # Not async: the compiler's warnings go to standard error, and IEx prints to a common device.
  use BeamBpy.Case, async: false

  import ExUnit.CaptureIO

  alias BeamBpy.{Error, Generator, Worker}

  # The compiler does not know the module, because a test compiles it.
  @compile {:no_warn_undefined, OddHandlers}
  @handlers Path.expand("../support/odd_handlers.py", __DIR__)

  setup_all do
    {:ok, worker} = Worker.start_link(command: {:python, python()}, handlers: [@handlers])
    {:ok, node} = Worker.node_of(worker)
    {:ok, descriptions} = BeamBpy.handlers(node)
    source = Generator.source("OddHandlers", descriptions, node)
    folder = Path.join(System.tmp_dir!(), "beam-bpy-#{BeamBpy.TestRun.unique()}")
    compile(source, folder)

    on_exit(fn ->
      Code.delete_path(folder)
      File.rm_rf!(folder)
    end)

    %{source: source, beam: Path.join(folder, "Elixir.OddHandlers.beam")}
  end

  # Compiles to a file, because IEx reads the documentation and the types from the file.
  defp compile(source, folder) do
    File.mkdir_p!(folder)
    before = Map.take(Code.compiler_options(), [:docs, :debug_info])
    Code.put_compiler_option(:docs, true)
    Code.put_compiler_option(:debug_info, true)

    warnings =
      capture_io(:stderr, fn ->
        for {module, binary} <- Code.compile_string(source) do
          File.write!(Path.join(folder, "#{module}.beam"), binary)
        end
      end)

    for {option, value} <- before, do: Code.put_compiler_option(option, value)
    Code.prepend_path(folder)
    assert warnings == ""
  end

  describe "calls" do
    test "a handler with all kinds of parameters" do
      types = ["str", "str", "float", "str", "Mode", "NoneType"]
      assert OddHandlers.everything("a", "b") == {:ok, {6, types}}
      assert OddHandlers.everything!("a", "b") == {6, types}
      assert {:ok, {6, [_, _, "int", "str", "Mode", _]}} = OddHandlers.everything("a", "b", 7)

      assert {:ok, {9, [_, _, _, _, _, _, "int", "str", "NoneType"]}} =
               OddHandlers.everything("a", "b", 1.0, "b", 1, 2, [3, "4", nil])
    end

    test "options after arguments that are left out" do
      assert {:ok, {6, _}} =
               OddHandlers.everything("a", "b", :default, :default, :default, :default, [],
                 timeout: 60_000
               )
    end

    test "an argument that is left out before one that is given" do
      for {first, rest} <- [{:default, []}, {1.0, [1]}] do
        assert_raise ArgumentError, fn ->
          OddHandlers.everything("a", "b", first, :default, 1, :default, rest)
        end
      end
    end

    test "parameters with the names of the variables of the function" do
      assert OddHandlers.look_at!("a", %{size: 1}) ==
               %{"target" => "a", "options" => %{size: 1}, "default" => 1}

      assert OddHandlers.words!(1, 2, 3, 4, 5, 6, 7, 8, 9, 10) == Enum.to_list(1..10)
    end

    test "any number of arguments are a list" do
      assert OddHandlers.say([1, "a", [size: 2]]) == {:ok, [1, "a", [size: 2]]}
      assert OddHandlers.say!([]) == []
      assert OddHandlers.count!([1, 2, 3]) == 3
    end

    test "names of functions of Kernel" do
      for name <- [:send, :node, :self, :length, :if] do
        assert apply(OddHandlers, name, [[1, 2]]) == {:ok, [Atom.to_string(name), 1, 2]}
      end
    end

    test "handlers of several modules" do
      assert OddHandlers.move!([1]) == [nil, 1]
      assert OddHandlers.physics_move!([1]) == ["Physics", 1]
      assert OddHandlers.physics_rigid_move!([1]) == ["physics.rigid", 1]
      assert OddHandlers.deep_module_move!([1]) == ["Deep.Module", 1]
    end

    test "the comment shows how to call a handler without a function", %{source: source} do
      for name <- ["case", "def", "end", "Ping", "größe", "my name", "+", ~S(a#{1}), "save!"] do
        [call] =
          for [call] <- Regex.scan(~r/BeamBpy\.call\(.*\)/, source),
              {_, _, [_target, handler | _]} = Code.string_to_quoted!(call),
              handler == String.to_atom(name),
              do: call

        assert {{:ok, [^name, 1]}, _} = Code.eval_string(call, target: target(), args: [1])
      end
    end

    test "texts that try to become code are only texts" do
      for name <- OddHandlers.__info__(:functions) |> Keyword.keys() |> Enum.uniq(),
          String.starts_with?(Atom.to_string(name), "attack_"),
          not String.ends_with?(Atom.to_string(name), "!") do
        assert {:ok, text} = apply(OddHandlers, name, [])
        assert is_binary(text)
      end
    end

    test "a long handler, with its result or as a stream" do
      assert OddHandlers.long() == {:ok, "done"}
      assert OddHandlers.long!(1) == "done"
      # Another handler has the name of the function for the stream.
      assert OddHandlers.stream_long!([1]) == ["stream_long", 1]
      assert Enum.to_list(OddHandlers.stream_slow(2)) == [progress: 0, progress: 1, ok: "done"]
      assert Enum.to_list(OddHandlers.stream_slow()) == [progress: 0, ok: "done"]
    end

    test "errors" do
      assert {:error, %Error{kind: :python, type: "ValueError"}} = OddHandlers.fails()
      assert_raise Error, fn -> OddHandlers.fails!() end
      assert_raise ArgumentError, fn -> OddHandlers.fails(unknown: 1) end
    end

    test "another target" do
      missing = unique_node()
      assert {:error, %Error{kind: :not_connected}} = OddHandlers.fails(target: missing)

      assert {:error, %Error{kind: :not_connected}} =
               OddHandlers.physics_move([1], target: missing)
    end
  end

  # The node that the functions call is where the handler fails.
  defp target do
    {:error, %Error{node: node}} = OddHandlers.fails()
    node
  end

  describe "documentation" do
    test "the docstring, the signature and the defaults", %{beam: beam} do
      {:docs_v1, _, :elixir, "text/markdown", %{"en" => _}, _, docs} = Code.fetch_docs(beam)

      {_, _, ["everything" <> signature], %{"en" => doc}, %{defaults: 6}} =
        List.keyfind(docs, {:function, :everything, 8}, 0)

      assert signature ==
               "(text, data, number \\\\ :default, choice \\\\ :default, mode \\\\ :default, nothing \\\\ :default, " <>
                 "more \\\\ [], options \\\\ [])"

      assert doc =~
               ~S'*emphasis*, `code`, a \ backslash, #{System.halt(77)}, """quotes""" and “Ünïcödé”.'

      assert doc =~
               "\n  * `number` (float) - a number\n    that is described in two lines. Default: `1.5`.\n"

      assert doc =~ "\n      * `size` - the size in metres, default 2.0.\n"
      assert doc =~ "\n  * `choice` - Default: `\"a\"`.\n"

      assert doc =~
               "## Raises\n\n  * `ValueError` - never.\n  * `LookupError` - if nothing\n    is found."

      for {{:function, _, _}, _, _, doc, _} <- docs, do: assert(%{"en" => _} = doc)
    end

    test "the typespecs", %{source: source} do
      spaces = ~r/\s+/
      source = String.replace(source, spaces, " ")

      assert source =~
               "@spec everything( String.t(), binary(), number() | :default, String.t() | :default, term(), " <>
                 "integer() | nil | :default, [integer()], keyword() ) :: " <>
                 "{:ok, {integer(), [String.t()]}} | {:error, BeamBpy.Error.t()}"

      assert source =~ "@spec long!(integer() | :default, keyword()) :: String.t()"
      assert source =~ "@spec fails!(keyword()) :: nil"
    end

    test "IEx shows it" do
      {:ok, _} = Application.ensure_all_started(:iex)
      Application.put_env(:iex, :colors, enabled: false)

      shown = capture_io(fn -> IEx.Introspection.h({OddHandlers, :everything}) end)

      assert shown =~ "number \\\\ :default"
      assert shown =~ "@spec everything("
      assert shown =~ "Return how many arguments came, and their types."
    end
  end
end
