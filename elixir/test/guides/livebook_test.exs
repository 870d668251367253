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

  test "live_in_livebook.livemd: sliders move bones, and the newest pose is shown" do
    [install | cells] = Guide.blocks("live_in_livebook.livemd", "elixir")
    assert install =~ "Mix.install"
    {shown, binding} = run(cells)
    results = for {:result, value} <- shown, do: value

    bones = for number <- 1..5, do: "Bone #{number}"
    assert {"Rig", bones} in results
    assert [layout] = for({:result, {:grid, [layout, %Kino.Frame{}]}} <- shown, do: layout)
    assert {:grid, sliders} = layout
    assert for(slider <- sliders, do: slider.label) == bones

    # The wave: some poses are left out, and the last one runs.
    assert [replaced] = for(value <- results, is_integer(value), do: value)
    assert replaced > 0
    assert_turned(List.last(results), 30 * :math.sin(9))

    # Many movements of one slider lead to few pictures, and the last one shows the newest pose.
    idle(binding[:pictures])
    before = pictures(shown ++ messages())
    listeners = for {:listens, _input, _pid} = listener <- shown, do: listener
    for degrees <- 1..50, listener <- listeners, do: Kino.Input.change(listener, degrees)

    eventually(fn ->
      idle(binding[:pictures])
      turned?(pose(binding)["Bone 5"]["rotation"], 50)
    end)

    Kino.Input.change(hd(listeners), -50)
    eventually(fn -> turned?(pose(binding)["Bone 1"]["rotation"], -50) end)
    idle(binding[:pictures])
    later = pictures(messages())
    assert length(later) in 1..100
    assert for(png <- before ++ later, uniq: true, do: size(png)) == [{320, 240}]
    options = %{engine: "cycles", width: 320, height: 240, samples: 4}
    newest = BeamBpy.call!(binding[:blender], :render_still, [options], timeout: 120_000)
    assert pixels(List.last(later)) == pixels(newest)
    assert pixels(List.last(later)) != pixels(List.last(before))
  end

  defp pictures(shown), do: for({:frame, {:image, png}} <- shown, do: png)

  defp pose(binding), do: BeamBpy.call!(binding[:blender], :get_pose, [binding[:rig]])

  defp assert_turned(rotation, degrees), do: assert(turned?(rotation, degrees))

  defp turned?(rotation, degrees) do
    half = degrees * :math.pi() / 360
    expected = [:math.cos(half), :math.sin(half), 0, 0]
    rotation |> Enum.zip(expected) |> Enum.all?(fn {a, b} -> abs(a - b) < 1.0e-6 end)
  end

  # Waits until the process that shows pictures has nothing to do.
  defp idle(pid) do
    eventually(
      fn ->
        Process.info(pid, [:current_function, :message_queue_len]) ==
          [current_function: {Notebook.Pictures, :render, 2}, message_queue_len: 0]
      end,
      120_000
    )
  end

  # Livebook gives each cell the variables, aliases and imports of the cells above it, and shows the value of the cell.
  defp show(cells), do: cells |> run() |> elem(0)

  defp run(cells) do
    env = Code.env_for_eval([])

    {shown, {binding, _env}} =
      Enum.flat_map_reduce(cells, {[], env}, fn cell, {binding, env} ->
        quoted = Code.string_to_quoted!(cell)
        {result, binding, env} = Code.eval_quoted_with_env(quoted, binding, env)
        {messages() ++ [{:result, result}], {binding, env}}
      end)

    {shown, binding}
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

  defp pixels(png) do
    {:ok, image} = Image.from_png(png)
    image.pixels
  end
end
