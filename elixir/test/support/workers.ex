defmodule BeamBpy.Workers do
  @moduledoc "Starts pools and workers for tests, with the handlers of `handlers.py`. They need no bpy."

  import BeamBpy.Case
  import ExUnit.Callbacks

  alias BeamBpy.{Pool, Worker}

  @handlers Path.expand("handlers.py", __DIR__)

  @doc "The path of the handlers."
  @spec handlers() :: Path.t()
  def handlers, do: @handlers

  @doc "Starts a pool under the supervisor of the test, and returns its name."
  @spec start_pool([Pool.option()]) :: atom()
  def start_pool(options \\ []) do
    options = Keyword.merge([name: unique_name("pool")] ++ defaults(), options)
    start_supervised!({Pool, options})
    options[:name]
  end

  @doc "Starts a worker under the supervisor of the test, and returns its name."
  @spec start_worker([Worker.option()]) :: atom()
  def start_worker(options \\ []) do
    options = Keyword.merge([name: unique_name("worker")] ++ defaults(), options)
    start_supervised!({Worker, options})
    options[:name]
  end

  @doc "Starts a worker that belongs to the test itself. The test has to trap exits if it expects the end of it."
  @spec start_link([Worker.option()]) :: GenServer.on_start()
  def start_link(options \\ []), do: Worker.start_link(Keyword.merge(defaults(), options))

  @doc "The options that workers of these tests have."
  @spec defaults() :: keyword()
  def defaults, do: [command: {:python, python()}, handlers: [@handlers], kill_after: 1_000]

  @doc "The slots of a pool in a state."
  @spec slots(atom(), atom()) :: [map()]
  def slots(pool, state), do: Enum.filter(Pool.info(pool).workers, &(&1.state == state))

  @doc "Waits until a number of Blenders of a pool are idle, and returns their slots."
  @spec wait_until_idle(atom(), pos_integer()) :: [map()]
  def wait_until_idle(pool, count \\ 1) do
    eventually(fn ->
      slots = slots(pool, :idle)
      length(slots) == count && slots
    end)
  end

  @doc "The processes of the operating system that a pool has started."
  @spec os_pids(atom()) :: [pos_integer()]
  def os_pids(pool) do
    for %{pid: pid} when is_pid(pid) <- Pool.info(pool).workers, do: Worker.os_pid(pid)
  end

  @doc "The lines of a file that handlers have written."
  @spec lines(Path.t()) :: [String.t()]
  def lines(path) do
    case File.read(path) do
      {:ok, text} -> String.split(text, "\n", trim: true)
      {:error, :enoent} -> []
    end
  end

  @doc "Sends events of telemetry to this process as `{:telemetry, event, measurements, metadata}`, until the test ends."
  @spec attach([[atom()]]) :: :ok
  def attach(events) do
    id = {__MODULE__, make_ref()}
    on_exit(fn -> :telemetry.detach(id) end)
    :telemetry.attach_many(id, events, &__MODULE__.forward/4, self())
  end

  @doc false
  def forward(event, measurements, metadata, pid),
    do: send(pid, {:telemetry, event, measurements, metadata})

  @doc "Starts a target of calls that is ready: a pool, a worker or a node."
  @spec start_target(:pool | :worker | :node) :: BeamBpy.target()
  def start_target(:pool), do: tap(start_pool(), &wait_until_idle/1)
  def start_target(:worker), do: tap(start_worker(), &Worker.node_of/1)

  def start_target(:node) do
    {:ok, node} = Worker.node_of(start_worker())
    node
  end
end
