defmodule BeamBpy.Worker do
  @moduledoc """
  One Blender as a child of a supervisor.

      children = [
        {BeamBpy.Worker, name: MyApp.Blender, command: :blender, handlers: ["priv/handlers.py"]}
      ]

      {:ok, objects} = BeamBpy.call(MyApp.Blender, :list_objects)

  The worker starts the program, waits until its node answers, sends its output to `Logger`, and ends it. The program
  never outlives the worker: it ends when its standard input closes, so also if the BEAM is killed.

  All callers of a worker share one scene, and their calls run one after the other. For several Blenders, and for
  exclusive use of a Blender, see `BeamBpy.Pool`.

  If the program ends, the worker writes the reason to `Logger`, in one line at the level `:error`, and ends too. Its
  supervisor starts a new one, whose node has the same name. A program that cannot be started at all, for example because
  it is not installed, is an error of `start_link/1`.

  ## Commands

    * `:blender` - the program `blender`, without a window, with the extension *Beam-BPy* installed and enabled
    * `{:blender, path}` - a Blender at another place
    * `:python` - the program `python3`, with the packages `bpy` and `beam-bpy` (`pip install bpy beam-bpy`): Blender
      without an installation
    * `{:python, path}` - another Python, for example that of a virtual environment
    * `[program | args]` - any program that accepts the options of `beam-bpy serve` behind these arguments

  The BEAM has to be a node (`iex --name app@127.0.0.1`). The worker chooses the name of its own node, and passes the
  cookie in the environment.
  """

  use GenServer
  require Logger

  import BeamBpy.Call, only: [is_time: 1]

  alias BeamBpy.{Error, Lease, Remote, Telemetry}
  alias BeamBpy.Worker.{Command, Name, OSProcess, Output, Secrets}

  @kept_lines 20
  @defaults [
    name: nil,
    node_name: nil,
    command: :blender,
    handlers: [],
    allow_python: nil,
    blend_file: nil,
    env: %{},
    cookie: nil,
    boot_timeout: 60_000,
    kill_after: 5_000,
    log: :debug
  ]

  @typedoc "The program to start, see the module documentation."
  @type command ::
          :blender | :python | {:blender, String.t()} | {:python, String.t()} | [String.t(), ...]

  @type option ::
          {:name, GenServer.name() | nil}
          | {:node_name, String.t() | nil}
          | {:command, command()}
          | {:handlers, [String.t()]}
          | {:allow_python, boolean() | nil}
          | {:blend_file, String.t() | nil}
          | {:env, %{optional(String.t()) => String.t() | nil} | [{String.t(), String.t() | nil}]}
          | {:cookie, atom() | nil}
          | {:boot_timeout, pos_integer()}
          | {:kill_after, non_neg_integer()}
          | {:log, Logger.level() | false}

  @levels [:emergency, :alert, :critical, :error, :warning, :notice, :info, :debug]

  # The longest time that a program needs to end after SIGKILL, in milliseconds.
  @time_of_a_kill 5_000

  # The default of `:timeout` of calls, as in `BeamBpy.call/4`.
  @timeout 30_000

  @doc false
  def option_names, do: Keyword.keys(@defaults)

  @doc false
  def child_spec(options) do
    %{
      id: {__MODULE__, options[:name]},
      start: {__MODULE__, :start_link, [Secrets.hide(options)]},
      shutdown: Keyword.get(options, :kill_after, @defaults[:kill_after]) + 2 * @time_of_a_kill
    }
  end

  @doc """
  Starts a program and a process that watches it.

  The function returns as soon as the program has been started. Calls wait until its node is ready.

  ## Options

    * `:command` - the program, see the module documentation. Default: `:blender`
    * `:handlers` - Python files or modules with a function `register(server)`. Default: `[]`
    * `:allow_python` - whether callers may run Python code, see `BeamBpy.Python`. Every node that knows the cookie can
      then do everything that the user of the program can do. Default: nil, which means: the environment variable
      `BPY_BEAM_ALLOW_PYTHON` or the preferences of the user decide, and without them it is not allowed
    * `:blend_file` - a file to open at the start
    * `:env` - environment variables for the program, a map or a list; nil as a value removes a variable
    * `:name` - a name for this process, as for `GenServer.start_link/3`
    * `:node_name` - the name of the node, without its host. Default: made of `:name` and the name of this node
    * `:cookie` - the cookie of the node. Default: the cookie of this node. Reports of OTP show neither this option nor
      `:env`
    * `:boot_timeout` - the longest time of a start, in milliseconds. Default: `60_000`
    * `:kill_after` - the longest time that the program has to end, in milliseconds, before it is killed.
      Default: `5_000`
    * `:log` - the level at which the output of the program goes to `Logger`, or false. Default: `:debug`. Lines about
      the progress of a render are left out.
  """
  @spec start_link([option()]) :: GenServer.on_start()
  def start_link(options) do
    options = validate!(options)

    GenServer.start_link(
      __MODULE__,
      options,
      Keyword.filter(options, &match?({:name, name} when name != nil, &1))
    )
  end

  @doc false
  # `owner` is the process that gets `{:worker_ready, pid, node}`; `pool` is the name of its pool.
  def validate!(options) do
    options = options |> known!() |> Secrets.hide()

    for {key, value} <- options, not valid?(key, Secrets.reveal(value)) do
      raise ArgumentError,
            "the option #{inspect(key)} of a worker cannot be #{Secrets.show(key, value)}"
    end

    options
  end

  # `Keyword.validate!/2` would show all options in its error, also the secret ones.
  defp known!(options) do
    case Keyword.validate(options, @defaults ++ [owner: nil, pool: nil]) do
      {:ok, options} ->
        options

      {:error, [key | _]} ->
        raise ArgumentError,
              "a worker has no option #{inspect(key)}; its options are #{inspect(option_names())}"
    end
  end

  defp valid?(:command, [_program | _args] = words), do: Enum.all?(words, &is_binary/1)
  defp valid?(:command, {kind, path}), do: kind in [:blender, :python] and is_binary(path)
  defp valid?(:command, command), do: command in [:blender, :python]
  defp valid?(:handlers, handlers), do: is_list(handlers) and Enum.all?(handlers, &is_binary/1)

  defp valid?(:allow_python, allow), do: is_boolean(allow) or is_nil(allow)

  defp valid?(key, value) when key in [:blend_file, :node_name],
    do: is_nil(value) or (is_binary(value) and value != "")

  defp valid?(:env, env) when is_map(env) or is_list(env), do: Enum.all?(env, &variable?/1)
  defp valid?(:env, env), do: is_nil(env)
  defp valid?(:cookie, cookie), do: is_atom(cookie)
  defp valid?(:boot_timeout, time), do: is_integer(time) and time > 0
  defp valid?(:kill_after, time), do: is_integer(time) and time >= 0
  defp valid?(:log, level), do: level == false or level in @levels
  defp valid?(_key, _value), do: true

  defp variable?({name, value}), do: is_binary(name) and (is_nil(value) or is_binary(value))
  defp variable?(_other), do: false

  @doc "The node of a worker. Waits until it is ready."
  @spec node_of(GenServer.server(), timeout()) :: {:ok, node()} | {:error, Error.t()}
  def node_of(worker, timeout \\ 60_000) when is_time(timeout) do
    with {:ok, %{node: node}} <- Lease.checkout(worker, timeout: timeout), do: {:ok, node}
  end

  @doc "The identifier of the operating system process, or nil."
  @spec os_pid(GenServer.server()) :: non_neg_integer() | nil
  def os_pid(worker), do: GenServer.call(worker, :os_pid)

  @doc false
  # Ends the program at once. The worker then ends with the reason `{:shutdown, error}`.
  def kill(worker, sentence), do: GenServer.cast(worker, {:end, :kill, sentence})

  @doc false
  # Asks the program to end. The worker then ends with the reason `:normal`.
  def stop(worker), do: GenServer.cast(worker, {:end, :ask, nil})

  ## The process

  @impl true
  def init(options) do
    Process.flag(:trap_exit, true)
    node = choose_node(options)

    metadata = %{node: node, pool: options[:pool]}
    started = Telemetry.start([:worker], metadata)

    case start_program(options, node) do
      {:ok, process} ->
        {:ok,
         %{
           options: options,
           node: node,
           process: process,
           # :booting until the line of the ready node, :connecting until the node answers, :reconnecting after the
           # connection was lost. A node that answers is :ready; it is :sending first while casts that have waited are sent.
           phase: :booting,
           # The casts that wait, the newest first.
           casts: [],
           sender: nil,
           # nil, or {:ask | :kill, sentence}: why the program was asked to end.
           ending: nil,
           probe: nil,
           boot_timer: Process.send_after(self(), :boot_timeout, options[:boot_timeout]),
           waiting: [],
           watchers: %{},
           lines: :queue.new(),
           partial: "",
           metadata: metadata,
           started: started
         }}

      {:error, error} ->
        error = %{error | node: node}
        failed(error, started, metadata)
        {:stop, {:shutdown, error}}
    end
  end

  defp start_program(options, node) do
    with :ok <- check_distribution(),
         {:ok, command} <- Command.build(options, Atom.to_string(node)) do
      # Without this, this node would use its own cookie for the connection.
      if cookie = Secrets.reveal(options[:cookie]), do: Node.set_cookie(node, cookie)
      OSProcess.start(command)
    end
  end

  defp check_distribution do
    if Node.alive?(),
      do: :ok,
      else: {:error, %Error{kind: :not_connected, text: Remote.without_name()}}
  end

  defp choose_node(options) do
    name = options[:node_name] || Name.default(options[:name])
    String.to_atom("#{name}@#{Name.host()}")
  end

  @impl true
  def handle_call({:checkout, _options}, _from, %{phase: :ready} = state) do
    {:reply, {:ok, lease(state)}, state}
  end

  def handle_call({:checkout, options}, from, state) do
    timeout = options[:timeout] || @timeout

    timer =
      if timeout != :infinity,
        do: Process.send_after(self(), {:too_late, from, timeout}, timeout)

    {:noreply, %{state | waiting: [{from, timer} | state.waiting]}}
  end

  def handle_call(:os_pid, _from, state), do: {:reply, state.process.os_pid, state}

  def handle_call({:watch, pid, what}, _from, state) do
    {:reply, if(answers?(state), do: [state.node], else: []), watch(state, pid, what)}
  end

  @impl true
  def handle_cast({:end, how, sentence}, state), do: {:noreply, end_program(state, how, sentence)}

  def handle_cast({:watch, pid, what}, state) do
    # The process has asked the pool, which may not know yet that this node is ready.
    if what == :ready and answers?(state),
      do: send(pid, {:beam_bpy_worker, :ready, state.node})

    {:noreply, watch(state, pid, what)}
  end

  # This process sends the casts itself: a process that casts, and then calls, gets its lease after that.
  def handle_cast({:cast, mfargs, _options}, %{phase: :ready} = state) do
    case Remote.try_cast(state.node, mfargs) do
      :ok -> {:noreply, state}
      :full -> {:noreply, send_casts(%{state | casts: [mfargs]})}
    end
  end

  def handle_cast({:cast, mfargs, _options}, state),
    do: {:noreply, %{state | casts: [mfargs | state.casts]}}

  @impl true
  def handle_info({port, {:data, {flag, text}}}, %{process: %{port: port}} = state) do
    {:noreply, output(flag, text, state)}
  end

  def handle_info({port, {:exit_status, status}}, %{process: %{port: port}} = state) do
    {:stop, reason_of_end(state, status), state}
  end

  def handle_info({:EXIT, port, _reason}, %{process: %{port: port}} = state) do
    {:stop, reason_of_end(state, nil), state}
  end

  # The programs that send signals have ports, too.
  def handle_info({:EXIT, port, _reason}, state) when is_port(port), do: {:noreply, state}

  def handle_info({:EXIT, _pid, reason}, state), do: {:stop, reason, state}

  def handle_info({:probed, probe, result}, %{probe: probe} = state) do
    {:noreply, probed(%{state | probe: nil}, result)}
  end

  def handle_info({:probed, _old, _result}, state), do: {:noreply, state}

  def handle_info({:sent, sender}, %{sender: sender, phase: :sending} = state),
    do: {:noreply, send_casts(state)}

  def handle_info({:sent, _old}, state), do: {:noreply, state}

  def handle_info({:nodedown, node}, %{node: node, ending: nil, phase: phase} = state)
      when phase in [:ready, :sending] do
    # The connection was cut while the program may still run. The next probe connects again, or says why it cannot.
    {:noreply, probe(%{state | phase: :reconnecting})}
  end

  def handle_info({:nodedown, _node}, state), do: {:noreply, state}

  def handle_info(:boot_timeout, %{phase: phase} = state) when phase in [:ready, :sending],
    do: {:noreply, state}

  def handle_info(:boot_timeout, state) do
    sentence =
      "the node was not ready within #{state.options[:boot_timeout]} milliseconds (`:boot_timeout`)"

    {:noreply, end_program(state, :kill, sentence)}
  end

  def handle_info({:unreachable, sentence}, state),
    do: {:noreply, end_program(state, :kill, sentence)}

  def handle_info(:kill, state) do
    OSProcess.kill(state.process)
    {:noreply, state}
  end

  def handle_info({:too_late, from, timeout}, state) do
    {late, waiting} = Enum.split_with(state.waiting, &match?({^from, _timer}, &1))
    for {from, _timer} <- late, do: GenServer.reply(from, {:error, Lease.too_late(timeout)})

    {:noreply, %{state | waiting: waiting}}
  end

  def handle_info({:DOWN, monitor, :process, _pid, _reason}, state) do
    {:noreply, %{state | watchers: Map.delete(state.watchers, monitor)}}
  end

  def handle_info(_message, state), do: {:noreply, state}

  @impl true
  def terminate(reason, state) do
    error = end_now(reason, state)
    for {from, _timer} <- state.waiting, do: GenServer.reply(from, {:error, error})

    if match?({:shutdown, %Error{}}, reason),
      do: failed(error, state.started, state.metadata),
      else: Telemetry.stop([:worker], state.started, state.metadata)
  end

  defp failed(error, started, metadata) do
    Logger.error("#{error.node}: #{error.text}", beam_bpy_node: error.node)
    Telemetry.exception([:worker], started, Map.put(metadata, :error, error))
  end

  # The program has ended by itself.
  defp end_now({:shutdown, %Error{} = error}, _state), do: error

  # The supervisor ends this process: the program gets `:kill_after` to end.
  defp end_now(_reason, state) do
    OSProcess.ask_to_end(state.process)

    unless ended?(state.process, state.options[:kill_after]) do
      OSProcess.kill(state.process)
      ended?(state.process, @time_of_a_kill)
    end

    OSProcess.close(state.process)
    %Error{kind: :not_connected, node: state.node, text: "the worker was stopped"}
  end

  defp ended?(%{port: port}, timeout) do
    receive do
      {^port, {:exit_status, _status}} -> true
      {:EXIT, ^port, _reason} -> true
    after
      timeout -> false
    end
  end

  defp watch(state, pid, what) do
    if {pid, what} in Map.values(state.watchers),
      do: state,
      else: %{state | watchers: Map.put(state.watchers, Process.monitor(pid), {pid, what})}
  end

  ## Output

  # A line that is longer than the buffer of the port comes in parts.
  defp output(:noeol, text, state),
    do: %{state | partial: Output.append(state.partial, text)}

  defp output(:eol, text, state) do
    line = Output.to_text(Output.append(state.partial, text))
    parsed = Output.parse(line)
    log(parsed, line, state)
    lines = :queue.in(line, state.lines)
    lines = if :queue.len(lines) > @kept_lines, do: :queue.drop(lines), else: lines
    told(parsed, %{state | partial: "", lines: lines})
  end

  # A render prints dozens of lines about its progress; those who want them get them from `BeamBpy.stream/4`.
  defp log({:progress, _progress}, _line, _state), do: :ok

  defp log(_parsed, line, state) do
    if state.options[:log] && String.trim(line) != "",
      do: Logger.log(state.options[:log], "#{state.node}: #{line}", beam_bpy_node: state.node)
  end

  defp told({:ready, name}, %{phase: :booting} = state) do
    # Lines from the start do not explain a later end.
    if name == Atom.to_string(state.node),
      do: probe(%{state | phase: :connecting, lines: :queue.new()}),
      else: state
  end

  defp told({:progress, progress}, state) do
    notify(state, :progress, {:beam_bpy_render, state.node, progress})
  end

  defp told(_nothing, state), do: state

  ## Ready

  # A process of its own, because a connection can take seconds.
  defp probe(state) do
    {worker, probe, node} = {self(), make_ref(), state.node}

    spawn(fn ->
      send(worker, {:probed, probe, Remote.call(node, {:beam_bpy, :health, []}, 10_000)})
    end)

    %{state | probe: probe}
  end

  defp probed(%{ending: nil} = state, {:ok, _health}) do
    Node.monitor(state.node, true)
    Process.cancel_timer(state.boot_timer)
    if state.phase == :connecting, do: started(state)
    notify(state, :ready, {:beam_bpy_worker, :ready, state.node})
    send_casts(state)
  end

  # A program that has ended closes its connection first. Its exit status, which comes soon, says more than this error.
  defp probed(%{ending: nil, phase: :reconnecting} = state, {:error, error}) do
    Process.send_after(self(), {:unreachable, error.text}, 500)
    state
  end

  defp probed(%{ending: nil} = state, {:error, error}), do: end_program(state, :kill, error.text)
  defp probed(state, _result), do: state

  # The casts that wait come before the calls that wait.
  defp send_casts(%{casts: []} = state) do
    for {from, timer} <- Enum.reverse(state.waiting) do
      timer && Process.cancel_timer(timer)
      GenServer.reply(from, {:ok, lease(state)})
    end

    %{state | phase: :ready, waiting: []}
  end

  # A process of its own, because it waits while the connection is full.
  defp send_casts(%{node: node, casts: casts} = state) do
    {worker, sender} = {self(), make_ref()}

    spawn(fn ->
      casts |> Enum.reverse() |> Enum.each(&Remote.cast(node, &1))
      send(worker, {:sent, sender})
    end)

    %{state | phase: :sending, casts: [], sender: sender}
  end

  defp answers?(state), do: state.phase in [:ready, :sending]

  defp started(state) do
    duration = System.monotonic_time() - state.started
    Telemetry.execute([:worker, :ready], %{duration: duration}, state.metadata)
    if owner = state.options[:owner], do: send(owner, {:worker_ready, self(), state.node})
  end

  defp lease(state), do: %Lease{node: state.node, worker: self()}

  defp notify(state, what, message) do
    for {_monitor, {pid, ^what}} <- state.watchers, do: send(pid, message)
    state
  end

  ## The end

  defp end_program(%{ending: {:kill, _sentence}} = state, _how, _new_sentence), do: state

  defp end_program(state, :kill, sentence) do
    OSProcess.kill(state.process)
    %{state | ending: {:kill, sentence}}
  end

  defp end_program(state, :ask, sentence) do
    OSProcess.ask_to_end(state.process)
    Process.send_after(self(), :kill, state.options[:kill_after])
    %{state | ending: {:ask, sentence}}
  end

  defp reason_of_end(%{ending: {:ask, _sentence}}, _status), do: :normal

  defp reason_of_end(%{ending: {:kill, sentence}} = state, status) when status in [nil, 137],
    do: ended_with(state, status, sentence)

  defp reason_of_end(state, status),
    do: ended_with(state, status, end_sentence(status, state.lines))

  defp ended_with(state, status, sentence) do
    kind = if state.phase in [:booting, :connecting], do: :not_connected, else: :crashed
    {:shutdown, %Error{kind: kind, node: state.node, reason: status, text: sentence}}
  end

  defp end_sentence(status, lines) do
    ended = if status, do: OSProcess.exit_sentence(status), else: "the program ended"

    case Enum.filter(:queue.to_list(lines), &(String.trim(&1) != "")) do
      [] -> ended
      lines -> "#{ended}; its last output: #{lines |> List.last() |> String.slice(0, 1_000)}"
    end
  end
end
