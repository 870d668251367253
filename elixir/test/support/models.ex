defmodule BeamBpy.Models do
  @moduledoc "Contents of 3D files for tests, as OBJ. Each object has a UV map, and no edge is sharp."

  @doc """
  The content of an OBJ file with square plates beside each other. Each has `2 * side * side` triangles.

  In OBJ files Y is up. Blender turns them, so that Z is up.
  """
  @spec plates([String.t()], pos_integer()) :: binary()
  def plates(names, side \\ 2) do
    count = (side + 1) * (side + 1)

    for {name, place} <- Enum.with_index(names), into: "" do
      vertices =
        for y <- 0..side, x <- 0..side do
          height = :math.sin(3 * x / side) * :math.cos(2 * y / side)
          "v #{3 * place + 2 * x / side} #{2 * y / side} #{height}\nvt #{x / side} #{y / side}\n"
        end

      faces =
        for y <- 0..(side - 1), x <- 0..(side - 1) do
          a = place * count + y * (side + 1) + x + 1
          {b, c, d} = {a + 1, a + side + 2, a + side + 1}
          "f #{a}/#{a} #{b}/#{b} #{c}/#{c}\nf #{a}/#{a} #{c}/#{c} #{d}/#{d}\n"
        end

      "o #{name}\n#{vertices}s 1\n#{faces}"
    end
  end
end
