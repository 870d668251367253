defmodule BeamBpy.Guide do
  @moduledoc "The pages of `guides/`, for tests that do what they say."

  @folder Path.expand("../../guides", __DIR__)

  @doc "The code blocks of a page in a language, in their order."
  @spec blocks(String.t(), String.t()) :: [String.t()]
  def blocks(page, language) do
    for {^language, code} <- blocks(page), do: code
  end

  @doc "All code blocks of a page, as `{language, code}`, in their order."
  @spec blocks(String.t()) :: [{String.t(), String.t()}]
  def blocks(page) do
    text = File.read!(Path.join(@folder, page))

    for [language, code] <-
          Regex.scan(~r/^```(\w+)\n(.*?)^```$/ms, text, capture: :all_but_first),
        do: {language, code}
  end

  @doc """
  Writes a program `python3` that starts the Python of the tests, and returns its folder, for `PATH`.

  A link would not do, because Python looks for the packages of a virtual environment beside the program.
  """
  @spec python_folder(Path.t()) :: Path.t()
  def python_folder(folder) do
    bin = Path.join(folder, "bin")
    program = Path.join(bin, "python3")
    File.mkdir_p!(bin)
    File.write!(program, "#!/bin/sh\nexec '#{BeamBpy.TestRun.python()}' \"$@\"\n")
    File.chmod!(program, 0o755)
    bin
  end
end
