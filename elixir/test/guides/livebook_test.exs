defmodule BeamBpy.Guides.LivebookTest do
  # The notebook starts `python3`, so PATH changes for all.
  use BeamBpy.Case, async: false

  alias BeamBpy.{Guide, Image}

  @moduletag :bpy
  @moduletag timeout: 600_000

  setup %{folder: folder} do
    path = System.get_env("PATH")
    System.put_env("PATH", Guide.python_folder(folder) <> ":" <> path)
    on_exit(fn -> System.put_env("PATH", path) end)
  end

  test "the cells of the notebook run, and show what its text says" do
    [install | cells] = Guide.blocks("blender_in_livebook.livemd", "elixir")
    assert install =~ "Mix.install"

    shown = show(cells)

    # The cube, the wave, and the ramp are results of cells, and the frames show the rest.
    assert [{320, 240}, {320, 240}, {64, 64}] =
             for({:result, {:image, png}} <- shown, do: size(png))

    frames = for {:frame, {:image, png}} <- shown, do: size(png)
    assert frames == [{320, 240}] ++ List.duplicate({160, 120}, 6)
    assert "Sample **32** of 32" in for({:frame, {:markdown, text}} <- shown, do: text)

    results = for {:result, value} <- shown, do: value
    assert node() in results
    assert Enum.any?(results, &(is_list(&1) and "Cube" in &1))
    assert Enum.any?(results, &match?({{1681, 1600}, {{-2.0, -2.0, _}, {2.0, 2.0, _}}}, &1))
    assert 6 in results
    assert Enum.any?(results, &match?({:markdown, "* `" <> _}, &1))
    assert is_binary(List.last(results))
  end

  # Livebook gives each cell the variables, aliases and imports of the cells above it, and shows the value of the cell.
  defp show(cells) do
    env = Code.env_for_eval([])

    {shown, _state} =
      Enum.flat_map_reduce(cells, {[], env}, fn cell, {binding, env} ->
        quoted = Code.string_to_quoted!(cell)
        {result, binding, env} = Code.eval_quoted_with_env(quoted, binding, env)
        {messages() ++ [{:result, result}], {binding, env}}
      end)

    shown
  end

  defp messages do
    receive do
      {:kino, shown} -> [shown | messages()]
    after
      0 -> []
    end
  end

  defp size(png) do
    {:ok, image} = Image.from_png(png)
    {image.width, image.height}
  end
end
