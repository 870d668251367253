defmodule BeamBpy.Worker.OSProcess do
  @moduledoc false
  # The operating system process of a worker, behind a port.
  #
  # The program gets no shell around it. It ends when its standard input closes (`--until-stdin-closes`), so it does not
  # outlive the port, whatever happens to this BEAM.

  alias BeamBpy.Error
  alias BeamBpy.Worker.Command

  @line 16_384

  @enforce_keys [:port, :os_pid]
  defstruct @enforce_keys

  @type t :: %__MODULE__{port: port(), os_pid: non_neg_integer() | nil}

  @doc "Starts the program. The caller gets the port's messages: `{port, {:data, {:eol | :noeol, text}}}` and so on."
  @spec start(Command.t()) :: {:ok, t()} | {:error, Error.t()}
  def start(%Command{program: program, args: args, env: env}) do
    options = [:binary, :exit_status, :stderr_to_stdout, :hide, line: @line, args: args, env: env]
    port = Port.open({:spawn_executable, to_charlist(program)}, options)

    os_pid =
      case Port.info(port, :os_pid) do
        {:os_pid, os_pid} -> os_pid
        nil -> nil
      end

    process = %__MODULE__{port: port, os_pid: os_pid}
    guard(process, self())
    {:ok, process}
  rescue
    error in [ErlangError, ArgumentError] ->
      text = "the program #{program} cannot be started: #{cannot_start(error)}"
      {:error, %Error{kind: :not_connected, text: text}}
  end

  defp cannot_start(%ErlangError{original: reason}), do: :file.format_error(reason)

  defp cannot_start(_error),
    do: "an argument or an environment variable has a value that the system refuses"

  # A process that is killed cannot end its program. The program would end by itself, but only some seconds later, and
  # the next program needs the name of its node.
  defp guard(process, worker) do
    spawn(fn ->
      monitor = Process.monitor(worker)

      receive do
        {:DOWN, ^monitor, :process, _pid, :killed} -> kill(process)
        {:DOWN, ^monitor, :process, _pid, _reason} -> :ok
      end
    end)
  end

  @doc "Asks the program to end: with SIGTERM, or by closing its standard input where there are no signals."
  @spec ask_to_end(t()) :: :ok
  def ask_to_end(process), do: signal(process, "TERM")

  @doc "Ends the program at once: with SIGKILL."
  @spec kill(t()) :: :ok
  def kill(process), do: signal(process, "KILL")

  # A shell has `kill` built in, so this works in containers without the program. The pid is a number.
  defp signal(%{os_pid: os_pid} = process, name) when is_integer(os_pid) do
    case :os.type() do
      {:unix, _} -> System.cmd("/bin/sh", ["-c", "kill -#{name} #{os_pid} 2>/dev/null"])
      {:win32, _} when name == "KILL" -> System.cmd("taskkill", ["/F", "/PID", to_string(os_pid)])
      {:win32, _} -> close(process)
    end

    :ok
  end

  defp signal(_process, _name), do: :ok

  @doc "Closes the port, and with it the standard input of the program."
  @spec close(t()) :: :ok
  def close(%{port: port}) do
    Port.close(port)
    :ok
  rescue
    # The port has closed by itself.
    ArgumentError -> :ok
  end

  @doc """
  A sentence for an exit status. The port reports a signal as 128 and its number.

      iex> BeamBpy.Worker.OSProcess.exit_sentence(134)
      "the program was ended by signal 6 (SIGABRT)"
      iex> BeamBpy.Worker.OSProcess.exit_sentence(1)
      "the program ended with exit code 1"
  """
  @spec exit_sentence(non_neg_integer()) :: String.t()
  def exit_sentence(137) do
    "the program was ended by signal 9 (SIGKILL); the system also sends this signal when memory runs out"
  end

  def exit_sentence(status) when status in 129..192 do
    "the program was ended by signal #{status - 128}#{signal_name(status - 128)}"
  end

  def exit_sentence(status), do: "the program ended with exit code #{status}"

  defp signal_name(4), do: " (SIGILL)"
  defp signal_name(6), do: " (SIGABRT)"
  defp signal_name(7), do: " (SIGBUS)"
  defp signal_name(8), do: " (SIGFPE)"
  defp signal_name(11), do: " (SIGSEGV)"
  defp signal_name(15), do: " (SIGTERM)"
  defp signal_name(_number), do: ""
end
