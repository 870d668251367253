defmodule BeamBpy.Guides.PythonTest do
  # The notebook starts `python3`, so PATH changes for all.
  use BeamBpy.Case, async: false

  import ExUnit.CaptureIO

  alias BeamBpy.{Guide, Image}

  @moduletag timeout: 600_000

  @tag :bpy
  test "the cells of the notebook run, and show what its text says", %{folder: folder} do
    path = System.get_env("PATH")
    System.put_env("PATH", Guide.python_folder(folder) <> ":" <> path)
    on_exit(fn -> System.put_env("PATH", path) end)
    Process.put(Kino, start_supervised!({DynamicSupervisor, strategy: :one_for_one}))
    [install | cells] = Guide.blocks("python.livemd", "elixir")
    assert install =~ "Mix.install"

    # Elixir 1.14 cannot read the sigil: a function call of the same macro has the same meaning.
    assert Enum.count(cells, &(&1 =~ ~S(~PY"""))) == 2
    {results, printed} = with_io(fn -> cells |> Enum.map(&without_sigil/1) |> show() end)

    assert ["Camera", "Cube", "Light"] in results
    assert [0.0, 0.0, 2.0] in results
    assert "KeyError" in results
    assert 6 in results
    assert printed =~ "objects: 3\n"
    assert printed =~ "made Sphere.005\n"
    assert printed =~ ~s(File "<run_python>", line 1, in <module>)
    assert {:image, png} = List.last(results)
    assert {:ok, %Image{width: 240, height: 160}} = Image.from_png(png)
  end

  if Version.match?(System.version(), ">= 1.15.0") do
    test "Elixir reads each cell, and the sigils in it" do
      quoted =
        for cell <- Guide.blocks("python.livemd", "elixir"), do: Code.string_to_quoted!(cell)

      {_quoted, sigils} = Macro.prewalk(quoted, [], &{&1, sigil(&1) ++ &2})
      assert [<<"import os" <> _rest>>, <<"import math" <> _more>>] = sigils
    end

    defp sigil({:sigil_PY, _meta, [{:<<>>, _position, [code]}, []]}), do: [code]
    defp sigil(_other), do: []
  end

  defp without_sigil(cell) do
    Regex.replace(~r/~PY"""\n(.*?)"""/s, cell, fn _sigil, code ->
      "sigil_PY(<<#{inspect(code)}>>, [])"
    end)
  end

  # Livebook gives each cell the variables, aliases and imports of the cells above it.
  defp show(cells) do
    {results, _state} =
      Enum.map_reduce(cells, {[], Code.env_for_eval([])}, fn cell, {binding, env} ->
        quoted = Code.string_to_quoted!(cell)
        {result, binding, env} = Code.eval_quoted_with_env(quoted, binding, env)
        {result, {binding, env}}
      end)

    results
  end
end
