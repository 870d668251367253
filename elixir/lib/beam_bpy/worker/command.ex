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

    case find(program) do
      nil ->
        {:error, %Error{kind: :not_connected, text: missing(program)}}

      path ->
        args = args ++ serve_args(options, node_name)
        {:ok, %__MODULE__{program: path, args: args, env: environment(options)}}
    end
  end

  # As a shell does it: a word is looked up in PATH, and a path is one from the present folder.
  defp find(program) do
    if Path.basename(program) == program,
      do: System.find_executable(program),
      else: program |> Path.expand() |> System.find_executable()
  end

  defp words(:blender, file), do: words({:blender, "blender"}, file)
  defp words(:python, file), do: words({:python, "python3"}, file)

  defp words({:blender, program}, file) do
    [program, "--background"] ++ List.wrap(file) ++ ["--command", "beam_bpy", "serve"]
  end

  # The bpy module has no argument for a file, so handlers open it.
  defp words({:python, program}, nil), do: [program, "-m", "beam_bpy.cli", "serve"]

  defp words({:python, program}, _file),
    do: words({:python, program}, nil) ++ ["--handlers", own_handlers("open_blend_file.py")]

  defp words([program | args], _file), do: [program | args]

  defp own_handlers(file), do: Application.app_dir(:beam_bpy, Path.join("priv", file))

  defp serve_args(options, node_name) do
    kill_after = to_string(options[:kill_after] / 1000)
    files = options[:handlers] ++ report_render(options[:command])
    handlers = Enum.flat_map(files, &["--handlers", &1])

    ["--node", node_name, "--until-stdin-closes", "--kill-after", kill_after] ++
      handlers ++ allow_python(options[:allow_python])
  end

  defp allow_python(nil), do: []
  defp allow_python(true), do: ["--allow-python"]
  defp allow_python(false), do: ["--allow-python=no"]

  # Another program may run where it cannot read this file.
  defp report_render([_program | _args]), do: []
  defp report_render(_blender_or_python), do: [own_handlers("report_render.py")]

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
