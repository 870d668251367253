defmodule BeamBpy.Guides.ErrorsTest do
  # The code of the guide starts `python3` in the folder of a project, and the names on the page are not unique.
  use BeamBpy.Case, async: false

  alias BeamBpy.Guide

  @moduletag :bpy
  @moduletag timeout: 180_000

  setup %{folder: folder} do
    path = System.get_env("PATH")
    File.mkdir_p!(Path.join(folder, "priv"))
    System.put_env("PATH", Guide.python_folder(folder) <> ":" <> path)
    on_exit(fn -> System.put_env("PATH", path) end)
  end

  test "each example gives the error and the sentence that the page shows", %{folder: folder} do
    [handlers] = Guide.blocks("errors.md", "python")
    File.write!(Path.join(folder, "priv/handlers.py"), handlers)
    blocks = Enum.reject(Guide.blocks("errors.md"), &match?({"python", _code}, &1))

    File.cd!(folder, fn ->
      Enum.reduce(blocks, {nil, []}, fn
        {"elixir", code}, {_value, binding} -> Code.eval_string(code, binding)
        {"text", shown}, {value, binding} -> {assert_shown(shown, value), binding}
      end)
    end)
  end

  test "the page has an example for each kind" do
    kinds =
      for [kind] <- Regex.scan(~r/^## `:(\w+)`$/m, page(), capture: :all_but_first), do: kind

    assert kinds == ~w(python erlang undef timeout full crashed not_connected file)
    for kind <- kinds, do: assert(page() =~ "{:error, %BeamBpy.Error{kind: :#{kind}")
  end

  # A traceback follows after an empty line. The node of the page is my_app. A call that had to wait for its Blender has
  # less than its whole time left.
  defp assert_shown(shown, message) do
    [sentence | _traceback] = String.split(message, "\n\n")
    [own, _host] = node() |> Atom.to_string() |> String.split("@")
    sentence = String.replace(sentence, own, "my_app")
    assert without_numbers_of_time(sentence) == without_numbers_of_time(String.trim(shown))
  end

  defp without_numbers_of_time(text), do: String.replace(text, ~r/\d+ (?=milliseconds)/, "")

  defp page, do: File.read!("guides/errors.md")
end
