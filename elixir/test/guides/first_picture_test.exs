defmodule BeamBpy.Guides.FirstPictureTest do
  use BeamBpy.Case, async: true

  alias BeamBpy.{Guide, Image, TestRun}

  @moduletag :bpy
  @moduletag timeout: 600_000

  test "from an empty project to a picture, in at most ten lines of code", %{folder: folder} do
    [dependency, pool, picture, colored_picture, pool_with_handlers, _blender, _phoenix] =
      Guide.blocks("first_picture.md", "elixir")

    [new_project, render, render_colored, count] = Guide.blocks("first_picture.md", "bash")
    [handlers] = Guide.blocks("first_picture.md", "python")

    File.ln_s!(TestRun.repository(), Path.join(folder, "beam-bpy"))
    project = Path.join(folder, "my_app")
    run!(new_project, folder, folder)

    insert!(project, "mix.exs", "  defp deps do\n    [\n", dependency)
    insert!(project, "lib/my_app/application.ex", "    children = [\n", pool)
    insert!(project, "lib/my_app.ex", "defmodule MyApp do\n", picture)
    assert lines(dependency) + lines(pool) + lines(picture) <= 10

    run!(render, project, folder)
    grey = png(project, "picture.png")
    assert {grey.width, grey.height} == {320, 240}

    insert!(project, "lib/my_app.ex", "defmodule MyApp do\n", colored_picture)
    run!(render_colored, project, folder)
    violet = png(project, "violet.png")
    assert {violet.width, violet.height} == {320, 240}

    # The cube is in the middle of the picture: as red as green when it is grey, less green when it is violet.
    assert {red, green, _blue, _alpha} = Image.pixel(grey, 160, 120)
    assert abs(red - green) < 20
    assert {_red, green, blue, _alpha} = Image.pixel(violet, 160, 120)
    assert blue > green + 20

    File.mkdir_p!(Path.join(project, "priv"))
    File.write!(Path.join(project, "priv/handlers.py"), handlers)
    insert!(project, "lib/my_app/application.ex", pool, pool_with_handlers, :replace)
    assert run!(count, project, folder) =~ ~r/^8$/m
  end

  defp insert!(project, file, place, code, how \\ :behind) do
    path = Path.join(project, file)
    text = File.read!(path)
    assert [before, rest] = String.split(text, place)
    kept = if how == :behind, do: place, else: ""
    File.write!(path, before <> kept <> code <> rest)
  end

  defp lines(code), do: code |> String.split("\n", trim: true) |> length()

  # As in a terminal with an active virtual environment.
  defp run!(commands, project, home) do
    path = Guide.python_folder(home) <> ":" <> System.get_env("PATH")
    env = [{"PATH", path}, {"HOME", home}, {"MIX_ENV", nil}]
    options = [cd: project, env: env, stderr_to_stdout: true]
    {output, status} = System.cmd("sh", ["-e", "-c", commands], options)
    assert status == 0, output
    output
  end

  defp png(project, file) do
    {:ok, image} = project |> Path.join(file) |> File.read!() |> Image.from_png()
    image
  end
end
