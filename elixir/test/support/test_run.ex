defmodule BeamBpy.TestRun do
  @moduledoc """
  Makes the BEAM of the tests a node, and checks at its end that every program which the tests have started has ended.

  Environment variables:

    * `BEAM_BPY_PYTHON`: the Python for workers; default is `.venv/bin/python` of the repository.
    * `BEAM_BPY_BLENDER`: a Blender program that has the extension. Without it, tests with the tag `:blender` do not run.
  """

  alias BeamBpy.OsProcess

  @doc "Starts epmd and the distribution. All programs that this BEAM starts from now on belong to the run."
  @spec start() :: :ok
  def start do
    start_epmd()
    Application.put_env(:kernel, :inet_dist_use_interface, {127, 0, 0, 1})
    {:ok, _pid} = Node.start(:"tests_#{unique()}@127.0.0.1")
    Node.set_cookie(:"#{unique()}")
    System.put_env("PYTHONPATH", repository())
    System.put_env("BEAM_BPY_TEST_RUN", unique())
    System.at_exit(fn _status -> check_programs_have_ended() end)
  end

  @doc "The tags of tests that do not run here."
  @spec excluded() :: [atom()]
  def excluded, do: if(blender(), do: [], else: [:blender])

  @doc "The folder of the repository, for `PYTHONPATH`."
  @spec repository() :: Path.t()
  def repository, do: Path.expand("../../..", __DIR__)

  @doc "The Python that runs workers."
  @spec python() :: Path.t()
  def python do
    python = System.get_env("BEAM_BPY_PYTHON") || Path.join(repository(), ".venv/bin/python")

    System.find_executable(python) ||
      raise "#{python} is missing: run `make test-elixir`, or name a Python in BEAM_BPY_PYTHON"
  end

  @doc "The Blender program with the extension, or nil."
  @spec blender() :: Path.t() | nil
  def blender, do: System.get_env("BEAM_BPY_BLENDER")

  @doc "The programs of this run that still run, as `{os_pid, command_line}`."
  @spec programs() :: [{pos_integer(), String.t()}]
  def programs do
    case System.get_env("BEAM_BPY_TEST_RUN") do
      nil -> []
      run -> OsProcess.with_environment("BEAM_BPY_TEST_RUN=#{run}")
    end
  end

  @doc "A text that no other test run has."
  @spec unique() :: String.t()
  def unique, do: Base.encode16(:rand.bytes(8), case: :lower)

  # The shell ends epmd when this BEAM has ended, also after a `kill -9`: then its standard input is closed.
  defp start_epmd do
    {:ok, [[port | _] | _]} = :init.get_argument(:epmd_port)
    script = ~s(epmd -port "$0" -address 127.0.0.1 & read -r line; kill $!)
    shell = System.find_executable("sh")
    Port.open({:spawn_executable, shell}, args: ["-c", script, port])
    true = eventually(fn -> match?({:ok, _names}, :erl_epmd.names(~c"127.0.0.1")) end)
  end

  defp check_programs_have_ended do
    unless eventually(fn -> programs() == [] end) do
      left = programs()
      for {os_pid, _command} <- left, do: OsProcess.kill(os_pid)

      IO.puts(:stderr, [
        "\nThe tests have left these programs running:\n",
        for({os_pid, command} <- left, do: "  #{os_pid} #{command}\n")
      ])

      exit({:shutdown, 1})
    end
  end

  @doc "Waits at most `timeout` milliseconds until a condition is true. Returns whether it is."
  @spec eventually((... -> as_boolean(term())), non_neg_integer()) :: boolean()
  def eventually(condition, timeout \\ 10_000) do
    cond do
      condition.() ->
        true

      timeout <= 0 ->
        false

      true ->
        Process.sleep(20)
        eventually(condition, timeout - 20)
    end
  end
end
