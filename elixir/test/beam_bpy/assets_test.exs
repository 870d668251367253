defmodule BeamBpy.AssetsTest do
  use BeamBpy.Case, async: true

  alias BeamBpy.{Assets, Error, Models}
  alias BeamBpy.Assets.Files

  doctest Assets

  describe "errors about files of the caller, which need no Blender:" do
    test "a source that cannot be read", %{folder: folder} do
      empty = written(folder, "empty.glb", "")
      large = written(folder, "large.glb", "12345")

      assert %{reason: :enoent} = refused("missing.glb", ~s(cannot read "missing.glb"))
      assert %{reason: :enoent} = refused("", "cannot read")
      assert %{reason: :eisdir} = refused(folder, "it is a folder")
      assert %{reason: :einval} = refused("/dev/zero", "not a regular file")
      assert %{reason: :empty} = refused(empty, "is empty")
      assert %{reason: :empty} = refused({:bytes, ""}, "is empty")
      assert %{reason: :efbig} = refused(large, "max_bytes", max_bytes: 4)
      assert %{reason: :efbig} = refused({:bytes, "12345"}, "max_bytes", max_bytes: 4)
    end

    test "the content of a file in place of its path" do
      contents = [
        Models.plates(["A"]),
        <<"glTF", 2::32-little, 100::32-little>>,
        "#usda 1.0\n",
        :rand.bytes(100_000)
      ]

      for content <- contents, do: refused(content, "{:bytes, data}")
    end

    test "a target that cannot be written", %{folder: folder} do
      source = written(folder, "model.obj", Models.plates(["A"]))
      read_only = written(folder, "old.png", "old")
      File.chmod!(read_only, 0o444)

      for {to, reason} <- [
            {folder <> ".png/x.jpg", :einval},
            {"picture", :einval},
            {source <> "/x.png", :enotdir},
            {read_only, :eacces},
            {String.duplicate("a", 300) <> ".png", :enametoolong},
            {"a\0b.png", :badarg}
          ] do
        assert {:error, %Error{kind: :file, reason: ^reason}} =
                 Assets.thumbnail(:nobody, source, to: to)
      end

      File.mkdir_p!(Path.join(folder, "folder.glb"))

      assert {:error, %Error{kind: :file, reason: :eisdir}} =
               Assets.convert(:nobody, source, Path.join(folder, "folder.glb"))

      assert {:error, %Error{kind: :file, reason: :enotdir}} =
               Assets.turntable(:nobody, source, to: source)

      assert File.read!(read_only) == "old"
    end

    test "an unknown format", %{folder: folder} do
      source = written(folder, "model.obj", Models.plates(["A"]))

      for to <- ["out.doc", "out", "glb", "", :doc, 7] do
        assert {:error, %Error{kind: :file, text: text}} = Assets.convert(:nobody, source, to)
        assert text =~ "glb"

        assert {:error, %Error{kind: :file}} = Assets.decimate(:nobody, source, to, ratio: 0.5)
      end
    end

    test "the functions with ! raise them" do
      for call <- [
            &Assets.thumbnail!/2,
            &Assets.turntable!/2,
            &Assets.inspect!/2,
            &Assets.bake!/2,
            &Assets.convert!(&1, &2, :glb),
            &Assets.decimate!(&1, &2, :glb, ratio: 0.5),
            &Assets.process!(&1, &2, [])
          ],
          do: assert_raise(Error, ~r/cannot read/, fn -> call.(:nobody, "missing.glb") end)
    end
  end

  test "files that many write and read at the same time are complete", %{folder: folder} do
    path = Path.join(folder, "new/file.glb")
    contents = for byte <- 1..20, do: :binary.copy(<<byte>>, 200_000)
    :ok = Files.write([{path, hd(contents)}])
    reader = Task.async(fn -> for _ <- 1..300, do: File.read!(path) end)

    contents
    |> Task.async_stream(&Files.write([{path, &1}]), max_concurrency: 8)
    |> Enum.each(fn written -> assert written == {:ok, :ok} end)

    for content <- reader |> Task.await(60_000) |> Enum.uniq(), do: assert(content in contents)
    assert File.ls!(Path.dirname(path)) == ["file.glb"]
  end

  test "if one file cannot be written, none is, and no folder is left", %{folder: folder} do
    new = Path.join(folder, "new/folder/a.png")
    wrong = Path.join(folder, "wrong.png")
    File.mkdir_p!(wrong)

    assert {:error, %Error{kind: :file, reason: :eisdir}} =
             Files.write([{new, "a"}, {wrong, "b"}])

    assert File.ls!(folder) == ["wrong.png"]
  end

  test "mistakes in the arguments raise an ArgumentError", %{folder: folder} do
    source = written(folder, "model.obj", Models.plates(["A"]))

    for mistake <- [
          fn -> Assets.thumbnail(:nobody, :model) end,
          fn -> Assets.thumbnail(:nobody, {:bytes, 7}) end,
          fn -> Assets.thumbnail(:nobody, source, size: 3) end,
          fn -> Assets.thumbnail(:nobody, source, to: :png) end,
          fn -> Assets.thumbnail(:nobody, source, max_bytes: -1) end,
          fn -> Assets.thumbnail(:nobody, source, timeout: -1) end,
          fn -> Assets.convert(:nobody, source, :glb, count: 3) end,
          fn -> Assets.inspect(:nobody, source, width: 3) end,
          fn -> Assets.turntable(:nobody, source, to: 3) end,
          fn -> Assets.decimate(:nobody, source, :glb, []) end,
          fn -> Assets.decimate(:nobody, source, :glb, ratio: 0) end,
          fn -> Assets.decimate(:nobody, source, :glb, ratio: 1.5) end,
          fn -> Assets.decimate(:nobody, source, :glb, ratio: 0.5, levels: [0.5]) end,
          fn -> Assets.decimate(:nobody, source, :glb, levels: []) end,
          fn -> Assets.decimate(:nobody, source, :glb, levels: [0.2, 0.5]) end
        ],
        do: assert_raise(ArgumentError, mistake)
  end

  defp refused(source, part, options \\ []) do
    assert {:error, %Error{kind: :file, text: text} = error} =
             Assets.thumbnail(:nobody, source, options)

    assert text =~ part
    assert byte_size(text) < 400
    limits = Keyword.take(options, [:max_bytes])
    assert {:error, ^error} = Assets.inspect(:nobody, source, limits)
    assert {:error, ^error} = Assets.convert(:nobody, source, :glb, options)
    error
  end

  defp written(folder, name, content) do
    path = Path.join(folder, name)
    File.write!(path, content)
    path
  end
end
