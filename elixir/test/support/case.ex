defmodule BeamBpy.Case do
  @moduledoc """
  A case template for tests with real workers.

      use BeamBpy.Case, async: true

  Tags of tests:

    * `@tag :bpy`: the test needs a Python with the module `bpy`.
    * `@tag :blender`: the test needs a Blender program that has the extension; `blender/0` names it.

  Each test gets a `folder` of its own in its context; it is deleted when the test has ended.
  """
  use ExUnit.CaseTemplate

  alias BeamBpy.{OsProcess, TestRun}

  using do
    quote do
      import BeamBpy.Case
      alias BeamBpy.OsProcess
    end
  end

  setup do
    folder = Path.join(System.tmp_dir!(), "beam-bpy-#{TestRun.unique()}")
    File.mkdir_p!(folder)
    on_exit(fn -> File.rm_rf!(folder) end)
    %{folder: folder}
  end

  @doc "The Python that runs workers."
  defdelegate python, to: TestRun

  @doc "The Blender program that has the extension."
  @spec blender() :: Path.t()
  def blender, do: TestRun.blender() || raise("a test that needs Blender has no tag :blender")

  @doc "A name that no other test has."
  @spec unique_name(String.t()) :: atom()
  def unique_name(prefix \\ "test"), do: :"#{prefix}_#{TestRun.unique()}"

  @doc "A node name that no other node has."
  @spec unique_node(String.t()) :: node()
  def unique_node(prefix \\ "worker"), do: :"#{prefix}_#{TestRun.unique()}@127.0.0.1"

  @doc "Writes a handlers file into the folder of the test, and returns its path."
  @spec handlers_file(Path.t(), String.t()) :: Path.t()
  def handlers_file(folder, python) do
    path = Path.join(folder, "handlers_#{TestRun.unique()}.py")
    File.write!(path, python)
    path
  end

  @doc "Waits until a function returns a value that is neither nil nor false, and returns the value."
  @spec eventually((... -> value), non_neg_integer()) :: value when value: term()
  def eventually(condition, timeout \\ 30_000) do
    cond do
      value = condition.() ->
        value

      timeout <= 0 ->
        flunk("the condition did not become true in time")

      true ->
        Process.sleep(20)
        eventually(condition, timeout - 20)
    end
  end

  @doc "Waits until processes of the operating system have ended."
  @spec assert_ended(pos_integer() | [pos_integer()], non_neg_integer()) :: :ok
  def assert_ended(os_pids, timeout \\ 10_000) do
    os_pids = List.wrap(os_pids)

    unless TestRun.eventually(fn -> not Enum.any?(os_pids, &OsProcess.alive?/1) end, timeout) do
      flunk("still running: #{os_pids |> Enum.filter(&OsProcess.alive?/1) |> inspect()}")
    end

    :ok
  end

  @doc """
  Starts another node that has this code, and on it the application `:beam_bpy`. It ends with the test.

  Returns its name. `OsProcess.kill(os_pid(node))` is the crash of a machine.
  """
  @spec start_peer(String.t()) :: node()
  def start_peer(prefix \\ "peer") do
    [name, host] = prefix |> unique_node() |> Atom.to_string() |> String.split("@")

    options = %{
      name: to_charlist(name),
      host: to_charlist(host),
      longnames: true,
      wait_boot: 60_000,
      args: [~c"-setcookie", to_charlist(Node.get_cookie()) | peer_arguments()]
    }

    spec = %{id: name, start: {:peer, :start_link, [options]}, restart: :temporary}
    start_supervised!(spec)
    node = :"#{name}@#{host}"
    {:ok, _started} = :erpc.call(node, Application, :ensure_all_started, [:beam_bpy])
    node
  end

  @doc "The process of the operating system that a node of the BEAM runs in."
  @spec os_pid(node()) :: pos_integer()
  def os_pid(node), do: node |> :erpc.call(System, :pid, []) |> String.to_integer()

  defp peer_arguments do
    paths = :code.get_path() -- [:code.lib_dir() ++ ~c"/kernel/ebin", ~c"."]

    # Peers of different tests do not connect to each other: the end of one would make `:global` disconnect others.
    [
      ~c"-connect_all",
      ~c"false",
      ~c"-kernel",
      ~c"inet_dist_use_interface",
      ~c"{127,0,0,1}",
      ~c"-pa" | paths
    ]
  end
end
