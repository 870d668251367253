defmodule BeamBpy.Machines do
  @moduledoc """
  Pools on several nodes, for tests. Each node stands for a machine.

  The handler `machine` returns `"here"` in a pool of the node of the tests, and `"there"` in one of another node.
  """
  import ExUnit.Assertions
  import ExUnit.Callbacks
  import BeamBpy.Case

  alias BeamBpy.Pool

  @handlers """
  import os
  import time


  def register(server):
      for function in (machine, nap, echo, count, until_closed, fail, end_program, write):
          server.expose(function)
      server.expose(lambda topic: server.publish(topic, os.environ["MACHINE"]), name="publish")


  def machine():
      return os.environ["MACHINE"]


  def nap(seconds):
      time.sleep(seconds)
      return os.environ["MACHINE"]


  def echo(value):
      return value


  def count(number):
      for value in range(number):
          yield value
      return os.environ["MACHINE"]


  def until_closed(path):
      write(path, "started")
      try:
          while True:
              yield None
              time.sleep(0.02)
      finally:
          write(path, "closed")


  def fail(text):
      raise ValueError(text)


  def end_program():
      os._exit(7)


  def write(path, text):
      with open(path, "a") as file:
          file.write(text + " ")
  """

  @doc "A new group, and the file with the handlers of its pools."
  def new_group(folder) do
    group = unique_name("group")
    %{group: group, target: {:group, group}, handlers: handlers_file(folder, @handlers)}
  end

  @doc "The options of a pool, which can be sent to any node."
  def options(context, machine, options) do
    Keyword.merge(
      [
        name: unique_name("pool"),
        group: context.group,
        command: {:python, python()},
        handlers: [context.handlers],
        env: %{"MACHINE" => machine},
        min: 1,
        timeout: 60_000
      ],
      options
    )
  end

  @doc "Starts a pool on this node, and waits until its Blenders are ready."
  def start_here(context, options \\ []) do
    options = options(context, "here", options)
    start_supervised!({Pool, options})
    ready(node(), options)
  end

  @doc "Starts a pool on another node, and waits until its Blenders are ready, and until this node knows it."
  def start_there(context, peer, options \\ []) do
    options = options(context, "there", options)
    spec = Supervisor.child_spec({Pool, options}, [])
    {:ok, _pid} = :erpc.call(peer, Supervisor, :start_child, [BeamBpy.Supervisor, spec])
    ready(peer, options)
  end

  defp ready(node, options) do
    eventually(fn ->
      Enum.any?(
        known(options[:group]),
        &(&1.node == node and &1.load.name == options[:name] and &1.load.idle >= options[:min])
      )
    end)

    options[:name]
  end

  @doc "The pools of a group that this node knows."
  def known(group), do: BeamBpy.Group.Members.pools(group)

  @doc "What a pool does now."
  def info(pool, node), do: :erpc.call(node, Pool, :info, [pool])
  @doc "The state of each Blender of a pool."
  def states(pool, node), do: for(worker <- info(pool, node).workers, do: worker.state)
  @doc "The worker of each Blender of a pool."
  def pids(pool, node), do: for(worker <- info(pool, node).workers, do: worker.pid)

  @doc "Waits until no Blender of a pool has work."
  def idle(pool, node),
    do: eventually(fn -> Enum.all?(states(pool, node), &(&1 == :idle)) end)

  @doc """
  Checks that calls to the pools of a node leave nothing: no message or monitor of the calling process, and no process
  for a call on this node or on the other.
  """
  def leaves_nothing(node) do
    eventually(fn -> runners(node) == [] and relays(node) == [] end)
    assert Process.info(self(), :messages) == {:messages, []}
    assert Process.info(self(), :monitors) == {:monitors, []}
  end

  defp runners(node) do
    if node == node() or node not in Node.list(),
      do: [],
      else: Enum.filter(:erpc.call(node, Process, :list, []), &runner?(&1, node))
  end

  # The processes of this node that send to runners of the other one.
  defp relays(node) do
    for pid <- Process.list(),
        runner?(pid, node()),
        {:monitors, monitors} <- [Process.info(pid, :monitors)],
        Enum.any?(monitors, &match?({:process, other} when node(other) == node, &1)),
        do: pid
  end

  defp runner?(pid, node) do
    match?(
      {:current_function, {BeamBpy.Runner, _name, _arity}},
      :erpc.call(node, Process, :info, [pid, :current_function])
    )
  end

  @doc "Waits until a file has this text."
  def written(path, text),
    do: eventually(fn -> File.exists?(path) and File.read!(path) =~ text end)

  @doc "Starts a task that keeps a Blender until `release/1`."
  def occupy(target) do
    test = self()

    task =
      Task.async(fn ->
        BeamBpy.checkout(target, fn blender ->
          send(test, :occupied)
          assert_receive :release, 60_000
          BeamBpy.call!(blender, :machine)
        end)
      end)

    assert_receive :occupied, 30_000
    task
  end

  @doc "Ends such a task, and returns what `BeamBpy.checkout/3` returns in it: the machine of the Blender."
  def release(task) do
    send(task.pid, :release)
    Task.await(task, 30_000)
  end

  @doc "Whether an event of this machine arrives soon."
  def event?(machine) do
    receive do
      {:beam_bpy_event, _node, "topic", ^machine} -> true
    after
      100 -> false
    end
  end

  @doc "Removes the events from the mailbox."
  def flush do
    receive do
      {:beam_bpy_event, _node, _topic, _payload} -> flush()
    after
      0 -> :ok
    end
  end

  @doc "Starts a process on a node that evaluates code, as a person in IEx does."
  def start_shell(node), do: Node.spawn_link(node, __MODULE__, :shell, [[]])

  @doc false
  def shell(binding) do
    receive do
      {:evaluate, from, code} ->
        {value, binding} = Code.eval_string(code, binding)
        send(from, {:value, self(), value})
        shell(binding)
    end
  end

  @doc "The value of code in such a process."
  def evaluate(shell, code) do
    send(shell, {:evaluate, self(), code})
    assert_receive {:value, ^shell, value}, 60_000
    value
  end
end
