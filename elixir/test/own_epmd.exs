defmodule BeamBpy.OwnEpmd do
  @moduledoc false
  # The tests use an epmd of their own, so that they never meet the nodes of this machine, and other test runs never meet
  # theirs. A BEAM reads ERL_EPMD_PORT only when it boots. So `mix test` without this variable starts itself again with it.

  @doc "What `mix test` runs."
  def test(args) do
    if :init.get_argument(:epmd_port) == :error do
      run_again(args)
    else
      Mix.Task.run("test", args)
    end
  end

  defp run_again(args) do
    colors = if IO.ANSI.enabled?(), do: ["--color"], else: []

    {_output, status} =
      System.cmd("mix", ["test" | colors ++ args],
        env: [{"ERL_EPMD_PORT", to_string(free_port())}],
        into: IO.binstream(:stdio, :line)
      )

    if status != 0, do: exit({:shutdown, status})
  end

  # As tests/ports.py does it: outside the range that the system gives to outgoing connections.
  defp free_port do
    10_000..31_999 |> Enum.take_random(100) |> Enum.find(&free?/1) ||
      Mix.raise("no free port found for the epmd of the tests")
  end

  defp free?(port) do
    case :gen_tcp.listen(port, ip: {127, 0, 0, 1}) do
      {:ok, socket} -> :gen_tcp.close(socket) == :ok
      {:error, _reason} -> false
    end
  end
end
