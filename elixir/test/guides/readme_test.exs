defmodule BeamBpy.Guides.ReadmeTest do
  # The README starts `python3` and writes into the present folder.
  use BeamBpy.Case, async: false

  alias BeamBpy.{Assets, Guide, Image, Models}

  @moduletag :bpy
  @moduletag timeout: 600_000

  setup %{folder: folder} do
    path = System.get_env("PATH")
    System.put_env("PATH", Guide.python_folder(folder) <> ":" <> path)
    on_exit(fn -> System.put_env("PATH", path) end)
  end

  test "the example in the README of the repository runs" do
    pool = Guide.blocks("../../README.md", "elixir") |> List.last()
    {png, binding} = Code.eval_string(pool)
    assert {:ok, %Image{width: 320, height: 240}} = Image.from_png(png)
    Supervisor.stop(binding[:_supervisor])
  end

  test "the examples run", %{folder: folder} do
    [children, picture, _path, _git, calls, stage, live, files] =
      Guide.blocks("../README.md", "elixir")

    {children, _binding} = Code.eval_string(children)

    File.cd!(folder, fn ->
      # Blender starts in this folder.
      for child <- children, do: start_supervised!(child)
      Code.eval_string(picture)
      {:ok, image} = "picture.png" |> File.read!() |> Image.from_png()
      assert {image.width, image.height} == {320, 240}

      ExUnit.CaptureIO.capture_io(fn ->
        {_value, binding} = Code.eval_string(calls)
        assert "Cube" in binding[:names]
        assert {:ok, %Image{width: 320, height: 240}} = Image.from_png(binding[:png])
      end)

      assert File.ls!("frames") |> Enum.sort() == ~w(0001.png 0002.png 0003.png)

      {[worker], _binding} = Code.eval_string(stage)
      start_supervised!(worker)
      {_value, binding} = Code.eval_string(live)
      assert binding[:x] == 1.0

      plate = {:bytes, Models.plates(["Plate"])}
      Assets.convert!(MyApp.Blender, plate, "chair.fbx")
      Code.eval_string(files)
      assert Enum.sort(Path.wildcard("chair.*")) == ["chair.fbx", "chair.usdz"]
    end)

    for %{node: node} <- BeamBpy.Pool.info(MyApp.Blender).workers, node do
      BeamBpy.call!(node, :set_frame, [7])
      assert_receive {:beam_bpy_event, ^node, "frame_change", _payload}, 10_000
    end
  end
end
