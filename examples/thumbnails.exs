# Renders a picture of each glTF file (.glb) in a folder. A pool of Blenders does the work; the pictures are written
# beside the files. It needs the Python packages bpy and beam-bpy (`pip install bpy .`), and no Blender.
#
#     elixir --name thumbnails@127.0.0.1 examples/thumbnails.exs FOLDER [BLENDERS]
#
# BLENDERS is the number of Blenders that work at the same time, default 2.

Mix.install([{:beam_bpy, path: Path.expand("../elixir", __DIR__)}])
Logger.configure(level: :warning)

defmodule Thumbnails do
  @size 256

  def run(folder, blenders) do
    handlers = [Path.join(__DIR__, "thumbnail_handlers.py")]
    pool = {BeamBpy.Pool, name: Thumbnails.Blender, command: :python, handlers: handlers, max: blenders}
    {:ok, _supervisor} = Supervisor.start_link([pool], strategy: :one_for_one)

    Path.join(folder, "*.glb")
    |> Path.wildcard()
    |> Task.async_stream(&thumbnail/1, max_concurrency: blenders, timeout: :infinity)
    |> Enum.each(fn {:ok, line} -> IO.puts(line) end)
  end

  # A file that Blender cannot read, or that crashes it, has no picture. The others are not affected.
  defp thumbnail(file) do
    case BeamBpy.call(Thumbnails.Blender, :thumbnail, [Path.expand(file), @size], timeout: 120_000) do
      {:ok, png} ->
        picture = Path.rootname(file) <> ".png"
        File.write!(picture, png)
        picture

      {:error, error} ->
        "#{file} has no picture: #{error.text}"
    end
  end
end

case System.argv() do
  [folder] -> Thumbnails.run(folder, 2)
  [folder, blenders] -> Thumbnails.run(folder, String.to_integer(blenders))
  _ -> raise "usage: elixir --name thumbnails@127.0.0.1 examples/thumbnails.exs FOLDER [BLENDERS]"
end
