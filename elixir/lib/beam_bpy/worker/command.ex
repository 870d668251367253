defmodule BeamBpy.Worker.Command do
  @moduledoc false
  # The command line, and the environment, of the program of a worker.

  alias BeamBpy.Error
  alias BeamBpy.Worker.Secrets

  @enforce_keys [:program, :args, :env]
  defstruct @enforce_keys

  @type t :: %__MODULE__{
          program: String.t(),
          args: [String.t()],
          env: [{charlist(), charlist() | false}]
        }

  @doc "Builds the command of a worker with these validated options for a node name."
  @spec build(keyword(), String.t()) :: {:ok, t()} | {:error, Error.t()}
  def build(options, node_name) do
    [program | args] = words(options[:command], options[:blend_file])

    case System.find_executable(program) do
      nil ->
        {:error, %Error{kind: :not_connected, text: missing(program)}}

      path ->
        args = args ++ serve_args(options, node_name)
        {:ok, %__MODULE__{program: path, args: args, env: environment(options)}}
    end
  end

  defp words(:blender, file), do: words({:blender, "blender"}, file)
  defp words(:python, file), do: words({:python, "python3"}, file)

  defp words({:blender, program}, file) do
    [program, "--background"] ++ List.wrap(file) ++ ["--command", "beam_bpy", "serve"]
  end

  # The bpy module has no argument for a file, so handlers open it.
  defp words({:python, program}, nil), do: [program, "-m", "beam_bpy.cli", "serve"]

  defp words({:python, program}, _file),
    do: words({:python, program}, nil) ++ ["--handlers", open_blend_file()]

  defp words([program | args], _file), do: [program | args]

  defp open_blend_file, do: Application.app_dir(:beam_bpy, "priv/open_blend_file.py")

  defp serve_args(options, node_name) do
    kill_after = to_string(options[:kill_after] / 1000)
    handlers = Enum.flat_map(options[:handlers], &["--handlers", &1])
    ["--node", node_name, "--until-stdin-closes", "--kill-after", kill_after] ++ handlers
  end

  defp environment(options) do
    cookie = Secrets.reveal(options[:cookie]) || Node.get_cookie()
    file = options[:blend_file]

    [{"BPY_BEAM_COOKIE", to_string(cookie)}, {"BEAM_BPY_BLEND_FILE", file && Path.expand(file)}]
    |> Map.new()
    |> Map.merge(Map.new(Secrets.reveal(options[:env]) || %{}))
    |> Enum.map(fn {name, value} ->
      {to_charlist(name), if(value, do: to_charlist(value), else: false)}
    end)
  end

  defp missing(program) do
    if File.regular?(program),
      do: "the file #{program} is not executable: allow its execution with `chmod +x`",
      else: not_found(program)
  end

  defp not_found(program) do
    "there is no program #{inspect(program)}: install it, add its folder to PATH, or give its path, " <>
      "for example `command: {:blender, \"/opt/blender/blender\"}`"
  end
end
