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
    before = files(temporary)

    # The largest files come first, so that the memory that they need is not taken for a leak.
    {crashing, calm} = entries |> Enum.sort_by(&(-&1.bytes)) |> Enum.split_with(& &1.crashes)

    memory =
      for part <- Enum.chunk_every(calm, 50) do
        assert run(pool, part) == []
        resident(os_pids)
      end

    assert os_pids(pool) == os_pids, "a file that cannot crash Blender has ended it"
    assert files(temporary) == before
    assert_flat(memory, 50)

    assert run(pool, crashing) == []
    assert {:ok, [_description]} = Assets.process(pool, first_valid(entries), [@describe])
    refute File.exists?(victim)
    refute victim |> Path.dirname() |> File.ls!() |> Enum.any?(&(&1 =~ "victim"))
  end

  defp first_valid(entries), do: Enum.find(entries, &(&1.kind == :valid)).path

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

  # Everything in a folder. The folders of Blender itself are there as long as it runs.
  defp files(folder), do: folder |> Path.join("**") |> Path.wildcard(match_dot: true) |> Enum.sort()

  defp resident(os_pids), do: os_pids |> Enum.map(&OsProcess.resident/1) |> Enum.sum()

  defp assert_flat([_first, second | _] = memory, step) do
    growth = (List.last(memory) - second) / (step * (length(memory) - 2))
    IO.inspect({Enum.map(memory, &div(&1, 1_000_000)), growth})
    assert growth < @growth
  end

  ## Results

  # Runs files, two at a time. Returns a sentence for each wrong result.
  defp run(pool, entries) do
    entries
    |> Task.async_stream(&check(&1, process(pool, &1)), max_concurrency: 2, timeout: :infinity)
    |> Enum.flat_map(fn {:ok, wrong} -> wrong end)
  end

  defp process(pool, entry) do
    {limits, options} = Keyword.split(entry.options, [:max_bytes, :max_unpacked, :format])
    Assets.process(pool, entry.path, [@describe], limits ++ options)
  end

  defp check(entry, result) do
    for sentence <- wrong(entry, result), do: "#{entry.name}: #{sentence}"
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

  defp meshes(described), do: for(%{"type" => "MESH"} = object <- described["objects"], do: object)
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
