defmodule BeamBpy.StreamTest do
  use BeamBpy.Case, async: true

  @moduletag :capture_log

  import BeamBpy.Workers

  alias BeamBpy.{Error, Worker}

  setup_all do
    pool = start_pool()
    wait_until_idle(pool)
    {:ok, node} = Worker.node_of(start_worker())
    %{pool: pool, node: node}
  end

  test "has the progress and then the result", %{pool: pool, node: node} do
    for target <- [pool, node] do
      assert target |> BeamBpy.stream(:count, [3, 0.0]) |> Enum.to_list() ==
               [progress: 0, progress: 1, progress: 2, ok: 3]

      # A handler without progress, a failure, a handler that does not exist.
      assert target |> BeamBpy.stream(:echo, [1]) |> Enum.to_list() == [ok: 1]

      assert [error: %Error{kind: :python}] =
               target |> BeamBpy.stream(:fail, ["x"]) |> Enum.to_list()

      assert [error: %Error{kind: :undef}] = target |> BeamBpy.stream(:nothing) |> Enum.to_list()
    end
  end

  test "starts when it is enumerated, each time", %{pool: pool, folder: folder} do
    path = Path.join(folder, "notes")
    stream = BeamBpy.stream(pool, :note, [path, "ran"])
    assert lines(path) == []
    for _ <- 1..2, do: assert(Enum.to_list(stream) == [ok: nil])
    assert lines(path) == ["ran", "ran"]
  end

  test "that is read only in part closes its handler", %{pool: pool, folder: folder} do
    path = Path.join(folder, "notes")
    {:ok, os_pid} = BeamBpy.call(pool, :process)

    assert [progress: 0, progress: 1] =
             pool |> BeamBpy.stream(:steps, [path, 0.01]) |> Enum.take(2)

    assert BeamBpy.call(pool, :process) == {:ok, os_pid}
    assert lines(path) == ["closed"]

    assert_raise RuntimeError, fn ->
      for _event <- BeamBpy.stream(pool, :steps, [path, 0.01]), do: raise("the reader fails")
    end

    assert BeamBpy.call(pool, :process) == {:ok, os_pid}
    assert lines(path) == ["closed", "closed"]
    refute_received _any_message
  end

  test "closes its handler when its reader is killed", %{pool: pool, folder: folder} do
    path = Path.join(folder, "notes")
    test = self()

    reader =
      spawn(fn ->
        for event <- BeamBpy.stream(pool, :steps, [path, 0.01]), do: send(test, event)
      end)

    assert_receive {:progress, 3}, 30_000
    Process.exit(reader, :kill)
    eventually(fn -> lines(path) == ["closed"] end)
    assert {:ok, _} = BeamBpy.call(pool, :process)
  end

  test "ends with an error when its time is over, or without progress" do
    pool = start_pool()
    wait_until_idle(pool)

    for options <- [[timeout: 400], [progress_timeout: 400]] do
      assert {:error, %Error{kind: :timeout}} =
               pool |> BeamBpy.stream(:wait, [60], options) |> Enum.to_list() |> List.last()

      assert {:ok, _} = BeamBpy.call(pool, :process)
    end

    events = pool |> BeamBpy.stream(:count, [1_000, 0.05], timeout: 3_000) |> Enum.to_list()
    assert [{:progress, 0} | _] = events
    assert {:error, %Error{kind: :timeout}} = List.last(events)
  end

  test "ends with an error when its Blender crashes" do
    pool = start_pool()
    events = pool |> BeamBpy.stream(:abort) |> Enum.to_list()
    assert [error: %Error{kind: :crashed, reason: 134}] = events
    assert BeamBpy.call(pool, :echo, [1]) == {:ok, 1}
  end

  test "two of them at once in one process do not mix", %{node: node} do
    worker = start_worker()
    {:ok, _} = Worker.node_of(worker)
    one = BeamBpy.stream(node, :count, [3, 0.01])
    two = BeamBpy.stream(worker, :count, [3, 0.01])

    assert Enum.zip(one, two) ==
             [
               {{:progress, 0}, {:progress, 0}},
               {{:progress, 1}, {:progress, 1}},
               {{:progress, 2}, {:progress, 2}},
               {{:ok, 3}, {:ok, 3}}
             ]
  end

  @tag :bpy
  test "of a render tells its frame" do
    handlers = Path.expand("../support/render.py", __DIR__)
    pool = start_pool(handlers: [handlers])
    events = pool |> BeamBpy.stream(:render, [2]) |> Enum.to_list()
    assert {:ok, nil} = List.last(events)
    assert Enum.any?(events, &match?({:render, %{frame: 1}}, &1))
  end
end
