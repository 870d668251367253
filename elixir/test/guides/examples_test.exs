defmodule BeamBpy.Guides.ExamplesTest do
  use BeamBpy.Case, async: true

  alias BeamBpy.{Assets, Guide, Image, Models, TestRun}

  @moduletag :bpy
  @moduletag timeout: 600_000

  test "thumbnails.exs writes a picture of each file that Blender can read", %{folder: folder} do
    options = [command: {:python, python()}, handlers: ["scene_handlers"]]
    worker = start_supervised!({BeamBpy.Worker, options})
    models = Path.join(folder, "models")
    File.mkdir_p!(models)
    plate = {:bytes, Models.plates(["Plate"])}

    for name <- ["a.glb", "b.FBX", "ü.usdz", "d.stl"],
        do: Assets.convert!(worker, plate, Path.join(models, name))

    BeamBpy.call!(worker, :new_file)
    BeamBpy.call!(worker, :create_cube, ["Cube"])
    BeamBpy.call!(worker, :save_file, [Path.join(models, "e.blend")])
    File.write!(Path.join(models, "broken.glb"), "glTF")
    File.write!(Path.join(models, "notes.txt"), "This file is no model.")

    script = Path.join(TestRun.repository(), "examples/thumbnails.exs")
    path = Guide.python_folder(folder) <> ":" <> System.get_env("PATH")
    env = [{"PATH", path}, {"HOME", folder}, {"MIX_ENV", nil}]
    name = "thumbnails_#{TestRun.unique()}@127.0.0.1"
    args = ["--name", name, script, models]
    {output, status} = System.cmd("elixir", args, env: env, stderr_to_stdout: true)

    assert status == 0, output
    assert output =~ "broken.glb has no picture: "
    refute output =~ "notes.txt"

    pictures = Path.wildcard(models <> "/*.png")

    assert pictures ==
             for(name <- ~w(a.glb b.FBX d.stl e.blend ü.usdz), do: "#{models}/#{name}.png")

    {:ok, image} = models |> Path.join("e.blend.png") |> File.read!() |> Image.from_png()
    assert {image.width, image.height, image.channels} == {256, 256, 4}

    # The background is transparent, and the cube is in the middle.
    assert {_red, _green, _blue, 0} = Image.pixel(image, 0, 0)
    assert {_red, _green, _blue, 255} = Image.pixel(image, 128, 128)
  end
end
