defmodule BeamBpy.Guides.ExamplesTest do
  use BeamBpy.Case, async: true

  alias BeamBpy.{Guide, Image, TestRun}

  @moduletag :bpy
  @moduletag timeout: 600_000

  test "thumbnails.exs writes a picture of each file that Blender can read", %{folder: folder} do
    python = """
    import bpy

    def register(server):
        server.expose(save)

    def save(path):
        bpy.ops.export_scene.gltf(filepath=path)
    """

    options = [command: {:python, python()}, handlers: [handlers_file(folder, python)]]
    worker = start_supervised!({BeamBpy.Worker, options})
    models = Path.join(folder, "models")
    File.mkdir_p!(models)
    for name <- ["a", "b"], do: BeamBpy.call!(worker, :save, [Path.join(models, name <> ".glb")])
    File.write!(Path.join(models, "broken.glb"), "glTF")

    script = Path.join(TestRun.repository(), "examples/thumbnails.exs")
    path = Guide.python_folder(folder) <> ":" <> System.get_env("PATH")
    env = [{"PATH", path}, {"HOME", folder}, {"MIX_ENV", nil}]
    name = "thumbnails_#{TestRun.unique()}@127.0.0.1"
    args = ["--name", name, script, models]
    {output, status} = System.cmd("elixir", args, env: env, stderr_to_stdout: true)

    assert status == 0, output
    assert output =~ "broken.glb has no picture: "

    assert Path.wildcard(models <> "/*.png") ==
             for(name <- ["a", "b"], do: "#{models}/#{name}.png")

    {:ok, image} = models |> Path.join("a.png") |> File.read!() |> Image.from_png()
    assert {image.width, image.height, image.channels} == {256, 256, 4}

    # The background is transparent, and the cube of a new Blender is in the middle.
    assert {_red, _green, _blue, 0} = Image.pixel(image, 0, 0)
    assert {_red, _green, _blue, 255} = Image.pixel(image, 128, 128)
  end
end
