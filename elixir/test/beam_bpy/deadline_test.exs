defmodule BeamBpy.DeadlineTest do
  use BeamBpy.Case, async: true

  import BeamBpy.Machines

  alias BeamBpy.Error

  @moduletag capture_log: true

  test "a call whose time is over does not cost its Blender", %{folder: folder} do
    pool = folder |> new_group() |> start_here()
    before = pids(pool, node())

    assert {:error, %Error{kind: :timeout}} = BeamBpy.call(pool, :machine, [], timeout: 0)

    assert [{:error, %Error{kind: :timeout}}] =
             Enum.to_list(BeamBpy.stream(pool, :count, [1], timeout: 0))

    idle(pool, node())
    assert pids(pool, node()) == before
    assert BeamBpy.call(pool, :machine) == {:ok, "here"}
  end

  test "a Blender for one use is not used up by a call whose time is over", %{folder: folder} do
    pool = folder |> new_group() |> start_here(single_use: true)
    before = pids(pool, node())
    assert {:error, %Error{kind: :timeout}} = BeamBpy.call(pool, :machine, [], timeout: 0)
    idle(pool, node())
    assert pids(pool, node()) == before
    assert BeamBpy.call(pool, :machine) == {:ok, "here"}
    eventually(fn -> pids(pool, node()) not in [before, [nil]] end)
  end
end
