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
    Process.put(Kino, start_supervised!({DynamicSupervisor, strategy: :one_for_one}))
    :ok
  end

  test "blender_in_livebook.livemd: the cells run, and show what the text says" do
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

  test "thumbnails_in_livebook.livemd: a folder becomes a sheet of thumbnails", %{folder: folder} do
    [install | cells] = Guide.blocks("thumbnails_in_livebook.livemd", "elixir")
    assert install =~ "Mix.install"
    models = Path.join(folder, "models")

    cells =
      for cell <- cells do
        if cell =~ "beam_bpy_models", do: "folder = #{inspect(models)}", else: cell
      end

    shown = show(cells)

    names =
      ~w(ball.obj broken.glb cone.usdz crate.stl cylinder.gltf monkey.fbx rock.ply torus.glb)

    assert {:result, names} in shown
    assert {:result, 8} in shown

    # The sheet grows by one file at a time.
    sheets =
      for {:frame, {:grid, [{:markdown, text}, {:grid, sheet}]}} <- shown, do: {text, sheet}

    assert for({text, _sheet} <- sheets, do: text) == for(n <- 1..8, do: "#{n} of 8 files")
    assert for({_text, sheet} <- sheets, do: length(sheet)) == Enum.to_list(1..8)

    for {{:grid, [picture, {:markdown, caption}]}, name} <-
          Enum.zip(elem(List.last(sheets), 1), names) do
      assert caption == "`#{name}`"

      case {name, picture} do
        {"broken.glb", {:text, sentence}} -> assert sentence =~ "format"
        {_name, {:image, png}} -> assert size(png) == {256, 256}
      end
    end

    assert [pictures] = for({:result, {:grid, pictures}} <- shown, do: pictures)
    assert for({:image, png} <- pictures, do: size(png)) == List.duplicate({128, 128}, 8)

    results = for {:result, value} <- shown, do: value

    assert Enum.any?(
             results,
             &match?({"fbx", _bytes, vertices, faces} when vertices > 400 and faces > 400, &1)
           )

    assert [{"monkey.glb", content}] =
             for({:download, name, content} <- results, do: {name, content})

    assert <<"glTF", _rest::binary>> = content.()
    assert {large, small} = List.last(results)
    assert small < large
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
