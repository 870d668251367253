defmodule Mix.Tasks.BeamBpy.Gen do
  @shortdoc "Writes a module with a function for each handler of a node"

  @moduledoc """
  Writes a module with a function for each handler of a node.

      mix beam_bpy.gen MyApp.Scene --node beam_bpy@127.0.0.1

  asks the node for its handlers and writes `lib/my_app/scene.ex`. The functions have the documentation and the types of
  the Python functions, so IEx completes them and `h MyApp.Scene.create_cube` shows how to call them.
  `BeamBpy.Generator` describes how types and names are translated.

  The node has to run. With `--python` or `--blender` instead of `--node`, the task starts a program with the handlers,
  asks it, and ends it:

      mix beam_bpy.gen MyApp.Scene --python --handlers priv/handlers.py --target MyApp.Blender

  Run the task again when the handlers change.

  ## Options

    * `--node` - the name of the node, `name@host`.
    * `--python` - starts `python3` with the packages `bpy` and `beam-bpy`; see `BeamBpy.Worker`.
    * `--blender` - starts `blender` with the extension.
    * `--handlers` - a Python file or module with handlers, for `--python` and `--blender`. The option can be repeated.
    * `--target` - the pool, worker or node that the functions call by default, such as `MyApp.Blender`. The default is
      the node of `--node`.
    * `--only` - the module or the owner of the handlers to write. The default is all handlers. The option can be
      repeated.
    * `--output` - the file. The default is made from the name of the module.
    * `--check` - write nothing, and fail if the file is not what the task would write. For continuous integration.
    * `--force` - overwrite the file without asking.
    * `--cookie-file` - a file with the cookie of the node.
    * `--cookie` - the cookie itself. Other users of the computer can read a command line, so prefer a file or the
      environment.

  ## Cookie

  Without an option, the cookie is that of the environment variable `BPY_BEAM_COOKIE`, or else that of this BEAM, which is
  by default the content of `~/.erlang.cookie`.

  The task needs no epmd and no node name of its own: if this BEAM has no name, it takes a hidden one while it runs.
  """

  use Mix.Task

  alias BeamBpy.Generator

  @switches [
    node: :string,
    python: :boolean,
    blender: :boolean,
    handlers: :keep,
    target: :string,
    only: :keep,
    output: :string,
    check: :boolean,
    force: :boolean,
    cookie: :string,
    cookie_file: :string
  ]

  @impl true
  def run(arguments) do
    {module, options} = parse(arguments)
    target = target(options)
    path = path(module, options)
    {:ok, _started} = Application.ensure_all_started(:beam_bpy)

    descriptions = options |> descriptions() |> only(Keyword.get_values(options, :only))
    source = module |> Generator.source(descriptions, target) |> formatted(path)

    if options[:check] do
      check(path, source, module)
    else
      Mix.Generator.create_file(path, source, force: options[:force] || false)
    end
  end

  # As `mix format` writes it, so that `--check` does not fail because of the line length of the project.
  defp formatted(source, path) do
    {formatter, _options} = Mix.Tasks.Format.formatter_for_file(path)
    formatter.(source)
  end

  defp path(module, options) do
    cond do
      options[:output] ->
        options[:output]

      Mix.Project.umbrella?() ->
        Mix.raise(
          "Run the task in the folder of one application, or give --output: this is the folder of an umbrella"
        )

      true ->
        Path.join("lib", Macro.underscore(module) <> ".ex")
    end
  end

  defp parse(arguments) do
    case OptionParser.parse(arguments, strict: @switches) do
      {options, [module], []} ->
        {checked_module(module), options}

      {_options, _names, [{switch, _value} | _]} ->
        Mix.raise(
          "#{switch} is not an option, or has no value. `mix help beam_bpy.gen` lists the options."
        )

      {_options, _names, []} ->
        Mix.raise(
          "Give the name of one module: `mix beam_bpy.gen MyApp.Scene --node beam_bpy@127.0.0.1`"
        )
    end
  end

  defp checked_module(module) do
    if module_name?(module) do
      module
    else
      Mix.raise("#{module} is not the name of a module: write a name such as MyApp.Scene")
    end
  end

  defp module_name?(text), do: text =~ ~r/\A[A-Z][a-zA-Z0-9_]*(\.[A-Z][a-zA-Z0-9_]*)*\z/

  defp target(options) do
    name = options[:target] || options[:node] || ""

    cond do
      name == "" ->
        Mix.raise("Give the pool, worker or node that the functions call: --target MyApp.Blender")

      module_name?(name) ->
        Module.concat([name])

      node_name?(name) ->
        String.to_atom(name)

      true ->
        Mix.raise(
          "--target #{name}: give a module such as MyApp.Blender, or a node such as beam_bpy@127.0.0.1"
        )
    end
  end

  defp node_name?(text),
    do: text =~ ~r/\A[^@\s[:cntrl:]]+@[^@\s[:cntrl:]]+\z/ and String.length(text) <= 255

  # Where the descriptions come from: a node that runs, or a program that the task starts.

  defp descriptions(options) do
    case {options[:node], commands(options)} do
      {nil, [command]} ->
        descriptions_of_program(command, Keyword.get_values(options, :handlers))

      {node, []} when node != nil ->
        descriptions_of_node(node, options)

      _none_or_several ->
        Mix.raise("Give one of --node beam_bpy@127.0.0.1, --python and --blender")
    end
  end

  defp commands(options), do: Enum.filter([:python, :blender], &options[&1])

  defp descriptions_of_node(node, options) do
    unless node_name?(node) do
      Mix.raise("--node #{node}: a node has a name and a host, such as beam_bpy@127.0.0.1")
    end

    with_distribution(node, fn ->
      node = String.to_atom(node)
      if cookie = cookie(options), do: Node.set_cookie(node, cookie)
      handlers_of(node)
    end)
  end

  # The program ends with its worker. The task traps exits, so that it reports a start that failed in a sentence.
  defp descriptions_of_program(command, handlers) do
    with_distribution("worker@127.0.0.1", fn ->
      trapped = Process.flag(:trap_exit, true)

      try do
        case BeamBpy.Worker.start_link(command: command, handlers: handlers, log: false) do
          {:ok, worker} -> use_worker(worker)
          {:error, {:shutdown, %BeamBpy.Error{} = error}} -> Mix.raise(Exception.message(error))
          {:error, reason} -> Mix.raise("The program did not start: #{inspect(reason)}")
        end
      after
        Process.flag(:trap_exit, trapped)
      end
    end)
  end

  defp use_worker(worker) do
    case BeamBpy.Worker.node_of(worker) do
      {:ok, node} -> handlers_of(node)
      {:error, error} -> Mix.raise(Exception.message(error))
    end
  after
    if Process.alive?(worker), do: GenServer.stop(worker)
  end

  defp handlers_of(node) do
    case BeamBpy.handlers(node) do
      {:ok, descriptions} -> descriptions
      {:error, error} -> Mix.raise(Exception.message(error))
    end
  end

  # A BEAM without a name takes a hidden one of the kind of the node's name. It does not listen, so it needs no epmd.
  defp with_distribution(node, function) do
    if Node.alive?() do
      function.()
    else
      start_distribution(node)

      try do
        function.()
      after
        Node.stop()
      end
    end
  end

  defp start_distribution(node) do
    [_name, host] = String.split(node, "@")
    long? = String.contains?(host, [".", ":"])
    unique = "beam_bpy_gen_#{System.pid()}_#{System.unique_integer([:positive])}"
    name = :"#{unique}@#{if long?, do: "127.0.0.1", else: "localhost"}"
    domain = if long?, do: :longnames, else: :shortnames

    case :net_kernel.start(name, %{name_domain: domain, hidden: true, dist_listen: false}) do
      {:ok, _pid} ->
        :ok

      {:error, _} ->
        Mix.raise(
          "This BEAM cannot become a node. Try `elixir --name gen@127.0.0.1 -S mix beam_bpy.gen …`"
        )
    end
  end

  defp cookie(options) do
    text =
      cond do
        options[:cookie] -> options[:cookie]
        options[:cookie_file] -> read_cookie(options[:cookie_file])
        true -> System.get_env("BPY_BEAM_COOKIE", "")
      end

    cond do
      text == "" -> nil
      String.length(text) > 255 -> Mix.raise("The cookie has more than 255 characters")
      true -> String.to_atom(text)
    end
  end

  defp read_cookie(path) do
    case File.read(path) do
      {:ok, text} ->
        String.trim(text)

      {:error, reason} ->
        Mix.raise("The cookie file #{path} cannot be read: #{:file.format_error(reason)}")
    end
  end

  defp only(descriptions, []),
    do: not_empty(descriptions, "The node has no handlers that this BEAM may call.")

  defp only(descriptions, names) do
    found = Enum.filter(descriptions, &(&1.module in names or &1.owner in names))

    possible =
      descriptions
      |> Enum.flat_map(&[&1.module, &1.owner])
      |> Enum.filter(&is_binary/1)
      |> Enum.uniq()
      |> Enum.sort()

    not_empty(
      found,
      "No handler has the module or the owner #{Enum.join(names, ", ")}. " <>
        "The node has these modules and owners: #{Enum.join(possible, ", ")}."
    )
  end

  defp not_empty([], sentence), do: Mix.raise(sentence)
  defp not_empty(descriptions, _sentence), do: descriptions

  defp check(path, source, module) do
    case File.read(path) do
      {:ok, ^source} ->
        Mix.shell().info("#{path} is up to date")

      {:ok, _other} ->
        Mix.raise("#{path} is not up to date: run `mix beam_bpy.gen #{module}` again")

      {:error, reason} ->
        Mix.raise("#{path} cannot be read: #{:file.format_error(reason)}")
    end
  end
end
