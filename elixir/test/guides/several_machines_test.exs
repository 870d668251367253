defmodule BeamBpy.Guides.SeveralMachinesTest do
  use BeamBpy.Case, async: true

  import BeamBpy.Machines

  alias BeamBpy.Guide

  @page "several_machines.md"

  test "two nodes on one machine share the calls", %{folder: folder} do
    [handlers] = Guide.blocks(@page, "python")
    [pool, connect, calls] = Guide.blocks(@page, "elixir")
    File.mkdir_p!(Path.join(folder, "priv"))
    File.write!(Path.join(folder, "priv/handlers.py"), handlers)

    [{one, first}, {_two, second}] =
      for name <- ["one", "two"] do
        peer = start_peer(name)
        path = Guide.python_folder(folder) <> ":" <> System.get_env("PATH")
        :ok = :erpc.call(peer, System, :put_env, ["PATH", path])
        :ok = :erpc.call(peer, File, :cd!, [folder])
        shell = start_shell(peer)
        assert {:ok, _supervisor} = evaluate(shell, pool)
        {peer, shell}
      end

    assert evaluate(second, String.replace(connect, "one@127.0.0.1", to_string(one)))

    for shell <- [first, second] do
      pools = "BeamBpy.Group.Members.pools(MyApp.Blender)"

      # Both are ready, and nobody calls them.
      eventually(fn ->
        match?([%{load: %{idle: 1}}, %{load: %{idle: 1}}], evaluate(shell, pools))
      end)

      assert evaluate(shell, calls)
    end
  end
end
