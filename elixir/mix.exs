defmodule BeamBpy.MixProject do
  use Mix.Project

  @version "0.1.0"
  @source_url "https://github.com/beam-bpy/beam-bpy"

  def project do
    [
      app: :beam_bpy,
      name: "BeamBpy",
      version: @version,
      elixir: "~> 1.14",
      elixirc_paths: elixirc_paths(Mix.env()),
      start_permanent: Mix.env() == :prod,
      deps: [],
      aliases: [test: &test/1],
      description: "Supervised Blenders, and a pool of them, as nodes of the BEAM",
      source_url: @source_url,
      package: package(),
      docs: docs()
    ]
  end

  def application do
    [mod: {BeamBpy.Application, []}, extra_applications: [:logger]]
  end

  defp elixirc_paths(:test), do: ["lib", "test/support"]
  defp elixirc_paths(_env), do: ["lib"]

  # The file is not in the package, so it is read only when the tests run.
  defp test(args) do
    Code.require_file("test/own_epmd.exs", __DIR__)
    apply(BeamBpy.OwnEpmd, :test, [args])
  end

  defp package do
    [
      licenses: ["MIT"],
      links: %{"Source" => @source_url},
      files: ~w(lib mix.exs README.md LICENSE .formatter.exs) ++ Path.wildcard("{guides,priv}")
    ]
  end

  defp docs do
    [
      main: "readme",
      # The project is in a folder of its repository.
      source_url_pattern: "#{@source_url}/blob/v#{@version}/elixir/%{path}#L%{line}",
      extras: ["README.md" | Path.wildcard("guides/*.{md,livemd}")],
      groups_for_extras: [Guides: ~r"^guides/"],
      groups_for_modules: [
        Blenders: [BeamBpy, BeamBpy.Worker, BeamBpy.Pool],
        Files: [BeamBpy.Assets],
        Python: [BeamBpy.Python],
        Values: [BeamBpy.Mesh, BeamBpy.Image, BeamBpy.Curve],
        "Errors and events": [BeamBpy.Error, BeamBpy.Telemetry],
        "Generated modules": [BeamBpy.Generated, BeamBpy.Generator]
      ]
    ]
  end
end
