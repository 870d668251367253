defmodule BeamBpy do
  @moduledoc """
  Calls to Blenders.

      children = [
        {BeamBpy.Pool, name: MyApp.Blender, command: :blender, handlers: ["priv/handlers.py"], max: 4}
      ]

      {:ok, names} = BeamBpy.call(MyApp.Blender, :list_objects)
      png = BeamBpy.call!(MyApp.Blender, :render_still, [%{engine: "cycles", width: 640}], timeout: 60_000)

  The first argument of each function is one of these targets:

    * a `BeamBpy.Pool`: each call has a Blender of the pool for itself
    * a `BeamBpy.Worker`: all callers share its Blender
    * the name of a node, such as `:"beam_bpy@127.0.0.1"`: a Blender that somebody else has started, for example one
      with a window
    * `{:group, name}`: the pools with this `:group` on all connected nodes, see the guide *Several machines*

  A pool or a worker of another node is `{name, node}`, or a pid.

  A call runs a handler: a Python function that a handlers file or an add-on has registered. `handlers/1` lists them.

  ## Which function?

    * `call/4` waits for the result.
    * `cast/4` does not. To a worker or a node, it is for values that change many times in a second: casts arrive in
      order, and of a handler with the option `latest`, only the newest cast waits.
    * `stream/4` also has the progress of a long handler, and can be stopped.
    * `subscribe/2` gets the events of a Blender.
    * `batch/3` makes several calls in one message, with one undo step.
    * `checkout/3` has a Blender of a pool for itself for several calls and casts.
  """

  alias BeamBpy.{Call, Error, Lease, Progress, Remote, Subscription, Telemetry}

  @typedoc "A node, a worker, a pool or a group of pools."
  @type target :: node() | GenServer.server() | {:group, atom()}

  @type call_option ::
          {:timeout, timeout()}
          | {:progress_timeout, timeout()}
          | {:retries, non_neg_integer()}
          | {:affinity, term()}
          | {:module, module()}

  @call_options [:timeout, :progress_timeout, :retries, :affinity, :module]

  @doc """
  Calls a handler and waits for its result.

      {:ok, "Crate"} = BeamBpy.call(MyApp.Blender, :create_cube, ["Crate"])

  ## Options

    * `:timeout` - the longest time of the call, in milliseconds, with the time that it waits for a Blender. Default: the
      `:timeout` of the pool, else `30_000`
    * `:progress_timeout` - the longest time between two reports of progress, in milliseconds: values that a long handler
      yields, and lines about a render that Blender prints. Default: that of the pool, else `:infinity`
    * `:retries` - how often the call may run again after its Blender has crashed or its connection was lost. Only set
      it if the handler may run twice. Default: `0`
    * `:affinity` - prefers a Blender of the pool whose last call had the same term, see `BeamBpy.Pool`. It does not
      choose among the pools of a group
    * `:module` - the module of the handler, for handlers that belong to one. Default: `Blender`
  """
  @spec call(target(), atom(), [term()], [call_option()]) :: {:ok, term()} | {:error, Error.t()}
  def call(target, function, args \\ [], options \\ [])
      when is_atom(function) and is_list(args) do
    {mfargs, options} = prepare(function, args, options)
    observed(target, mfargs, fn -> Call.run(target, mfargs, options) end)
  end

  @doc "Like `call/4`, but returns the result itself, and raises `BeamBpy.Error`."
  @spec call!(target(), atom(), [term()], [call_option()]) :: term()
  def call!(target, function, args \\ [], options \\ []) do
    case call(target, function, args, options) do
      {:ok, result} -> result
      {:error, error} -> raise error
    end
  end

  @doc """
  Calls a handler without waiting for its result, and returns at once.

      BeamBpy.cast(MyApp.Stage, :set_pose, ["Rig", rows])

  The cast also runs after the calling process has ended. Nobody gets its result. If it fails, Blender shows the reason in
  its sidebar and writes it to its log, whose lines a worker sends to `Logger`.

  To a node or a worker, a cast is one message:

    * Casts of one process arrive in the order in which it has sent them, and a call of this process runs after them.
    * Casts of a handler with the option `latest`, such as `set_pose`, replace the older ones that wait: only the newest
      value runs, so a sender may be faster than Blender.
    * While a worker starts, its casts wait, and they run before the calls that wait.
    * If there is no such node or worker, or it ends, the cast is lost.
    * The only option is `:module`. The others of `call/4` have no effect.

  To a pool or a group, a cast is a call whose result is dropped. It waits for a Blender and has it for itself, with all
  options of `call/4`. Several such casts may run in any order and in different Blenders: for values that change many
  times in a second, use a worker, a node, or `checkout/3`.
  """
  @spec cast(target(), atom(), [term()], [call_option()]) :: :ok
  def cast(target, function, args \\ [], options \\ [])
      when is_atom(function) and is_list(args) do
    {mfargs, options} = prepare(function, args, options)
    Telemetry.execute([:cast], %{system_time: System.system_time()}, metadata(target, mfargs))

    cond do
      match?({:group, _group}, target) ->
        spawn(fn -> observed(target, mfargs, fn -> Call.run(target, mfargs, options) end) end)
        :ok

      Lease.node_name?(target) ->
        Remote.cast(target, mfargs)

      true ->
        # The worker or the pool. It may run on another node.
        GenServer.cast(target, {:cast, mfargs, options})
    end
  end

  @doc """
  Calls a handler, and returns a stream of its progress and its result.

      for event <- BeamBpy.stream(MyApp.Blender, :render_animation, [%{frames: 100}]) do
        IO.inspect(event)
      end

  The call starts when the stream is enumerated. Its elements are:

    * `{:progress, value}` - a value that the handler has yielded; other handlers than generator functions yield none
    * `{:render, map}` - what Blender has printed about a render: `:frame`, and with Cycles `:sample` and `:samples`
    * `{:ok, result}` or `{:error, %BeamBpy.Error{}}` - always the last element

  If the enumeration ends before that, the call is cancelled. The options are those of `call/4`, except `:retries`.
  """
  @spec stream(target(), atom(), [term()], [call_option()]) :: Enumerable.t()
  def stream(target, function, args \\ [], options \\ [])
      when is_atom(function) and is_list(args) do
    # `:retries` is not among them, because the events would repeat.
    {mfargs, options} = prepare(function, args, options, @call_options -- [:retries])

    Stream.resource(
      fn -> start_stream(target, mfargs, options) end,
      &next_event/1,
      &end_stream/1
    )
  end

  # The state of a stream is `{call, span}`. The call is a `Progress`, an error, or :ended.
  defp start_stream(target, mfargs, options) do
    span = start_span(target, mfargs)

    case Call.checkout(target, options, Call.now()) do
      {:ok, lease, timeout} ->
        progress_timeout = options[:progress_timeout] || lease.progress_timeout
        {Progress.start(lease, mfargs, timeout, progress_timeout), span}

      {:error, error} ->
        {{:error, %{error | function: error.function || Remote.name(mfargs)}}, span}
    end
  end

  defp next_event({:ended, span}), do: {:halt, {:ended, span}}
  defp next_event({{:error, _error} = result, span}), do: last_event(result, span)

  defp next_event({progress, span}) do
    case Progress.next(progress) do
      {tag, _value} = event when tag in [:progress, :render] ->
        {[event], {progress, span}}

      result ->
        Progress.cancel(progress)
        progress.lease |> Call.finish(result) |> last_event(span)
    end
  end

  defp last_event(result, span) do
    stop_span(span, outcome_of(result))
    {[result], {:ended, span}}
  end

  defp end_stream({%Progress{} = progress, span}) do
    Progress.cancel(progress)
    Lease.checkin(progress.lease, :check)
    stop_span(span, %{result: :cancelled, error: nil})
  end

  defp end_stream(_ended), do: :ok

  @doc """
  Makes several calls in one message. The node runs them in order, without other calls between them, and creates one
  undo step for all of them.

      {:ok, [{:ok, "Crate"}, {:error, %BeamBpy.Error{kind: :python}}]} =
        BeamBpy.batch(MyApp.Blender, [{:create_cube, ["Crate"]}, {:delete_object, ["Nobody"]}])

  If a call fails, the following calls still run. The options are those of `call/4`.
  """
  @spec batch(target(), [{atom(), [term()]}], [call_option()]) ::
          {:ok, [{:ok, term()} | {:error, Error.t()}]} | {:error, Error.t()}
  def batch(target, calls, options \\ []) when is_list(calls) do
    module = Keyword.get(options, :module, Blender)
    wire = for {function, args} <- calls, do: {Atom.to_string(function), args}

    with {:ok, results} <- call(target, :call_batch, [wire], options) do
      {:ok,
       Enum.zip_with(calls, results, fn {function, args}, result ->
         outcome(result, {module, function, args})
       end)}
    end
  end

  defp outcome({:error, reason}, mfargs),
    do: {:error, Remote.exception_error(reason, nil, mfargs)}

  defp outcome(ok, _mfargs), do: ok

  @doc """
  Runs a function that has a Blender for itself, for several calls to one scene.

      {:ok, picture} =
        BeamBpy.checkout(MyApp.Blender, fn blender ->
          BeamBpy.call!(blender, :create_cube, ["Crate"])
          BeamBpy.call!(blender, :render_still, [%{engine: "cycles", width: 640}])
        end)

  The function gets a target for all functions of this module: the name of the node, or, for a Blender of another
  machine, a process. It returns `{:ok, value}`, with the value of the function, or `{:error, error}` if no Blender became
  free. If the function raises, the Blender is given back. A call to the pool itself inside the function needs a second
  Blender.

  ## Options

    * `:timeout` - the longest time to wait for a Blender, in milliseconds. The function has no limit.
    * `:affinity` - see `call/4`
  """
  @spec checkout(target(), (target() -> result), timeout: timeout(), affinity: term()) ::
          {:ok, result} | {:error, Error.t()}
        when result: term()
  def checkout(target, function, options \\ []) when is_function(function, 1) do
    options = Call.validate!(options, [:timeout, :affinity])

    with {:ok, lease} <- Lease.checkout(target, options) do
      try do
        {:ok, function.(Lease.target(lease))}
      after
        Lease.checkin(lease, :check)
      end
    end
  end

  @doc """
  Subscribes the calling process to the events of a topic.

      {:ok, subscription} = BeamBpy.subscribe(MyApp.Blender, "object_renamed")

      receive do
        {:beam_bpy_event, node, "object_renamed", payload} -> payload
      end

  The messages come from all Blenders of the target; for a group, from all machines. After a restart of a Blender, and
  for each new Blender of a pool, the subscription is made again. It ends when the process ends, or with
  `unsubscribe/1`. If the process reads too slowly, it misses events, and gets
  `{:beam_bpy_events_missed, node, topic, count}`.
  """
  @spec subscribe(target(), String.t()) :: {:ok, pid()} | {:error, Error.t()}
  def subscribe(target, topic) when is_binary(topic) do
    {:ok, pid} =
      DynamicSupervisor.start_child(
        BeamBpy.Subscriptions,
        {Subscription, {self(), target, topic}}
      )

    with :ok <- GenServer.call(pid, :subscribe, :infinity), do: {:ok, pid}
  end

  @doc "Ends a subscription."
  @spec unsubscribe(pid()) :: :ok
  def unsubscribe(subscription) do
    GenServer.call(subscription, :unsubscribe, :infinity)
  catch
    # It has ended already.
    :exit, {_reason, {GenServer, :call, _args}} -> :ok
  end

  @doc """
  Describes the handlers that the caller may call.

  Each is a map with `:name`, `:module`, `:owner`, `:doc`, `:parameters` and `:options`; see the chapter *Descriptions* of
  the documentation of handlers. `mix beam_bpy.gen` writes a module from it.
  """
  @spec handlers(target()) :: {:ok, [map()]} | {:error, Error.t()}
  def handlers(target), do: call(target, :describe_handlers)

  defp prepare(function, args, options, names \\ @call_options) do
    {module, options} = options |> Call.validate!(names) |> Keyword.pop(:module, Blender)
    {{module, function, args}, options}
  end

  defp observed(target, mfargs, run) do
    span = start_span(target, mfargs)
    result = run.()
    stop_span(span, outcome_of(result))
    result
  end

  defp start_span(target, mfargs) do
    metadata = metadata(target, mfargs)
    {Telemetry.start([:call], metadata), metadata}
  end

  defp metadata(target, {module, function, args}),
    do: %{target: target, module: module, function: function, arity: length(args)}

  defp stop_span({started, metadata}, outcome),
    do: Telemetry.stop([:call], started, Map.merge(metadata, outcome))

  defp outcome_of({:ok, _result}), do: %{result: :ok, error: nil}
  defp outcome_of({:error, error}), do: %{result: error.kind, error: error}
end
