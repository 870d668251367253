defmodule BeamBpy.AssetsCorpusTest do
  # Hundreds of files of all formats, which `tests/corpus` writes: valid, damaged, and made to harm a service.
  use BeamBpy.Case

  @moduletag :bpy
  @moduletag :acceptance
  @moduletag :capture_log
  @moduletag timeout: 900_000

  import BeamBpy.Workers, only: [os_pids: 1, wait_until_idle: 2]

  alias BeamBpy.{Assets, Error, Pool, TestRun}

  # The memory of a Blender may not grow by more bytes than this for each file. A leak of 100 kB is found.
  @growth 50_000

  # Lengths and coordinates are numbers of 32 bits, and some formats store them as text.
  @precision 1.0e-4

  @describe {:describe_scene, [%{limit: 100_000}]}

  setup_all do
    folder = Path.join(System.tmp_dir!(), "beam-bpy-corpus-#{TestRun.unique()}")
    File.mkdir_p!(folder)
    on_exit(fn -> File.rm_rf!(folder) end)
    program = Path.join(TestRun.repository(), "tests/corpus")
    {_output, 0} = System.cmd(python(), [program, folder], stderr_to_stdout: true)
    entries = folder |> Path.join("corpus.etf") |> File.read!() |> :erlang.binary_to_term()
    %{entries: entries, victim: Path.join(folder, "victim")}
  end

  # The workers have a folder for temporary files of their own, so that nobody else writes there.
  setup %{folder: folder} do
    temporary = Path.join(folder, "temporary")
    File.mkdir_p!(temporary)
    %{temporary: temporary}
  end

  test "each file has the right result, and costs only its own call",
       %{entries: entries, temporary: temporary, victim: victim} do
    assert length(entries) >= 200
    assert Enum.uniq_by(entries, & &1.name) == entries
    pool = start_pool(temporary, 2)
    os_pids = os_pids(pool)
    {crashing, calm} = Enum.split_with(entries, & &1.crashes)

    assert {[], growth} = run_and_measure(pool, calm)
    assert os_pids(pool) == os_pids, "a file that cannot crash Blender has ended it"
    assert growth < @growth

    assert run(pool, crashing) == []
    valid = Enum.find(entries, &(&1.kind == :valid))
    assert {:ok, [_description]} = Assets.process(pool, valid.path, [@describe])

    # The Blender that takes the place of a crashed one removes the files of that one.
    wait_until_idle(pool, 2)
    assert left(temporary) == []
    refute victim |> Path.dirname() |> File.ls!() |> Enum.any?(&(&1 =~ "victim"))
  end

  test "a file that is being read when Blender is killed does not remain",
       %{entries: entries, temporary: temporary} do
    pool = start_pool(temporary, 1)
    [os_pid] = os_pids(pool)
    large = Enum.max_by(entries, &if(&1.kind == :valid, do: &1.bytes, else: 0))
    call = Task.async(fn -> Assets.process(pool, large.path, [@describe]) end)
    eventually(fn -> left(temporary) != [] end)
    OsProcess.kill(os_pid)
    assert {:error, %Error{kind: :crashed}} = Task.await(call)
    eventually(fn -> left(temporary) == [] end)
  end

  test "the folder of a Blender that is killed between two calls does not remain",
       %{temporary: temporary} do
    pool = start_pool(temporary, 1)
    [os_pid] = os_pids(pool)
    [folder] = blenders(temporary)
    OsProcess.kill(os_pid)
    eventually(fn -> temporary |> blenders() |> Enum.reject(&(&1 == folder)) != [] end)
    wait_until_idle(pool, 1)
    refute File.exists?(folder)
  end

  test "the measurement of memory finds a leak", %{entries: entries, temporary: temporary} do
    handlers = Path.expand("../support/leaking.py", __DIR__)
    pool = start_pool(temporary, 1, [handlers])
    small = for entry <- entries, entry.kind == :valid, entry.bytes < 10_000, do: entry
    leak = fn -> BeamBpy.call!(pool, :leak, [100_000]) end
    assert {[], growth} = run_and_measure(pool, small, leak)
    assert growth > @growth
  end

  test "GLB, USD, FBX and GLB again keep what a file contains",
       %{entries: entries, temporary: temporary} do
    pool = start_pool(temporary, 1)

    for name <- ~w(family coloured textured moving rigged shaped crowd named) do
      path = Enum.find(entries, &(&1.name == "exported #{name}.glb")).path
      first = {:bytes, File.read!(path)}

      last =
        for format <- [:usdc, :fbx, :glb], reduce: first do
          source -> {:bytes, Assets.convert!(pool, source, format)}
        end

      [before, afterwards] =
        for source <- [first, last], do: pool |> Assets.process!(source, [@describe]) |> hd()

      for key <- [:vertices, :faces, :object_count] do
        assert {name, key, found(key, afterwards)} == {name, key, found(key, before)}
      end

      # USD has a skeleton for shape keys, and a parent for each skeleton.
      unless name in ~w(rigged shaped),
        do: assert(length(afterwards["objects"]) == length(before["objects"]))

      assert length(afterwards["materials"]) == length(before["materials"])
      assert same?(found(:bounds, before), found(:bounds, afterwards))
    end
  end

  defp start_pool(temporary, size, handlers \\ []) do
    name = unique_name("corpus")

    start_supervised!(
      {Pool,
       name: name,
       command: {:python, python()},
       handlers: ["scene_handlers" | handlers],
       env: %{"TMPDIR" => temporary},
       min: size,
       log: false,
       timeout: 120_000}
    )

    wait_until_idle(name, size)
    name
  end

  # The files that calls have left. Each Blender has a folder with the mark of its lock as long as it runs.
  defp left(temporary) do
    paths = temporary |> Path.join("**") |> Path.wildcard(match_dot: true)
    blenders = temporary |> blenders() |> Enum.take(2)
    paths -- (blenders ++ Enum.map(blenders, &Path.join(&1, "scene_handlers.locked")))
  end

  defp blenders(temporary), do: temporary |> Path.join("blender_*") |> Path.wildcard()

  # Runs files. Returns a sentence for each wrong result, and by how many bytes the Blenders have grown for each file
  # after the first 50 or so. These are the large files and some of each format, and each Blender reads them: it keeps
  # some of the memory that it needs for the largest file, and for the importer of each format.
  defp run_and_measure(pool, entries, after_each \\ fn -> nil end) do
    {large, small} = Enum.split_with(entries, &(&1.bytes > 1_000_000))
    formats = small |> Enum.filter(&(&1.kind == :valid)) |> Enum.group_by(&Path.extname(&1.path))
    some = Enum.flat_map(formats, fn {_suffix, same} -> Enum.take(same, 4) end)
    rest = Enum.shuffle(small -- some)

    wrong =
      Pool.info(pool).workers
      |> Enum.map(&Task.async(fn -> run(&1.node, large ++ some, after_each, 1) end))
      |> Task.await_many(:infinity)
      |> Enum.concat()

    before = resident(pool)
    wrong = wrong ++ run(pool, rest, after_each)
    {wrong, (resident(pool) - before) / length(rest)}
  end

  defp resident(pool), do: pool |> os_pids() |> Enum.map(&OsProcess.resident/1) |> Enum.sum()

  ## Results

  defp run(target, entries, after_each \\ fn -> nil end, at_once \\ 2) do
    check = fn entry ->
      result =
        Assets.process(target, entry.path, [@describe], [timeout: 120_000] ++ entry.options)

      after_each.()
      for sentence <- wrong(entry, result), do: "#{entry.name}: #{sentence}"
    end

    entries
    |> Task.async_stream(check, max_concurrency: at_once, timeout: :infinity)
    |> Enum.flat_map(fn {:ok, wrong} -> wrong end)
  end

  defp wrong(%{kind: :valid} = entry, {:ok, [described]}) do
    for {key, wanted} <- entry.content, found = found(key, described), not same?(wanted, found) do
      "#{key} is #{inspect(found)} instead of #{inspect(wanted)}"
    end
  end

  defp wrong(%{kind: :valid}, {:error, error}), do: [Exception.message(error)]
  defp wrong(%{kind: :damaged}, {:ok, [_described]}), do: []
  defp wrong(%{kind: :invalid}, {:ok, [described]}), do: ["accepted: #{inspect(described)}"]

  defp wrong(%{crashes: true}, {:error, %Error{kind: kind}}) when kind in [:crashed, :timeout],
    do: []

  defp wrong(_entry, {:error, error}), do: if(sentence?(error), do: [], else: [inspect(error)])

  defp found(:vertices, described), do: described["counts"]["vertices"]
  defp found(:faces, described), do: described["counts"]["faces"]
  defp found(:object_count, described), do: described |> meshes() |> length()
  defp found(:objects, described), do: described |> meshes() |> names()
  defp found(:materials, described), do: names(described["materials"])
  defp found(:frames, %{"frame" => %{"first" => first, "last" => last}}), do: last - first
  defp found(:bounds, %{"bounds" => %{"least" => least, "most" => most}}), do: least ++ most
  defp found(:bounds, %{"bounds" => nil}), do: []

  defp meshes(described),
    do: for(%{"type" => "MESH"} = object <- described["objects"], do: object)

  defp names(described), do: described |> Enum.map(& &1["name"]) |> Enum.sort()

  defp same?([number | _] = wanted, found) when is_float(number) do
    tolerance = @precision * (wanted |> Enum.map(&abs/1) |> Enum.max())

    length(found) == length(wanted) and
      wanted |> Enum.zip(found) |> Enum.all?(fn {a, b} -> abs(a - b) <= tolerance end)
  end

  defp same?(wanted, found), do: wanted == found

  # A text that a user can read: several words, on one line, and no traceback.
  defp sentence?(%Error{kind: kind, text: text}) do
    kind in [:python, :file] and length(String.split(text)) >= 3 and
      not String.contains?(text, ["\n", "Traceback"])
  end
end
