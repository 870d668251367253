defmodule BeamBpy.PythonTest do
  # Without the handlers of the other tests: the workers serve those of the extension.
  use BeamBpy.Case, async: true

  import BeamBpy.Python
  import BeamBpy.Workers
  import ExUnit.CaptureIO

  alias BeamBpy.{Error, Python}

  @handlers ["python_handlers"]

  setup_all do
    options = [command: {:python, python()}, handlers: @handlers, allow_python: true, log: false]
    worker = start_supervised!({BeamBpy.Worker, options})
    {:ok, _node} = BeamBpy.Worker.node_of(worker)
    %{worker: worker}
  end

  describe "eval" do
    test "returns the value of the last expression", %{worker: worker} do
      assert Python.eval(worker, "1 + 1") == {:ok, 2}
      assert Python.eval(worker, "x = 1") == {:ok, nil}
      assert Python.eval(worker, "x + y", %{"y" => 2, x: 1}) == {:ok, 3}
      assert Python.eval(worker, "x + y", x: 1, y: 2) == {:ok, 3}

      assert Python.eval!(worker, "{'a': [1.5, None, True, 'é']}") == %{
               "a" => [1.5, nil, true, "é"]
             }

      assert Python.eval!(worker, "data[::-1]", data: <<255, 0, 1>>) == <<1, 0, 255>>
    end

    test "prints what the code prints, where this process prints", %{worker: worker} do
      code = "import sys\nprint('one ü')\nprint('two', file=sys.stderr)\n3"
      assert with_io(fn -> Python.eval(worker, code) end) == {{:ok, 3}, "one ü\ntwo\n"}

      assert with_io(:stderr, fn -> Python.eval!(worker, code, %{}, output: :stderr) end) ==
               {3, "one ü\ntwo\n"}

      parent = self()
      assert Python.eval!(worker, code, %{}, output: &send(parent, {:printed, &1})) == 3
      assert_received {:printed, "one ü\ntwo\n"}

      {:ok, device} = StringIO.open("")
      assert Python.eval!(worker, "print(1)", %{}, output: device) == nil
      assert StringIO.contents(device) == {"", "1\n"}
    end

    test "cuts the output", %{worker: worker} do
      assert {{:ok, nil}, output} =
               with_io(fn -> Python.eval(worker, "print('x' * 1000)", %{}, max_output: 10) end)

      assert output =~ ~r/^x{10}\n\[991 more/
    end

    test "an exception is an error with the traceback and the output", %{worker: worker} do
      code = "print('before')\ndef half(n):\n    return n / 0\n\nhalf(4)"

      {{:error, error}, printed} = with_io(fn -> Python.eval(worker, code) end)

      assert %Error{kind: :python, type: "ZeroDivisionError", text: "division by zero"} = error
      assert error.traceback =~ ~s(File "<run_python>", line 3, in half\n    return n / 0)
      assert error.output == "before\n"
      assert printed == "before\n"
      assert Exception.message(error) =~ error.traceback

      assert_raise Error, ~r/SyntaxError/, fn -> Python.eval!(worker, "1 +") end
      assert {:error, %Error{type: "SystemExit", text: "3"}} = Python.eval(worker, "exit(3)")
      assert {:error, %Error{type: "EncodeError", text: text}} = Python.eval(worker, "object()")
      assert text =~ "cannot encode object"
      assert Python.eval(worker, "2") == {:ok, 2}
    end

    test "arguments and options that cannot be used", %{worker: worker} do
      assert {:error, %Error{type: "ValueError"}} = Python.eval(worker, "1", %{class: 1})
      assert {:error, %Error{type: "ValueError"}} = Python.eval(worker, "1", %{}, max_output: -1)
      assert_raise ArgumentError, ~r/:output/, fn -> Python.eval(worker, "1", %{}, output: 5) end
      assert_raise ArgumentError, fn -> Python.eval(worker, "1", %{}, other: 5) end
      assert_raise FunctionClauseError, fn -> Python.eval(worker, ~c"1") end
    end

    test "the timeout is that of the call" do
      pool = start_pool(handlers: @handlers, allow_python: true, max: 1)

      assert {:error, %Error{kind: :timeout}} =
               Python.eval(pool, "import time\ntime.sleep(600)", %{}, timeout: 3_000)

      assert Python.eval(pool, "2", %{}, timeout: 60_000) == {:ok, 2}
    end
  end

  describe "without the permission" do
    for {title, option} <- [{"by default", []}, {"with false", [allow_python: false]}] do
      test "#{title}, no code runs", %{folder: folder} do
        file = Path.join(folder, "written")
        worker = start_worker([handlers: @handlers] ++ unquote(option))

        assert {:error, %Error{kind: :erlang} = error} =
                 Python.eval(worker, "open(file, 'w')", file: file)

        assert {:error, {:not_allowed, sentence}} = error.reason
        assert sentence =~ "--allow-python"
        assert error.text == sentence
        refute File.exists?(file)
      end
    end

    test "the option has precedence over the environment" do
      env = %{"BPY_BEAM_ALLOW_PYTHON" => "yes"}
      worker = start_worker(handlers: @handlers, env: env)
      assert Python.eval(worker, "2") == {:ok, 2}
      worker = start_worker(handlers: @handlers, env: env, allow_python: false)
      assert {:error, %Error{reason: {:error, {:not_allowed, _}}}} = Python.eval(worker, "2")
    end

    test "a worker without the handlers has no such function" do
      assert {:error, %Error{kind: :undef}} = Python.eval(start_worker(allow_python: true), "2")
    end

    test "the option is true, false or nil" do
      Process.flag(:trap_exit, true)

      for value <- ["yes", 1, :yes] do
        assert_raise ArgumentError, ~r/:allow_python/, fn -> start_link(allow_python: value) end
      end
    end
  end

  describe "the sigil" do
    setup %{worker: worker}, do: %{target: set_target(worker)}

    test "passes the variables whose names occur in the code" do
      {x, name, unused, _hidden, ok?} = {1, "Crate", make_ref(), 2, true}
      assert sigil_PY(<<"[x + 1, name.upper()]">>, []) == [2, "CRATE"]

      assert sigil_PY(<<"sorted(set(globals()) & {'x', 'name', 'unused', '_hidden'})">>, []) ==
               ~w(name unused x)

      assert is_reference(unused) and ok?

      q = 7
      code = sigil_PY(<<"x\nsorted(key for key in globals() if len(key) == 1)">>, [])
      assert {code, q} == {["x"], 7}
    end

    test "does not pass keywords of Python" do
      {from, import, is} = {1, 2, 3}
      assert sigil_PY(<<"from math import floor\nfloor(2.5) == 2">>, []) == true
      assert {from, import, is} == {1, 2, 3}
    end

    test "has the options of the target, and prints" do
      assert with_io(fn -> sigil_PY(<<"print('hello')\n2">>, []) end) == {2, "hello\n"}
      {target, _options} = Process.get(BeamBpy.Python)
      set_target(target, output: &send(self(), &1))
      assert sigil_PY(<<"print('hello')\n2">>, []) == 2
      assert_received "hello\n"
    end

    test "raises the error" do
      assert_raise Error, ~r/ZeroDivisionError/, fn -> sigil_PY(<<"1 / 0">>, []) end
    end

    test "a process without a target is told what to do" do
      task =
        Task.async(fn ->
          assert_raise ArgumentError, ~r/set_target/, fn -> sigil_PY(<<"1">>, []) end
        end)

      assert %ArgumentError{} = Task.await(task)
    end

    # Elixir 1.14 cannot read the sigil, so the code is a text.
    if Version.match?(System.version(), ">= 1.15.0") do
      test "is written with two letters" do
        code = ~S'''
        import BeamBpy.Python

        size = 2

        result = ~PY"""
        text = "a\tb #{size}"
        [size * 2, text]
        """

        {result, ~PY[size]}
        '''

        assert {{[4, "a\tb \#{size}"], 2}, _binding} = Code.eval_string(code, [], __ENV__)
      end
    end
  end

  @tag :blender
  test "in a Blender program that has the extension" do
    options = [command: {:blender, blender()}, handlers: [], boot_timeout: 120_000]
    worker = start_worker([allow_python: true] ++ options)
    assert Python.eval!(worker, "bpy.context.scene.name", %{}, timeout: 120_000) == "Scene"

    worker = start_worker(options)

    assert {:error, %Error{reason: {:error, {:not_allowed, _}}}} =
             Python.eval(worker, "bpy.context.scene.name", %{}, timeout: 120_000)
  end
end
