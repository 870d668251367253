defmodule BeamBpy.AssetsInBlenderTest do
  use BeamBpy.Case, async: true

  import BeamBpy.Workers, only: [attach: 1, os_pids: 1, slots: 2, wait_until_idle: 1]

  alias BeamBpy.{Assets, Error, Image, Machines, Models, Pool}

  @moduletag :bpy
  @moduletag timeout: 600_000

  # A picture of this size needs a moment only.
  @small [width: 48, height: 32, samples: 1]

  # No test needs more.
  @time [timeout: 120_000]

  setup_all do
    pool = unique_name("assets")
    group = unique_name("group")

    options = [
      name: pool,
      group: group,
      command: {:python, python()},
      handlers: ["scene_handlers"]
    ]

    start_supervised!({Pool, [max: 2, timeout: 120_000] ++ options})
    %{pool: pool, group: group}
  end

  setup %{folder: folder} do
    content = Models.plates(["A", "B"])
    %{path: written(folder, "model.obj", content), bytes: {:bytes, content}}
  end

  test "thumbnail/3 pictures a path and bytes", %{pool: pool, path: path, bytes: bytes} do
    for source <- [path, bytes] do
      assert {:ok, png} = Assets.thumbnail(pool, source, @small)
      assert {48, 32} = size(png)
    end

    # From above, the plate fills the middle. The whole scene has a gap there.
    options = [from: :top, kind: :object, name: "A", samples: 1, width: 32, height: 32]
    {:ok, image} = pool |> Assets.thumbnail!(bytes, options) |> Image.from_png()
    assert {_, _, _, 255} = Image.pixel(image, 16, 16)
    assert {_, _, _, 0} = Image.pixel(image, 0, 0)

    {:ok, image} =
      pool
      |> Assets.thumbnail!(bytes, Keyword.drop(options, [:kind, :name]))
      |> Image.from_png()

    assert {_, _, _, 0} = Image.pixel(image, 16, 16)
  end

  test "thumbnail/3 writes a file, also into a new folder and through a link",
       %{pool: pool, bytes: bytes, folder: folder} do
    new = Path.join(folder, "new/folder/Ünicode.PNG")
    assert {:ok, ^new} = Assets.thumbnail(pool, bytes, [to: new] ++ @small)
    assert {48, 32} = new |> File.read!() |> size()

    old = written(folder, "old.png", "old")
    File.chmod!(old, 0o640)
    link = Path.join(folder, "link.png")
    File.ln_s!("old.png", link)
    assert {:ok, ^link} = Assets.thumbnail(pool, bytes, [to: link] ++ @small)
    assert {:ok, "old.png"} = File.read_link(link)
    assert {48, 32} = old |> File.read!() |> size()
    assert Bitwise.band(File.stat!(old).mode, 0o777) == 0o640
    assert hidden(folder) == []
  end

  test "a failed call leaves the target as it is", %{pool: pool, folder: folder} do
    old = written(folder, "old.glb", "old")
    new = Path.join(folder, "new/out.glb")

    for to <- [old, new] do
      assert {:error, %Error{kind: :python, type: "ValueError"}} =
               Assets.convert(pool, {:bytes, "glTF"}, to)
    end

    assert File.read!(old) == "old"
    assert Enum.sort(File.ls!(folder)) == ["model.obj", "old.glb"]
  end

  test "turntable/3 pictures all sides", %{pool: pool, path: path, folder: folder} do
    options = [count: 3] ++ @small
    assert {:ok, [a, b, c]} = Assets.turntable(pool, path, options)
    for png <- [a, b, c], do: assert({48, 32} = size(png))
    assert length(Enum.uniq([a, b, c])) == 3

    turn = Path.join(folder, "turn")
    assert {:ok, files} = Assets.turntable(pool, path, [to: turn] ++ options)
    assert files == for(number <- 1..3, do: Path.join(turn, "000#{number}.png"))
    for file <- files, do: assert({48, 32} = file |> File.read!() |> size())
    assert File.ls!(turn) |> Enum.sort() == Enum.map(files, &Path.basename/1)
  end

  test "convert/4 keeps what a file contains, in each format",
       %{pool: pool, path: path, bytes: bytes, folder: folder} do
    original = description(pool, bytes)
    assert {18, 16} = counts(original)

    for format <- Assets.formats() -- [:vrm] do
      assert {:ok, content} = Assets.convert(pool, bytes, format)
      made = description(pool, {:bytes, content})
      assert counts(made) == {18, 16}, "#{format}: #{inspect(made)}"
      assert_same_bounds(made, original)

      to = Path.join(folder, "out.#{format |> to_string() |> String.upcase()}")
      assert {:ok, ^to} = Assets.convert(pool, path, to)
      assert counts(description(pool, to)) == {18, 16}
    end
  end

  test "convert/4 says which format this Blender does not have", %{pool: pool, bytes: bytes} do
    assert {:error, %Error{kind: :python, text: text}} = Assets.convert(pool, bytes, :vrm)
    assert text =~ "VRM"
  end

  test "the formats are those of Blender", %{pool: pool, bytes: bytes} do
    {:error, %Error{text: text}} = Assets.process(pool, bytes, [{:export_bytes, ["another"]}])

    for format <- Assets.formats(), do: assert(text =~ ~r/\b#{format}\b/)
  end

  test "the content decides, and format: demands one", %{pool: pool, folder: folder} do
    glb = Assets.convert!(pool, {:bytes, Models.plates(["A"])}, :glb)
    misnamed = written(folder, "upload", glb)
    assert {9, 8} = pool |> description(misnamed) |> counts()
    assert {:error, %Error{kind: :python}} = Assets.thumbnail(pool, misnamed, format: :stl)
    assert {:ok, _png} = Assets.thumbnail(pool, misnamed, [format: :glb] ++ @small)
  end

  test "inspect/3 describes a file", %{pool: pool, path: path, bytes: bytes, group: group} do
    assert {:ok, %{"format" => "obj", "bytes" => size}} = Assets.inspect(pool, path)
    assert size == File.stat!(path).size
    glb = Assets.convert!(pool, bytes, :glb)

    assert {:ok, %{"format" => "glb", "version" => "2.0", "counts" => %{"meshes" => 2}}} =
             Assets.inspect({:group, group}, {:bytes, glb})

    assert {:error, %Error{kind: :python, type: "ValueError"}} =
             Assets.inspect(pool, {:bytes, "no 3D file"})
  end

  test "decimate/4 leaves a part of the triangles", %{pool: pool, folder: folder} do
    source = {:bytes, Models.plates(["A", "B"], 20)}
    assert {:ok, ply} = Assets.decimate(pool, source, :ply, ratio: 0.25)
    assert_in_delta faces(pool, {:bytes, ply}), 400, 20

    assert {:ok, levels} = Assets.decimate(pool, source, :glb, levels: [1, 0.5, 0.25])

    for {glb, expected} <- Enum.zip(levels, [1600, 800, 400]) do
      made = description(pool, {:bytes, glb})
      assert_in_delta made["counts"]["faces"], expected, 20
      assert Enum.sort(for(object <- made["objects"], do: object["name"])) == ["A", "B"]
    end

    to = Path.join(folder, "plates.glb")
    assert {:ok, files} = Assets.decimate(pool, source, to, levels: [0.5, 0.25])
    assert files == for(level <- 1..2, do: Path.join(folder, "plates_LOD#{level}.glb"))
    assert_in_delta faces(pool, List.last(files)), 400, 20
    assert {:ok, ^to} = Assets.decimate(pool, source, to, ratio: 0.5)
    assert_in_delta faces(pool, to), 800, 20
  end

  test "bake/3 bakes one object or all of them", %{pool: pool, bytes: bytes, folder: folder} do
    options = [width: 16, height: 8, samples: 1]
    assert {:ok, png} = Assets.bake(pool, bytes, [kind: :normal, name: "A"] ++ options)
    assert {16, 8} = size(png)

    assert {:ok, %{"A" => a, "B" => b}} = Assets.bake(pool, bytes, options)
    for png <- [a, b], do: assert({16, 8} = size(png))

    all = Path.join(folder, "all.png")
    assert {:ok, %{"A" => a, "B" => b}} = Assets.bake(pool, bytes, [to: all] ++ options)
    assert [a, b] == for(number <- 1..2, do: Path.join(folder, "all_#{number}.png"))
    for path <- [a, b], do: assert({16, 8} = path |> File.read!() |> size())

    one = {:bytes, Models.plates(["Only"])}
    to = Path.join(folder, "ao.png")
    assert {:ok, ^to} = Assets.bake(pool, one, [kind: :ao, to: to] ++ options)
    assert {16, 8} = to |> File.read!() |> size()
  end

  test "process/4 calls handlers in order", %{pool: pool, bytes: bytes} do
    steps = [
      {:list_objects, []},
      {"decimate", [nil, %{ratio: 0.5}]},
      {:thumbnail, ["scene", nil, Map.new(@small)]},
      {:export_bytes, ["stl"]}
    ]

    assert {:ok, [names, _counts, png, stl]} = Assets.process(pool, bytes, steps)
    assert Enum.sort(names) == ["A", "B"]
    assert {48, 32} = size(png)
    assert faces(pool, {:bytes, stl}) < 16
    assert {:ok, []} = Assets.process(pool, bytes, [])
  end

  test "an error of a step is the error of the call, and names the step",
       %{pool: pool, bytes: bytes} do
    steps = [{:list_objects, []}, {:delete_object, ["Nobody"]}]

    assert {:error, %Error{kind: :python, type: "LookupError", text: text}} =
             Assets.process(pool, bytes, steps)

    assert text =~ "2"
    assert text =~ "delete_object"

    for wrong <- [{:nothing, []}, {:new_file, []}, {:thumbnail, [1, 2, 3, 4, 5]}] do
      assert {:error, %Error{kind: :python}} = Assets.process(pool, bytes, [wrong])
    end

    assert {:error, %Error{kind: :python}} = Assets.thumbnail(pool, bytes, width: -1)
    assert {:error, %Error{kind: :python}} = Assets.thumbnail(pool, bytes, name: "No scene")
  end

  test "limits are those of the handler", %{pool: pool, folder: folder} do
    blend = Path.join(folder, "scene.blend")
    file = Path.join(folder, "scene_2.blend")

    {:ok, _saved} =
      BeamBpy.checkout(pool, fn blender ->
        BeamBpy.call!(blender, :new_file)
        BeamBpy.call!(blender, :create_cube, ["Crate"])
        BeamBpy.call!(blender, :save_file, [blend, %{compress: true}], @time)
      end)

    assert {8, 6} = pool |> description(blend) |> counts()
    assert {:ok, ^file} = {File.cp!(blend, file), file} |> put_elem(0, :ok)

    assert {:error, %Error{kind: :python, text: text}} =
             Assets.thumbnail(pool, file, max_unpacked: 1000)

    assert text =~ "max_unpacked"
  end

  test "each function makes one call", %{pool: pool, bytes: bytes, folder: folder} do
    attach([[:beam_bpy, :call, :stop]])
    options = [width: 16, height: 16, samples: 1]

    for call <- [
          fn -> Assets.thumbnail!(pool, bytes, options) end,
          fn -> Assets.turntable!(pool, bytes, [count: 2] ++ options) end,
          fn -> Assets.convert!(pool, bytes, Path.join(folder, "a.glb")) end,
          fn -> Assets.inspect!(pool, bytes) end,
          fn -> Assets.decimate!(pool, bytes, :glb, levels: [0.5, 0.25]) end,
          fn -> Assets.bake!(pool, bytes, options) end
        ] do
      call.()
      assert_receive {:telemetry, _event, _measurements, %{target: ^pool, result: :ok}}
      refute_received {:telemetry, _event, _measurements, %{target: ^pool}}
    end
  end

  test "two calls run at the same time", %{pool: pool, bytes: bytes} do
    test = self()
    steps = [{:turntable, ["scene", nil, %{count: 2, width: 16, height: 16, samples: 1}]}]
    {:bytes, content} = bytes

    # Each caller waits in the middle of its call until the other one is there, too.
    callers =
      for _ <- 1..2 do
        Task.async(fn ->
          BeamBpy.stream(pool, :process_bytes, [content, steps], @time)
          |> Enum.map(fn event ->
            if match?({:progress, _value}, event) do
              send(test, {:runs, self()})
              receive do: (:continue -> :ok)
            end

            event
          end)
          |> List.last()
        end)
      end

    for %Task{pid: pid} <- callers, do: assert_receive({:runs, ^pid}, 120_000)
    for %Task{pid: pid} <- callers, _ <- 1..100, do: send(pid, :continue)
    for result <- Task.await_many(callers, 120_000), do: assert({:ok, [[_, _]]} = result)

    results =
      1..8
      |> Task.async_stream(fn _ -> Assets.thumbnail!(pool, bytes, @small) end,
        max_concurrency: 8,
        timeout: :infinity
      )
      |> Enum.map(fn {:ok, png} -> size(png) end)

    assert results == List.duplicate({48, 32}, 8)
  end

  test "the pool can be on another machine; files are those of the caller", %{folder: folder} do
    peer = start_peer()
    elsewhere = Path.join(folder, "elsewhere")
    File.mkdir_p!(elsewhere)
    :ok = :erpc.call(peer, File, :cd!, [elsewhere])
    context = Machines.new_group(folder)
    pool = Machines.start_there(context, peer, handlers: ["scene_handlers"])
    path = written(folder, "plate.obj", Models.plates(["A"], 30))
    to = Path.join(folder, "plate.glb")

    for target <- [{:group, context.group}, {pool, peer}] do
      assert {:ok, ^to} = Assets.convert(target, path, to)
      assert {961, 1800} = target |> description(to) |> counts()
      File.rm!(to)
    end

    alembic = Assets.convert!({pool, peer}, path, :abc)
    crashed = crash({pool, peer}, alembic)
    assert %Error{kind: :crashed, reason: status} = crashed
    assert status > 128
    assert {961, 1800} = {pool, peer} |> description(path) |> counts()
    assert File.ls!(elsewhere) == []
  end

  describe "a file costs only its own call" do
    setup do
      pool = unique_name("assets")
      options = [name: pool, command: {:python, python()}, handlers: ["scene_handlers"]]
      start_supervised!({Pool, [timeout: 120_000] ++ options})
      %{pool: pool, bytes: {:bytes, Models.plates(["A"])}}
    end

    test "if it crashes Blender", %{pool: pool, bytes: bytes} do
      alembic = Assets.convert!(pool, {:bytes, Models.plates(["A"], 30)}, :abc)

      assert %Error{kind: :crashed, reason: status, text: text} = crash(pool, alembic)
      assert status > 128
      assert text =~ "signal"
      assert {9, 8} = pool |> description(bytes) |> counts()
    end

    test "if its Blender is killed; with retries: it runs again", %{pool: pool, bytes: bytes} do
      options = [count: 200, width: 64, height: 64, samples: 4]

      call = fn more ->
        caller = Task.async(fn -> Assets.turntable(pool, bytes, options ++ more ++ @time) end)
        eventually(fn -> slots(pool, :busy) != [] end)
        [os_pid] = os_pids(pool)
        OsProcess.kill(os_pid)
        Task.await(caller, 180_000)
      end

      assert {:error, %Error{kind: :crashed, reason: 137}} = call.([])
      assert {9, 8} = pool |> description(bytes) |> counts()
      assert {:ok, pictures} = call.(retries: 1)
      assert length(pictures) == 200
    end

    test "if it takes too long", %{pool: pool, bytes: bytes, folder: folder} do
      to = Path.join(folder, "a.png")
      options = [to: to, width: 2048, height: 2048, samples: 100_000]
      wait_until_idle(pool)

      assert {:error, %Error{kind: :timeout}} =
               Assets.thumbnail(pool, bytes, [timeout: 3_000] ++ options)

      assert {9, 8} = pool |> description(bytes) |> counts()

      assert {:error, %Error{kind: :python, type: "TimeoutError"}} =
               Assets.turntable(pool, bytes, count: 1000, samples: 1, max_seconds: 1)

      assert {9, 8} = pool |> description(bytes) |> counts()
      assert File.ls!(folder) == ["model.obj"]
    end

    test "if its caller dies: the same Blender has an empty file, and works",
         %{pool: pool, bytes: bytes} do
      [%{node: node}] = wait_until_idle(pool)
      [os_pid] = os_pids(pool)

      for _ <- 1..3 do
        options = [count: 1000, width: 32, height: 32, samples: 1] ++ @time
        caller = spawn(fn -> Assets.turntable(pool, bytes, options) end)
        eventually(fn -> slots(pool, :busy) != [] end)
        Process.sleep(300)
        Process.exit(caller, :kill)

        assert {:ok, [%{"counts" => %{"objects" => 1}}]} =
                 Assets.process(pool, bytes, [{:describe_scene, []}])

        assert [] = BeamBpy.call!(node, :list_objects)
      end

      assert os_pids(pool) == [os_pid]
    end
  end

  defp written(folder, name, content) do
    path = Path.join(folder, name)
    File.write!(path, content)
    path
  end

  defp hidden(folder) do
    for path <- Path.wildcard(folder <> "/**", match_dot: true),
        String.starts_with?(Path.basename(path), "."),
        do: path
  end

  defp size(png) do
    {:ok, image} = Image.from_png(png)
    {image.width, image.height}
  end

  defp description(pool, source) do
    [described] = Assets.process!(pool, source, [{:describe_scene, []}], @time)
    described
  end

  defp counts(%{"counts" => %{"vertices" => vertices, "faces" => faces}}), do: {vertices, faces}
  defp faces(pool, source), do: pool |> description(source) |> counts() |> elem(1)

  defp assert_same_bounds(made, original) do
    for corner <- ["least", "most"],
        {a, b} <- Enum.zip(made["bounds"][corner], original["bounds"][corner]),
        do: assert_in_delta(a, b, 1.0e-4)
  end

  # Most files of Alembic with random damage are refused, or crash Blender. After each, the next call works.
  defp crash(target, alembic) do
    plate = {:bytes, Models.plates(["A"])}

    Enum.find_value(1..100, fn seed ->
      outcome = Assets.convert(target, {:bytes, damaged(alembic, seed)}, :ply)
      assert {9, 8} = target |> description(plate) |> counts()
      with {:error, %Error{kind: :crashed} = error} <- outcome, do: error, else: (_ -> nil)
    end)
  end

  defp damaged(content, seed) do
    :rand.seed(:exsss, {seed, 2, 3})

    Enum.reduce(1..20, content, fn _, content ->
      place = 8 + :rand.uniform(byte_size(content) - 9)
      <<head::binary-size(place), _byte, tail::binary>> = content
      head <> <<:rand.uniform(256) - 1>> <> tail
    end)
  end
end
