defmodule BeamBpy.Pool do
  @moduledoc """
  Several Blenders, for many callers.

      children = [
        {BeamBpy.Pool, name: MyApp.Blender, command: :blender, handlers: ["priv/handlers.py"], max: 4}
      ]

      png = BeamBpy.call!(MyApp.Blender, :render_still, [%{engine: "cycles", width: 640}], timeout: 60_000)

  A call has a Blender for itself. If no Blender is free, callers wait in the order of their arrival. The pool starts
  Blenders when callers wait, up to `:max`, and ends those that nobody needs.

  ## What can go wrong

    * **A caller dies.** Its call never starts if it still waits. If it runs, a long handler (a Python generator
      function) is closed. If another handler still runs after `:cancel_timeout`, its Blender is replaced.
    * **A call takes too long** (`:timeout`, `:progress_timeout`). The caller gets an error with the kind `:timeout`, and
      the Blender is killed and replaced.
    * **A Blender ends.** Its caller gets an error with the kind `:crashed`. The next Blender has the same node name.
    * **A Blender cannot be started.** Callers get the reason. The pool tries again after a while, at the latest after
      ten seconds.
    * **Too many callers wait.** Further callers get an error with the kind `:full` at once.

  No call runs twice, unless it sets `:retries`.

  ## Options

  All options of `BeamBpy.Worker.start_link/1` except `:name` and `:node_name`, and:

    * `:name` - the name of the pool, an atom; required
    * `:min` - the number of Blenders that always run. Default: `1`
    * `:max` - the largest number of Blenders. Default: the value of `:min`, and at least `1`
    * `:max_waiting` - the largest number of callers that wait. Default: `1_000`. With `0`, no caller waits, so the
      pool does not grow beyond `:min`
    * `:timeout` - the longest time of a call, in milliseconds, with the time that it waits. A call can set its own.
      Default: `30_000`
    * `:progress_timeout` - the longest time between two reports of progress, in milliseconds. Default: `:infinity`
    * `:cancel_timeout` - the longest time that a Blender may continue with a call whose caller has died, in
      milliseconds. Default: `5_000`
    * `:idle_shutdown_after` - the time after which a Blender that nobody uses ends, in milliseconds, or `:infinity`.
      `:min` Blenders remain. Default: `60_000`
    * `:single_use` - whether each Blender serves only one call, and is then replaced. Default: `false`
    * `:recycle` - when a Blender is replaced after a call: `[calls: 100]` after this number of calls,
      `[memory: 2_000_000_000]` when its process uses more bytes. Default: `[]`
    * `:group` - the name of a group of pools on several nodes, see below. Default: none

  A call can set `affinity: term`, for example the path of a .blend file. It then prefers a Blender whose last call had
  the same affinity, so that the handler finds the file already open.

  ## Several machines

  Pools with the same `:group` on connected nodes act as one:

      {BeamBpy.Pool, name: MyApp.Blender, group: MyApp.Blender, command: :blender, max: 4}

      BeamBpy.call({:group, MyApp.Blender}, :render_still, [%{engine: "cycles", width: 640}], retries: 1)

  A call goes to the least busy pool, and waits if all are busy. A node that is lost, or that hangs, gets no calls after a
  second. A call that ran there gets an error with the kind `:not_connected`, or runs on another machine if it has
  `:retries`. The options can be sent to other nodes, so a pool can be started there, for example with
  `FLAME.place_child/2`. See the guide *Several machines*.
  """

  use Supervisor

  import BeamBpy.Call, only: [is_time: 1]

  alias BeamBpy.{Pool, Worker}
  alias BeamBpy.Worker.Secrets

  @defaults [
    name: nil,
    min: 1,
    max: nil,
    max_waiting: 1_000,
    timeout: 30_000,
    progress_timeout: :infinity,
    cancel_timeout: 5_000,
    idle_shutdown_after: 60_000,
    single_use: false,
    recycle: [],
    group: nil
  ]
  @names Keyword.keys(@defaults)
  @worker_names Worker.option_names() -- [:name, :node_name]

  @type option ::
          {:name, atom()}
          | {:min, non_neg_integer()}
          | {:max, pos_integer()}
          | {:max_waiting, non_neg_integer()}
          | {:timeout, timeout()}
          | {:progress_timeout, timeout()}
          | {:cancel_timeout, non_neg_integer()}
          | {:idle_shutdown_after, timeout()}
          | {:single_use, boolean()}
          | {:recycle, [calls: pos_integer(), memory: pos_integer()]}
          | {:group, atom()}
          | Worker.option()

  @doc false
  def child_spec(options) do
    %{
      id: {__MODULE__, options[:name]},
      start: {__MODULE__, :start_link, [Secrets.hide(options)]},
      type: :supervisor
    }
  end

  @doc "Starts a pool. It returns at once; calls wait until a Blender is ready."
  @spec start_link([option()]) :: Supervisor.on_start()
  def start_link(options) do
    {options, worker_options} = validate!(options)
    Supervisor.start_link(__MODULE__, {options, worker_options})
  end

  @doc """
  Describes the present state of a pool.

  Returns a map: `:waiting`, the number of callers that wait, and `:workers`, a list with `:number`, `:state`
  (`:off`, `:starting`, `:idle`, `:busy`, `:checking`, `:ending` or `:failed`), `:node`, `:pid` of the `BeamBpy.Worker`, and `:calls` of each
  Blender.
  """
  @spec info(GenServer.server()) :: %{waiting: non_neg_integer(), workers: [map()]}
  def info(pool), do: GenServer.call(pool, :info)

  @impl true
  def init({options, worker_options}) do
    workers = Module.concat(options[:name], Workers)

    children = [
      {DynamicSupervisor, name: workers, strategy: :one_for_one},
      {Pool.Server, {options, worker_options, workers}}
    ]

    # The server knows which worker has which number, so both start again together.
    Supervisor.init(children, strategy: :one_for_all)
  end

  defp validate!(options) do
    {options, worker_options} = Keyword.split(options, @names)
    options = Keyword.merge(@defaults, options)

    for {key, _value} <- worker_options, key not in @worker_names do
      raise ArgumentError,
            "a pool has no option #{inspect(key)}; its options are #{inspect(@names ++ @worker_names)}"
    end

    # Whether `:max` is valid depends on `:min`, which comes first in `@names`.
    for key <- @names, not valid?(key, options[key], options) do
      raise ArgumentError,
            "the option #{inspect(key)} of a pool cannot be #{inspect(options[key])}"
    end

    {Keyword.update!(options, :max, &(&1 || max(options[:min], 1))),
     Worker.validate!(worker_options)}
  end

  defp valid?(:name, name, _options), do: is_atom(name) and name != nil
  defp valid?(:group, group, _options), do: is_atom(group)
  defp valid?(:min, min, _options), do: is_integer(min) and min >= 0
  defp valid?(:max, nil, _options), do: true
  defp valid?(:max, max, options), do: is_integer(max) and max >= max(options[:min], 1)
  defp valid?(:max_waiting, count, _options), do: is_integer(count) and count >= 0
  defp valid?(:cancel_timeout, time, _options), do: is_integer(time) and time >= 0
  defp valid?(:single_use, value, _options), do: is_boolean(value)

  defp valid?(:recycle, limits, _options) do
    Keyword.keyword?(limits) and
      Enum.all?(limits, fn {key, value} ->
        key in [:calls, :memory] and is_integer(value) and value > 0
      end)
  end

  defp valid?(_timeout, value, _options), do: is_time(value)
end
