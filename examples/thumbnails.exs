# Renders a picture of each 3D file in a folder: glTF, FBX, OBJ, USD, STL, PLY, Alembic and .blend. A pool of Blenders does
# the work; the picture of chair.glb is chair.glb.png, beside it. It needs the Python packages bpy, beam-bpy and
# beam-bpy-scene-handlers (`pip install bpy . ./scene_handlers`), and no Blender.
#
#     elixir --name thumbnails@127.0.0.1 examples/thumbnails.exs FOLDER [BLENDERS]
#
# BLENDERS is the number of Blenders that work at the same time, default 2.

Mix.install([{:beam_bpy, path: Path.expand("../elixir", __DIR__)}])
Logger.configure(level: :warning)

defmodule Thumbnails do
  def run(folder, blenders) do
    pool = {BeamBpy.Pool, name: Thumbnails.Blender, command: :python, handlers: ["scene_handlers"], max: blenders}
    {:ok, supervisor} = Supervisor.start_link([pool], strategy: :one_for_one)

    files(folder)
    |> Task.async_stream(&thumbnail/1, max_concurrency: blenders, timeout: :infinity)
    |> Enum.each(fn {:ok, line} -> IO.puts(line) end)

    Supervisor.stop(supervisor)
  end

  defp files(folder) do
    suffixes = for format <- [:blend | BeamBpy.Assets.formats()], do: ".#{format}"

    for name <- folder |> File.ls!() |> Enum.sort(), String.downcase(Path.extname(name)) in suffixes do
      Path.join(folder, name)
    end
  end

  # A file that Blender cannot read, or that crashes it, has no picture. The others are not affected.
  defp thumbnail(file) do
    case BeamBpy.Assets.thumbnail(Thumbnails.Blender, file, to: file <> ".png", timeout: 120_000) do
      {:ok, picture} -> picture
      {:error, error} -> "#{file} has no picture: #{error.text}"
    end
  end
end

case System.argv() do
  [folder] -> Thumbnails.run(folder, 2)
  [folder, blenders] -> Thumbnails.run(folder, String.to_integer(blenders))
  _ -> raise "usage: elixir --name thumbnails@127.0.0.1 examples/thumbnails.exs FOLDER [BLENDERS]"
end
