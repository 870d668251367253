defmodule Mix.Tasks.BeamBpy.GenTest do
  # Not async: the task uses the shell of Mix, and one test the variable of the cookie.
  use BeamBpy.Case, async: false

  alias BeamBpy.Worker
  alias Mix.Tasks.BeamBpy.Gen

  @handlers """
  def hello(name: str) -> str:
      return "Hello " + name

  def move(name):
      pass

  def register(server):
      server.expose(hello, owner="shop.greetings")
      server.expose(move, module="Physics")
  """

  setup_all do
    folder = Path.join(System.tmp_dir!(), "beam-bpy-#{BeamBpy.TestRun.unique()}")
    File.mkdir_p!(folder)
    on_exit(fn -> File.rm_rf!(folder) end)

    {:ok, worker} =
      Worker.start_link(
        command: {:python, python()},
        handlers: [handlers_file(folder, @handlers)]
      )

    {:ok, node} = Worker.node_of(worker)
    %{node: Atom.to_string(node)}
  end

  setup %{folder: folder} do
    shell = Mix.shell()
    Mix.shell(Mix.Shell.Process)
    on_exit(fn -> Mix.shell(shell) end)
    %{output: Path.join(folder, "scene.ex")}
  end

  defp functions(path) do
    {:defmodule, _, [name, [do: {:__block__, _, body}]]} =
      path |> File.read!() |> Code.string_to_quoted!()

    {Macro.to_string(name), for({:def, _, [{name, _, _}, _]} <- body, do: name)}
  end

  test "writes a module with all handlers", %{node: node, output: output} do
    Gen.run(["MyApp.Scene", "--node", node, "--output", output])

    assert functions(output) == {"MyApp.Scene", [:hello, :hello!, :move, :move!]}
    assert File.read!(output) =~ "@target :\"#{node}\"\n"
  end

  test "the file has the name of the module", %{node: node, folder: folder} do
    File.cd!(folder, fn -> Gen.run(["MyApp.Deep.SceneHandlers", "--node", node]) end)

    assert {"MyApp.Deep.SceneHandlers", _} =
             functions(Path.join(folder, "lib/my_app/deep/scene_handlers.ex"))
  end

  test "the file is formatted as the project says", %{node: node, folder: folder} do
    File.cd!(folder, fn ->
      File.write!(".formatter.exs", "[line_length: 60]")
      Gen.run(["A", "--node", node])
      source = File.read!("lib/a.ex")

      assert source == IO.iodata_to_binary([Code.format_string!(source, line_length: 60), "\n"])
      refute source =~ "def hello!(name, options \\\\ []) do\n    BeamBpy.Generated.call!(@target"
    end)
  end

  test "only the handlers of modules and owners", %{node: node, output: output} do
    for {only, expected} <- [
          {["Physics"], [:move, :move!]},
          {["shop.greetings"], [:hello, :hello!]},
          {["Physics", "shop.greetings"], [:hello, :hello!, :move, :move!]}
        ] do
      Gen.run(
        ["A", "--node", node, "--output", output, "--force"] ++
          Enum.flat_map(only, &["--only", &1])
      )

      assert functions(output) == {"A", expected}
    end

    assert_raise Mix.Error, fn ->
      Gen.run(["A", "--node", node, "--output", output, "--only", "nobody"])
    end
  end

  test "the target of the functions", %{node: node, output: output} do
    for {target, written} <- [{"MyApp.Blender", "MyApp.Blender"}, {"other@host", ":other@host"}] do
      Gen.run(["A", "--node", node, "--output", output, "--target", target, "--force"])
      source = File.read!(output)
      assert source =~ "@target #{written}\n"
      # The file depends on no name of a node that only a run of the task has.
      refute source =~ node
    end
  end

  test "asks before it overwrites a file", %{node: node, output: output} do
    File.write!(output, "mine")
    send(self(), {:mix_shell_input, :yes?, false})
    Gen.run(["A", "--node", node, "--output", output])
    assert File.read!(output) == "mine"

    send(self(), {:mix_shell_input, :yes?, true})
    Gen.run(["A", "--node", node, "--output", output])
    assert {"A", _} = functions(output)
  end

  test "checks a file without writing it", %{node: node, output: output} do
    arguments = ["A", "--node", node, "--output", output]
    assert_raise Mix.Error, fn -> Gen.run(["--check" | arguments]) end
    refute File.exists?(output)

    Gen.run(arguments)
    Gen.run(["--check" | arguments])

    File.write!(output, "\n", [:append])
    changed = File.read!(output)
    assert_raise Mix.Error, fn -> Gen.run(["--check" | arguments]) end
    assert File.read!(output) == changed
  end

  test "arguments that are wrong", %{node: node, output: output} do
    for arguments <- [
          [],
          ["--node", node],
          ["A"],
          ["A", "B", "--node", node],
          ["my_app", "--node", node],
          ["A;B", "--node", node],
          ["A\nB", "--node", node],
          ["Elixir.a", "--node", node],
          ["A", "--node", "beam_bpy"],
          ["A", "--node", "a@b@c"],
          ["A", "--node", "@"],
          ["A", "--node", node, "--target", "pool"],
          ["A", "--node", node, "--python"],
          ["A", "--python", "--blender", "--target", "B"],
          ["A", "--python"],
          ["A", "--node", node, "--unknown"],
          ["A", "--node"],
          ["A", "--node", node, "--cookie-file", output <> ".missing"]
        ] do
      assert_raise Mix.Error, fn -> Gen.run(arguments ++ ["--output", output]) end
      refute File.exists?(output)
    end
  end

  test "a node that does not run", %{output: output} do
    missing = Atom.to_string(unique_node())

    assert_raise Mix.Error, ~r/#{missing}/, fn ->
      Gen.run(["A", "--node", missing, "--output", output])
    end
  end

  describe "a BEAM without a name" do
    # A mix task of another BEAM.
    defp task(arguments, environment) do
      code = "Mix.start(); Mix.Tasks.BeamBpy.Gen.run(System.argv()); false = Node.alive?()"
      ebin = :beam_bpy |> Application.app_dir("ebin") |> to_string()

      System.cmd("elixir", ["-pa", ebin, "-e", code, "--" | arguments],
        env: [{"BPY_BEAM_COOKIE", nil} | environment],
        stderr_to_stdout: true
      )
    end

    test "takes a name, with a cookie from the environment, a file or an option", context do
      %{node: node, output: output, folder: folder} = context
      cookie = Atom.to_string(Node.get_cookie())
      file = Path.join(folder, "cookie")
      File.write!(file, cookie <> "\n")
      arguments = ["A", "--node", node, "--output", output, "--force"]

      for {more, environment} <- [
            {[], [{"BPY_BEAM_COOKIE", cookie}]},
            {["--cookie-file", file], []},
            {["--cookie", cookie], [{"BPY_BEAM_COOKIE", "wrong"}]}
          ] do
        File.rm(output)
        assert {_, 0} = task(arguments ++ more, environment)
        assert {"A", [:hello | _]} = functions(output)
        refute File.read!(output) =~ cookie
      end
    end

    test "reports a wrong cookie", %{node: node, output: output} do
      assert {text, 1} =
               task(["A", "--node", node, "--output", output], [{"BPY_BEAM_COOKIE", "wrong"}])

      assert text =~ "cookie"
      refute File.exists?(output)
    end

    test "starts a program, asks it, and ends it", %{output: output, folder: folder} do
      path = Path.dirname(python()) <> ":" <> System.get_env("PATH")
      handlers = handlers_file(folder, @handlers)
      marker = "GEN_TEST=#{BeamBpy.TestRun.unique()}"
      [name, value] = String.split(marker, "=")
      arguments = ["A", "--python", "--target", "MyApp.Blender", "--output", output, "--handlers"]

      assert {_, 0} = task(arguments ++ [handlers], [{"PATH", path}, {name, value}])
      assert {"A", [:hello | _]} = functions(output)
      assert OsProcess.with_environment(marker) == []

      broken = handlers_file(folder, "def register(:")

      assert {text, 1} =
               task(["--check" | arguments] ++ [broken], [{"PATH", path}, {name, value}])

      assert text =~ broken
      assert OsProcess.with_environment(marker) == []
    end
  end
end
