defmodule BeamBpy.PackageTest do
  use ExUnit.Case, async: true

  @repository BeamBpy.TestRun.repository()

  test "the version is the version of the Python package" do
    text = File.read!(Path.join(@repository, "beam_bpy/version.py"))
    assert [[_line, version]] = Regex.scan(~r/^__version__ = "(.+)"$/m, text)
    assert Mix.Project.config()[:version] == version
  end

  test "the license is the license of the repository" do
    assert File.read!("LICENSE") == File.read!(Path.join(@repository, "LICENSE"))
  end

  test "every public module is in a group of the documentation" do
    groups = Mix.Project.config()[:docs][:groups_for_modules]
    grouped = groups |> Keyword.values() |> List.flatten()
    {:ok, modules} = :application.get_key(:beam_bpy, :modules)

    documented =
      for module <- modules,
          {:docs_v1, _line, _language, _format, %{}, _metadata, _docs} <- [
            Code.fetch_docs(module)
          ],
          not support?(module) and not task?(module),
          do: module

    assert documented -- grouped == []
    assert grouped -- documented == []
  end

  defp support?(module) do
    module.module_info(:compile)[:source] |> to_string() |> String.contains?("/test/support/")
  end

  defp task?(module), do: module |> Atom.to_string() |> String.starts_with?("Elixir.Mix.Tasks.")
end
