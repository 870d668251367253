defmodule BeamBpy.OsProcess do
  @moduledoc "Processes of the operating system, for tests. Linux only."

  @doc "Whether a process runs. A process that has ended, and whose parent has not asked for its status, does not run."
  @spec alive?(pos_integer()) :: boolean()
  def alive?(os_pid) do
    case File.read("/proc/#{os_pid}/stat") do
      {:ok, stat} -> state(stat) not in ["Z", "X"]
      {:error, _reason} -> false
    end
  end

  @doc "Sends a signal, `KILL` if no other one is named."
  @spec kill(pos_integer(), String.t()) :: :ok
  def kill(os_pid, signal \\ "KILL") do
    System.cmd("kill", ["-#{signal}", to_string(os_pid)], stderr_to_stdout: true)
    :ok
  end

  @doc "The processes whose environment has this `NAME=value`, as `{os_pid, command_line}`."
  @spec with_environment(String.t()) :: [{pos_integer(), String.t()}]
  def with_environment(variable) do
    for name <- File.ls!("/proc"),
        {os_pid, ""} <- [Integer.parse(name)],
        variable in words(os_pid, "environ"),
        alive?(os_pid),
        do: {os_pid, os_pid |> words("cmdline") |> Enum.join(" ")}
  end

  @doc "The processes that a process has started, and that still run."
  @spec children(pos_integer()) :: [pos_integer()]
  def children(os_pid) do
    for name <- File.ls!("/proc"),
        {child, ""} <- [Integer.parse(name)],
        {:ok, stat} <- [File.read("/proc/#{child}/stat")],
        parent(stat) == os_pid,
        alive?(child),
        do: child
  end

  @doc "The resident memory of a process, in bytes."
  @spec resident(pos_integer()) :: pos_integer()
  def resident(os_pid) do
    [_line, kilobytes] = Regex.run(~r/^VmRSS:\s+(\d+) kB$/m, File.read!("/proc/#{os_pid}/status"))
    String.to_integer(kilobytes) * 1024
  end

  defp words(os_pid, file) do
    case File.read("/proc/#{os_pid}/#{file}") do
      {:ok, text} -> String.split(text, <<0>>, trim: true)
      {:error, _reason} -> []
    end
  end

  defp state(stat), do: stat |> fields() |> Enum.at(0)
  defp parent(stat), do: stat |> fields() |> Enum.at(1) |> String.to_integer()

  # The fields after the name of the program, which is in parentheses and can hold spaces.
  defp fields(stat), do: stat |> String.split(")") |> List.last() |> String.split()
end
