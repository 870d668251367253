# Shared by the test scripts here and in the project's folder: their start, their own node, and the node of the server
# that they test.
#
# The server is the one that BPY_BEAM_NODE and BPY_BEAM_COOKIE name, as for the server itself; the defaults are those of
# `python examples/basic_server.py`.

defmodule Support do
  @moduledoc "Starts ExUnit and distribution, and finds the server."

  @doc """
  Starts ExUnit. The script ends with 0 only if all of its tests have run and passed.

  ExUnit's own exit code is 0 also when no test has run.
  """
  def start_tests(options \\ []) do
    ExUnit.start(options)

    ExUnit.after_suite(fn %{total: total, skipped: skipped, excluded: excluded} ->
      if total == 0 or skipped + excluded > 0 do
        IO.puts(:stderr, "of #{total} tests #{skipped + excluded} have not run")
        System.halt(3)
      end
    end)
  end

  @doc "Makes this script a node of its own and returns the server's node."
  def start(prefix) do
    unless Node.alive?() do
      case Node.start(:"#{prefix}_#{System.pid()}@127.0.0.1") do
        {:ok, _pid} -> :ok
        {:error, reason} -> stop("this script cannot become a node (is epmd running?): #{inspect(reason)}")
      end
    end

    Node.set_cookie(String.to_atom(setting("BPY_BEAM_COOKIE", "beam_bpy_cookie")))

    unless Node.connect(server()) do
      stop("#{server()} does not answer: start it with 'python examples/basic_server.py'")
    end

    server()
  end

  @doc "The server's node."
  def server do
    name = setting("BPY_BEAM_NODE", "beam_bpy")
    if String.contains?(name, "@"), do: String.to_atom(name), else: :"#{name}@#{host()}"
  end

  @doc "The name under which the server's process is registered: the first part of the node's name."
  def registered_name do
    server() |> Atom.to_string() |> String.split("@") |> hd() |> String.to_atom()
  end

  defp host do
    case setting("BPY_BEAM_HOST", "localhost") do
      "localhost" -> "127.0.0.1"
      host -> host
    end
  end

  defp setting(variable, default) do
    case System.get_env(variable) do
      empty when empty in [nil, ""] -> default
      value -> value
    end
  end

  defp stop(sentence) do
    IO.puts(:stderr, sentence)
    System.halt(1)
  end
end
