defmodule BeamBpy.CastTest do
  use BeamBpy.Case, async: true

  @moduletag :capture_log

  import BeamBpy.Workers

  alias BeamBpy.Worker

  @numbers for number <- 1..100, do: "#{number}"

  for kind <- [:worker, :node, :pool_in_checkout] do
    describe "casts to a #{kind}" do
      setup do
        %{kind: unquote(kind)}
      end

      test "arrive in order, and before a call", context do
        within(context.kind, fn target ->
          path = Path.join(context.folder, "notes")
          for text <- @numbers, do: :ok = BeamBpy.cast(target, :note, [path, text])
          assert BeamBpy.call(target, :echo, [1]) == {:ok, 1}
          assert lines(path) == @numbers
        end)
      end

      test "wait with the newest value only, if the handler has the option latest", context do
        within(context.kind, fn target ->
          [path, flag] = for name <- ~w(notes flag), do: Path.join(context.folder, name)
          BeamBpy.cast(target, :wait_for_file, [flag])
          for text <- @numbers, do: BeamBpy.cast(target, :note_newest, [path, text])

          # The node answers this on another thread, when it has read the casts.
          {:ok, %{replaced: replaced}} = BeamBpy.call(target, :health, [], module: :beam_bpy)
          assert replaced == 99
          File.touch!(flag)
          assert BeamBpy.call(target, :echo, [1]) == {:ok, 1}
          assert lines(path) == ["100"]
        end)
      end

      test "belong to a module", context do
        within(context.kind, fn target ->
          BeamBpy.cast(target, :whole_name, [], module: Other)
          BeamBpy.cast(target, :whole_name, [])
          {:ok, _} = BeamBpy.call(target, :echo, [1])
          {:ok, health} = BeamBpy.call(target, :health, [], module: :beam_bpy)
          # Only the handler of the other module exists.
          assert %{failures: 1} = health
        end)
      end
    end
  end

  test "casts to a worker that starts wait, and run before the calls that wait", %{folder: folder} do
    path = Path.join(folder, "notes")
    worker = start_worker()
    call = Task.async(fn -> BeamBpy.call(worker, :note, [path, "call"]) end)
    for text <- @numbers, do: :ok = BeamBpy.cast(worker, :note, [path, text])
    assert BeamBpy.call(worker, :echo, [1]) == {:ok, 1}
    assert Task.await(call) == {:ok, nil}
    assert lines(path) == @numbers ++ ["call"]
  end

  test "casts from several processes each keep their order", %{folder: folder} do
    worker = start_target(:worker)
    paths = for name <- 1..4, do: Path.join(folder, "notes#{name}")

    paths
    |> Enum.map(fn path ->
      Task.async(fn -> for text <- @numbers, do: BeamBpy.cast(worker, :note, [path, text]) end)
    end)
    |> Task.await_many()

    assert BeamBpy.call(worker, :echo, [1]) == {:ok, 1}
    for path <- paths, do: assert(lines(path) == @numbers)
  end

  test "a worker whose connection is full still answers, and sends the casts later", context do
    [path, flag] = for name <- ~w(notes flag), do: Path.join(context.folder, name)
    worker = start_worker(env: %{"BPY_BEAM_MAX_IN_FLIGHT" => "10"})
    {:ok, _node} = Worker.node_of(worker)
    BeamBpy.cast(worker, :wait_for_file, [flag])
    # 32 MiB, of which the node reads a small part.
    text = String.duplicate("x", 256 * 1024)
    for number <- 1..128, do: BeamBpy.cast(worker, :note, [path, "#{number} #{text}"])
    # The worker has read all casts when it answers this.
    assert is_integer(Worker.os_pid(worker))
    assert %{phase: :sending} = :sys.get_state(worker)
    File.touch!(flag)
    assert BeamBpy.call(worker, :echo, [1]) == {:ok, 1}
    assert length(lines(path)) == 128

    assert for(line <- lines(path), do: line |> Integer.parse() |> elem(0)) ==
             Enum.to_list(1..128)

    assert %{phase: :ready, casts: []} = :sys.get_state(worker)
  end

  test "casts to a worker continue after a cut connection", %{folder: folder} do
    path = Path.join(folder, "notes")
    worker = start_worker()
    {:ok, node} = Worker.node_of(worker)
    :erlang.disconnect_node(node)

    eventually(fn ->
      BeamBpy.cast(worker, :note, [path, "x"])
      lines(path) != []
    end)
  end

  test "a cast to a pool waits for a Blender, and fails alone", %{folder: folder} do
    path = Path.join(folder, "notes")
    pool = start_pool()
    BeamBpy.cast(pool, :abort)
    BeamBpy.cast(pool, :fail, ["x"])
    for text <- @numbers, do: BeamBpy.cast(pool, :note, [path, text], retries: 1)
    eventually(fn -> Enum.sort(lines(path)) == Enum.sort(@numbers) end)
  end

  test "a cast sends an event, and a cast to a pool also those of a call" do
    attach([[:beam_bpy, :cast], [:beam_bpy, :call, :start], [:beam_bpy, :call, :stop]])
    {worker, pool} = {start_target(:worker), start_target(:pool)}

    for target <- [worker, pool] do
      BeamBpy.cast(target, :echo, [1])
      metadata = %{target: target, module: Blender, function: :echo, arity: 1}
      assert_receive {:telemetry, [:beam_bpy, :cast], %{system_time: _}, ^metadata}
    end

    assert_receive {:telemetry, [:beam_bpy, :call, :stop], _, %{target: ^pool, result: :ok}},
                   30_000

    {:ok, 1} = BeamBpy.call(worker, :echo, [1])
    assert_receive {:telemetry, [:beam_bpy, :call, :start], _, %{target: ^worker}}
    refute_received {:telemetry, [:beam_bpy, :call, :start], _, %{target: ^worker}}
  end

  defp within(:pool_in_checkout, function),
    do: assert({:ok, _} = BeamBpy.checkout(start_pool(), function))

  defp within(kind, function), do: function.(start_target(kind))
end
