defmodule BeamBpy.Lease do
  @moduledoc false
  # The right to call one node: of a pool for a while and alone, of a worker for any time and together with others.
  #
  # A pool monitors the process that has a lease. If that process dies, the lease ends.

  alias BeamBpy.{Call, Error, Group, Runner, Telemetry}
  alias BeamBpy.Pool.Load

  # A program that has ended closes its connection first; its worker learns of the end after this time, in milliseconds,
  # at the latest.
  @time_of_an_end 500

  # The longest time that a program needs to end after SIGKILL, in milliseconds.
  @time_of_a_kill 2_000

  @enforce_keys [:node, :worker]
  defstruct @enforce_keys ++
              [:pool, :ref, :monitor, :runner, timeout: 30_000, progress_timeout: :infinity]

  @typedoc """
  `timeout` and `progress_timeout` are the defaults of the pool, in milliseconds. For a pool of another node, `runner`
  has the lease; it makes the call, because `node` accepts connections of its own machine only.
  """
  @type t :: %__MODULE__{
          node: node(),
          worker: pid() | nil,
          pool: pid() | nil,
          ref: reference() | nil,
          monitor: reference() | nil,
          runner: Runner.t() | nil,
          timeout: timeout(),
          progress_timeout: timeout()
        }

  @typedoc """
  The state in which a caller leaves its Blender: `:ok`, the call has ended; `:unused`, no call was made; `:check`, calls
  may still run there; `{:kill, sentence}`, it has to be replaced.
  """
  @type outcome :: :ok | :unused | :check | {:kill, String.t()}

  @doc """
  Waits for a lease. The options are `:timeout`, in milliseconds, and `:affinity`.

  The pool and the worker watch the time, so that nobody gets a lease after that.
  """
  @spec checkout(BeamBpy.target(), keyword()) :: {:ok, t()} | {:error, Error.t()}
  def checkout({:group, group}, options) when is_atom(group), do: Group.checkout(group, options)

  def checkout(target, options) do
    if node_name?(target) do
      {:ok, %__MODULE__{node: target, worker: nil}}
    else
      case place(target) do
        {server, node} when node == node() -> checkout_here(server, options)
        {server, node} -> checkout_there(server, node, options)
      end
    end
  end

  @doc "Gets a lease of a pool of this node, if it has a free Blender."
  @spec checkout_free(atom(), keyword()) :: {:ok, t()} | {:error, Error.t()} | :busy
  def checkout_free(pool, options), do: checkout_here(pool, [wait: false] ++ options)

  @doc "The target of calls that use this lease."
  @spec target(t()) :: BeamBpy.target()
  def target(%__MODULE__{runner: nil, node: node}), do: node
  def target(%__MODULE__{worker: runner}), do: runner

  defp checkout_here(server, options) do
    case Load.count_request(server) do
      false ->
        {:error, refused(server)}

      counted ->
        request = {:checkout, [{:counted, counted} | options]}
        server |> GenServer.call(request, :infinity) |> monitored()
    end
  catch
    :exit, {reason, {GenServer, :call, _args}} -> {:error, no_server(server, reason)}
  end

  defp checkout_there(server, node, options) do
    runner = Runner.ask(server, node, options)

    case Runner.next(runner, options[:timeout] || :infinity) do
      {:leased, lease} ->
        {:ok, %{lease | runner: runner}}

      other ->
        Runner.close(runner, :unused)
        {:error, if(other == :no_event, do: too_late(options[:timeout]), else: elem(other, 1))}
    end
  end

  @doc "The error of a caller of a full pool of this node."
  @spec refused(atom()) :: Error.t()
  def refused(pool) do
    measurements = %{queue_time: 0, waiting: Load.waiting(pool)}
    Telemetry.execute([:pool, :queue], measurements, %{pool: pool, result: :full})
    full(pool)
  end

  @doc "A server as it is called on its own node, and this node."
  @spec place(GenServer.server()) :: {GenServer.server(), node()}
  def place(server) do
    case server do
      {name, node} when is_atom(name) and is_atom(node) -> {name, node}
      pid when is_pid(pid) -> {pid, node(pid)}
      name when is_atom(name) -> {name, node()}
      name -> name |> GenServer.whereis() |> place(name)
    end
  end

  defp place(nil, name), do: {name, node()}
  defp place(pid, _name), do: {pid, node(pid)}

  @doc "Adds the monitor of the worker. `give_up/2` needs the reason of its end, which only those learn who monitored it."
  @spec monitored({:ok, t()} | other) :: {:ok, t()} | other when other: term()
  def monitored({:ok, lease}), do: {:ok, %{lease | monitor: Process.monitor(lease.worker)}}
  def monitored(other), do: other

  @doc "Whether a target is the name of a node, and not that of a process."
  @spec node_name?(BeamBpy.target()) :: boolean()
  def node_name?(target), do: is_atom(target) and String.contains?(Atom.to_string(target), "@")

  @doc "Waits, at most so many milliseconds, until a worker that has ended runs again under its name."
  @spec await(BeamBpy.target(), timeout()) :: :ok
  def await(target, time) when is_atom(target) and time > 0 do
    if node_name?(target) or GenServer.whereis(target) != nil do
      :ok
    else
      Process.sleep(min(time, 20))
      await(target, time - 20)
    end
  end

  def await(_target, _time), do: :ok

  @doc """
  Asks a pool or a worker for its nodes that are ready. For each further one, the calling process gets
  `{:beam_bpy_worker, :ready, node}`.
  """
  @spec watch(GenServer.server()) :: {:ok, [node()], pid()} | {:error, Error.t()}
  def watch(server) do
    case GenServer.whereis(server) do
      nil -> {:error, no_server(server, :noproc)}
      process -> {:ok, GenServer.call(process, {:watch, self(), :ready}), process}
    end
  catch
    :exit, {reason, {GenServer, :call, _args}} -> {:error, no_server(server, reason)}
  end

  @doc "The error of a caller of a pool for which too many others wait."
  @spec full(term()) :: Error.t()
  def full(pool) do
    %Error{
      kind: :full,
      text: "too many callers wait for #{inspect(pool)} (`:max_waiting`); try again later"
    }
  end

  @doc "Gives a lease back."
  @spec checkin(t(), outcome()) :: :ok
  def checkin(%__MODULE__{runner: %Runner{} = runner}, outcome), do: Runner.close(runner, outcome)

  def checkin(lease, outcome) do
    if lease.monitor, do: Process.demonitor(lease.monitor, [:flush])
    tell_pool(lease, outcome)
  end

  defp tell_pool(%__MODULE__{pool: nil}, _outcome), do: :ok

  defp tell_pool(%__MODULE__{pool: pool, ref: ref}, outcome),
    do: GenServer.cast(pool, {:checkin, ref, outcome})

  @doc """
  Gives a lease back whose call has lost its connection. Returns the reason.

  If the program has ended, its worker knows why. If not, its handler may still run, so a pool replaces the Blender.
  The function waits at most `rest` milliseconds.
  """
  @spec give_up(t(), Error.t(), timeout()) :: Error.t()
  def give_up(%__MODULE__{runner: %Runner{} = runner}, error, _rest) do
    # The runner has asked for the reason itself, or it is lost.
    Runner.close(runner, :check)
    error
  end

  def give_up(%__MODULE__{monitor: nil}, error, _rest), do: error

  def give_up(lease, error, rest) do
    reason = end_of_worker(lease, min(@time_of_an_end, rest))
    tell_pool(lease, {:kill, "the connection was lost"})

    if reason == nil and lease.pool != nil do
      # The name of the node is free again when the caller gets the error.
      rest = Call.less(rest, @time_of_an_end)
      end_of_worker(lease, min(@time_of_a_kill, rest))
    end

    Process.demonitor(lease.monitor, [:flush])
    explain(reason, error)
  end

  defp end_of_worker(%__MODULE__{monitor: monitor}, time) do
    receive do
      {:DOWN, ^monitor, :process, _pid, reason} -> reason
    after
      time -> nil
    end
  end

  # The node has answered before, so advice about names and cookies would mislead.
  defp explain(nil, error) do
    %{error | text: "the connection to #{error.node} was lost during the call"}
  end

  defp explain({:shutdown, %Error{kind: :crashed} = crash}, error) do
    %{crash | function: error.function, node: error.node}
  end

  defp explain(_reason, error),
    do: %{error | kind: :crashed, text: "the program ended during the call"}

  @doc "The error of a caller that has waited too long for a lease, in milliseconds."
  @spec too_late(timeout()) :: Error.t()
  def too_late(timeout) do
    %Error{kind: :timeout, text: "no Blender became free within #{timeout} milliseconds"}
  end

  @doc "The error of a caller whose pool or worker does not run, or has ended for this reason."
  @spec no_server(GenServer.server(), term()) :: Error.t()
  def no_server(server, :noproc) do
    text =
      "there is no pool and no worker #{inspect(server)}: add it to a supervisor, and check its name"

    %Error{kind: :not_connected, text: text}
  end

  def no_server(_server, {:nodedown, node}) do
    %Error{kind: :not_connected, node: node, text: "the connection to #{node} failed or was lost"}
  end

  def no_server(_server, {:shutdown, %Error{} = error}), do: error

  def no_server(server, reason) do
    text = "#{inspect(server)} ended while the caller waited: #{Exception.format_exit(reason)}"
    %Error{kind: :not_connected, text: text}
  end
end
