defmodule BeamBpy.WorkerTest do
  use BeamBpy.Case, async: true

  @moduletag :capture_log

  import BeamBpy.Workers
  import ExUnit.CaptureLog

  alias BeamBpy.{Error, Pool, Worker}

  doctest BeamBpy.Worker.OSProcess
  doctest BeamBpy.Worker.Output
  doctest BeamBpy.Worker.Secrets

  # A worker that is expected to end tells the test.
  defp start_and_wait(options) do
    Process.flag(:trap_exit, true)

    case start_link(options) do
      {:ok, pid} ->
        assert_receive {:EXIT, ^pid, reason}, 30_000
        reason

      {:error, reason} ->
        reason
    end
  end

  defp error_of_start(options) do
    parent = self()

    log =
      capture_log(fn ->
        assert {:shutdown, %Error{kind: :not_connected} = error} = start_and_wait(options)
        send(parent, {:error, error})
      end)

    assert_receive {:error, error}
    assert sentence?(error)
    assert log =~ error.text
    error
  end

  defp sentence?(error), do: Exception.message(error) =~ ~r/\w+ \w+ \w+/

  describe "a worker" do
    test "starts a program, whose node has its name, and ends it" do
      name = unique_name()
      worker = start_worker(name: name)
      assert {:ok, node} = Worker.node_of(worker)
      assert to_string(node) =~ to_string(name)
      os_pid = Worker.os_pid(worker)
      assert BeamBpy.call(worker, :process) == {:ok, os_pid}
      assert BeamBpy.call(node, :process) == {:ok, os_pid}
      stop_supervised!({Worker, name})
      refute OsProcess.alive?(os_pid)
    end

    test "without a name has a node all the same" do
      pid = start_link_supervised!({Worker, defaults()})
      assert {:ok, _node} = Worker.node_of(pid)
      assert BeamBpy.call(pid, :echo, ["text"]) == {:ok, "text"}
    end

    test "passes environment variables, as a map or as a list, and removes those that are nil" do
      System.put_env("BEAM_BPY_REMOVED", "value")

      for env <- [
            %{"BEAM_BPY_SET" => "ä", "BEAM_BPY_REMOVED" => nil},
            [{"BEAM_BPY_SET", "ä"}, {"BEAM_BPY_REMOVED", nil}]
          ] do
        {:ok, worker} = start_link(env: env)
        assert BeamBpy.call(worker, :variable, ["BEAM_BPY_SET"]) == {:ok, "ä"}
        assert BeamBpy.call(worker, :variable, ["BEAM_BPY_REMOVED"]) == {:ok, nil}
        GenServer.stop(worker)
      end
    end

    test "can have a node name of its own and a cookie of its own" do
      name = unique_name() |> to_string()
      {:ok, worker} = start_link(node_name: name, cookie: :another_cookie)
      assert {:ok, node} = Worker.node_of(worker)
      assert node == :"#{name}@127.0.0.1"
      assert BeamBpy.call(worker, :variable, ["BPY_BEAM_COOKIE"]) == {:ok, "another_cookie"}
      GenServer.stop(worker)
    end

    test "loads several handlers files, also named as in a command" do
      folder = Path.dirname(handlers())
      more = ["-m", "beam_bpy.cli", "serve", "--handlers", handlers()]

      {:ok, worker} =
        start_link(command: [python() | more], handlers: [], env: %{"HOME" => folder})

      assert BeamBpy.call(worker, :echo, [1]) == {:ok, 1}
      GenServer.stop(worker)
    end

    test "starts again under its supervisor with the same node name" do
      worker = start_worker()
      {:ok, node} = Worker.node_of(worker)
      pid = Process.whereis(worker)
      os_pid = Worker.os_pid(worker)
      capture_log(fn -> OsProcess.kill(os_pid) end)
      eventually(fn -> Process.whereis(worker) not in [nil, pid] end)
      assert Worker.node_of(worker) == {:ok, node}
      assert Worker.os_pid(worker) != os_pid
    end

    test "ends its program when it is killed, so that the next one can have the name at once" do
      worker = start_worker(kill_after: 60_000)
      {:ok, node} = Worker.node_of(worker)
      pid = Process.whereis(worker)
      os_pid = Worker.os_pid(worker)
      Process.exit(pid, :kill)
      assert_ended(os_pid)
      eventually(fn -> Process.whereis(worker) not in [nil, pid] end)
      assert Worker.node_of(worker) == {:ok, node}
    end

    test "ends while its handler holds the GIL" do
      {:ok, worker} = start_link(kill_after: 300)
      os_pid = Worker.os_pid(worker)
      {:ok, node} = Worker.node_of(worker)
      BeamBpy.cast(node, :hold_the_gil, [120])
      eventually(fn -> match?({:error, _}, BeamBpy.call(node, :echo, [1], timeout: 100)) end)
      GenServer.stop(worker)
      refute OsProcess.alive?(os_pid)
    end

    test "connects again when its connection is cut, and keeps its program" do
      worker = start_worker()
      {:ok, node} = Worker.node_of(worker)
      os_pid = Worker.os_pid(worker)
      pid = Process.whereis(worker)
      :erlang.disconnect_node(node)
      eventually(fn -> BeamBpy.call(worker, :process) == {:ok, os_pid} end)
      assert Process.whereis(worker) == pid
    end

    test "gives callers that wait an error when their time is over" do
      {:ok, worker} = start_link(handlers: [handlers(), slow_to_start()])
      assert {:error, %Error{kind: :timeout} = error} = Worker.node_of(worker, 1)
      assert sentence?(error)
      assert {:error, %Error{kind: :timeout}} = BeamBpy.call(worker, :echo, [1], timeout: 1)
      # A call without a time of its own waits until the node is ready.
      assert BeamBpy.call(worker, :echo, [1]) == {:ok, 1}
      GenServer.stop(worker)
    end

    test "gives callers that wait an error when it ends" do
      {:ok, worker} = start_link(handlers: [slow_to_start()])
      call = Task.async(fn -> BeamBpy.call(worker, :echo, [1]) end)
      eventually(fn -> :sys.get_state(worker).waiting != [] end)
      GenServer.stop(worker)
      assert {:error, %Error{kind: :not_connected} = error} = Task.await(call)
      assert sentence?(error)
    end
  end

  defp slow_to_start do
    path = Path.join(System.tmp_dir!(), "slow_#{BeamBpy.TestRun.unique()}.py")
    File.write!(path, "import time\ntime.sleep(1)\ndef register(server): pass\n")
    on_exit(fn -> File.rm(path) end)
    path
  end

  test "the path of a program can be one from the present folder" do
    up = for _folder <- tl(Path.split(File.cwd!())), do: ".."
    path = Path.join(up ++ tl(Path.split(python())))
    {:ok, worker} = start_link(command: {:python, path})
    assert BeamBpy.call(worker, :echo, [1]) == {:ok, 1}
  end

  describe "a program that cannot start:" do
    test "a missing program" do
      assert error_of_start(command: {:blender, "/no/such/program"}).text =~ "/no/such/program"
      assert error_of_start(command: ["no-such-program"]).text =~ "no-such-program"
    end

    test "a file that is not executable", %{folder: folder} do
      path = Path.join(folder, "program")
      File.write!(path, "text")
      assert error_of_start(command: [path]).text =~ path
      File.chmod!(path, 0o755)
      # The system finds no program in this file, at the start or when it runs.
      assert error_of_start(command: [path]).node
    end

    test "a folder", %{folder: folder} do
      assert error_of_start(command: {:python, folder}).text =~ folder
    end

    test "a handlers file that is missing, has an error of syntax, raises, or ends the program",
         %{
           folder: folder
         } do
      assert error_of_start(handlers: [Path.join(folder, "none.py")]).text =~ "none.py"

      for {python, expected} <- [
            {"def register(server:", "SyntaxError"},
            {"raise KeyError('reason')", "reason"},
            {"def register(server): raise KeyError('reason')", "reason"},
            {"import no_such_module", "no_such_module"},
            {"import os; os._exit(7)", "7"},
            {"import os; os.abort()", "SIGABRT"}
          ] do
        assert error_of_start(handlers: [handlers_file(folder, python)]).text =~ expected
      end
    end

    test "a node name that is taken" do
      {:ok, worker} = start_link()
      {:ok, node} = Worker.node_of(worker)
      [name, _host] = node |> to_string() |> String.split("@")
      assert error_of_start(node_name: name).text =~ name
      GenServer.stop(worker)
    end

    test "a wrong cookie" do
      error = error_of_start(env: %{"BPY_BEAM_COOKIE" => "another"})
      assert error.text =~ "cookie"
      refute error.text =~ "another"
      refute error.text =~ to_string(Node.get_cookie())
    end

    test "no epmd" do
      assert error_of_start(env: %{"ERL_EPMD_PORT" => "1", "BPY_BEAM_EPMD_PORT" => "1"}).node
    end

    test "a program that is never ready", %{folder: folder} do
      file = handlers_file(folder, "import time\ntime.sleep(600)")
      error = error_of_start(handlers: [file], boot_timeout: 500)
      assert error.text =~ "500"
      assert error_of_start(command: ["/bin/cat"], handlers: [], boot_timeout: 300)
    end

    test "another program than a node" do
      assert error_of_start(command: ["/bin/false"]).reason == 1
      assert error_of_start(command: ["/bin/echo", "hello"]).text =~ "hello"
    end
  end

  describe "the output" do
    test "goes to Logger, line by line, at the level of the option, with the node" do
      {:ok, worker} = start_link(log: :warning)
      {:ok, node} = Worker.node_of(worker)

      log =
        capture_log(fn ->
          BeamBpy.call(worker, :say, ["first\nsecond ä"])
          BeamBpy.call(worker, :say_bytes, ["caf\u00E9\n", 1])
          wait_for_line(worker, "café")
          GenServer.stop(worker)
        end)

      for line <- ["first", "second ä", "café"], do: assert(log =~ "#{node}: #{line}\n")
    end

    test "does not go to Logger with `log: false`" do
      {:ok, worker} = start_link(log: false)
      {:ok, _node} = Worker.node_of(worker)

      log =
        capture_log(fn ->
          BeamBpy.call(worker, :say, ["quiet line"])
          wait_for_line(worker, "quiet line")
          GenServer.stop(worker)
        end)

      refute log =~ "quiet line"
    end

    # The output and the results of calls come on different ways.
    defp wait_for_line(worker, line) do
      eventually(fn -> line in :queue.to_list(:sys.get_state(worker).lines) end)
    end

    test "of many megabytes, and a line without an end, do no harm" do
      {:ok, worker} = start_link(log: false)
      line = String.duplicate("x", 99) <> "\n"
      assert {:ok, nil} = BeamBpy.call(worker, :say_bytes, [line, 200_000])
      assert {:ok, nil} = BeamBpy.call(worker, :say_bytes, [String.duplicate("y", 1000), 30_000])
      assert byte_size(:sys.get_state(worker).partial) <= 65_536
      assert BeamBpy.call(worker, :echo, [1]) == {:ok, 1}
      :erlang.garbage_collect(worker)
      {:memory, memory} = Process.info(worker, :memory)
      assert memory < 5_000_000
      GenServer.stop(worker)
    end

    test "is the last part of the error of a crash" do
      Process.flag(:trap_exit, true)

      capture_log(fn ->
        {:ok, worker} = start_link()
        BeamBpy.call(worker, :say, ["the last words"])
        BeamBpy.cast(worker, :end, [7])
        assert_receive {:EXIT, ^worker, {:shutdown, %Error{kind: :crashed} = error}}, 30_000
        assert error.reason == 7
        assert error.text =~ "the last words"
      end)
    end
  end

  describe "an invalid option" do
    test "is named" do
      for {key, value} <- [
            command: "blender",
            command: [],
            command: [:blender],
            command: {:other, "x"},
            handlers: "file.py",
            handlers: [:file],
            blend_file: :file,
            env: 5,
            env: [:name],
            env: %{"name" => 5},
            env: %{name: "value"},
            cookie: "text",
            node_name: :name,
            node_name: "",
            boot_timeout: 0,
            boot_timeout: 1.5,
            boot_timeout: :infinity,
            kill_after: -1,
            log: :loud,
            log: true
          ] do
        error = assert_raise ArgumentError, fn -> start_link([{key, value}]) end
        assert error.message =~ inspect(key)
        refute Keyword.get([{key, value}], :env) && error.message =~ inspect(value)

        error =
          assert_raise ArgumentError, fn ->
            Pool.start_link(
              [{:name, unique_name()}, {key, value} | defaults()]
              |> Enum.uniq_by(&elem(&1, 0))
            )
          end

        assert error.message =~ inspect(key)
      end
    end

    test "that does not exist is named, and secret options are not shown" do
      for start <- [&Worker.start_link/1, &Pool.start_link/1] do
        error =
          assert_raise ArgumentError, fn ->
            start.(name: unique_name(), cookie: :secret_cookie, hendlers: [])
          end

        assert error.message =~ ":hendlers"
        assert error.message =~ ":handlers"
        refute error.message =~ "secret_cookie"
      end
    end
  end

  test "the cookie and the environment are not shown by OTP's tools" do
    options = [cookie: :my_secret_cookie, env: %{"PASSWORD" => "my_secret_password"}]
    pool = start_pool(options)
    worker = start_worker(options)
    wait_until_idle(pool)
    {:ok, _node} = Worker.node_of(worker)
    # A crash of the process of a pool and of a worker, with their reports.
    log =
      capture_log(fn ->
        for name <- [pool, worker], do: catch_exit(GenServer.call(name, :no_such_message))
        eventually(fn -> Process.whereis(pool) && Process.whereis(worker) end)
        os_pid = eventually(fn -> os_pid_of_running(worker) end)
        OsProcess.kill(os_pid)
        eventually(fn -> os_pid_of_running(worker) not in [nil, os_pid] end)
      end)

    assert log =~ inspect(worker)
    eventually(fn -> Process.whereis(pool) && Process.whereis(worker) end)

    [supervisor | _] =
      Process.info(Process.whereis(pool), :dictionary) |> elem(1) |> Keyword.get(:"$ancestors")

    shown =
      for process <- [pool, worker, supervisor, Module.concat(pool, Workers)],
          tool <- [&:sys.get_state/1, &:sys.get_status/1],
          do: inspect(tool.(process), limit: :infinity, printable_limit: :infinity)

    for text <- [
          log,
          inspect(Pool.child_spec(options)),
          inspect(Worker.child_spec(options)) | shown
        ] do
      refute text =~ "my_secret"
    end
  end

  # Nil while the supervisor restarts the worker.
  defp os_pid_of_running(worker) do
    Worker.os_pid(worker)
  catch
    :exit, _reason -> nil
  end

  @tag :bpy
  test "opens a .blend file", %{folder: folder} do
    path = Path.join(folder, "scene.blend")

    handlers =
      handlers_file(folder, """
      import bpy

      def register(server):
          server.expose(save)
          server.expose(objects)

      def save(path):
          bpy.data.objects["Cube"].name = "Saved"
          bpy.ops.wm.save_as_mainfile(filepath=path)

      def objects():
          return sorted(each.name for each in bpy.data.objects)
      """)

    {:ok, worker} = start_link(handlers: [handlers])
    assert {:ok, nil} = BeamBpy.call(worker, :save, [path])
    GenServer.stop(worker)
    {:ok, worker} = start_link(handlers: [handlers], blend_file: path)
    assert {:ok, ["Camera", "Light", "Saved"]} = BeamBpy.call(worker, :objects)
    GenServer.stop(worker)
    assert error_of_start(handlers: [handlers], blend_file: path <> ".missing").text =~ "missing"
  end

  @tag :blender
  test "runs a Blender program" do
    {:ok, worker} = start_link(command: {:blender, blender()})
    assert BeamBpy.call(worker, :process) == {:ok, Worker.os_pid(worker)}
    GenServer.stop(worker)
  end
end
