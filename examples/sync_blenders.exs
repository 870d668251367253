# Keeps two Blenders in sync: transforms and poses both ways; new meshes, renamed and deleted objects.
#
#     BPY_BEAM_COOKIE=... elixir examples/sync_blenders.exs NODE NODE
#
# Both Blenders need the extensions Beam-BPy and Scene Handlers. In the beginning, objects of the second Blender get the
# transforms and poses that objects with the same names have in the first one. The program ends when a Blender ends, or
# when its standard input ends. If it reads a line, and at its end, it prints for each Blender
#
#     events    the number of events of changes that this program has not made
#     own       the number of events of changes that this program has made; it does nothing with them
#     sent      the number of transforms, poses of bones and other changes that it has sent to the other Blender
#     dropped   the number of those that it has not sent, because the other Blender's value won
#     failed    the number of those that the other Blender has refused
#
# No echo: an event tells which node has made the change, and the program ignores what it has made itself.
#
# Conflicts: if both users change the same object at the same time, one value has to win. An event that comes from a
# Blender before this Blender has answered a change of the same object was made before that change, which has replaced
# it. So it is dropped, and both Blenders have the same value.
#
# No growth: each Blender gets one batch at a time. Until its answer comes, newer values replace older ones.

defmodule SyncBlenders do
  @topics ["transforms", "poses", "objects"]
  @counts %{events: 0, own: 0, sent: 0, dropped: 0, failed: 0}

  def run(first, second) do
    {:ok, _} = Node.start(:"sync_blenders_#{System.pid()}@127.0.0.1")
    Node.set_cookie(String.to_atom(System.get_env("BPY_BEAM_COOKIE", "beam_bpy_cookie")))

    for node <- [first, second] do
      Node.connect(node) || raise "cannot connect to #{node}: check that it runs, and that BPY_BEAM_COOKIE is its cookie"
      Node.monitor(node, true)
      for topic <- @topics, do: :ok = call(node, :subscribe, [topic])
    end

    # For each Blender: the other one, the values to send to it, the batch that it has not answered, the counts.
    state =
      for {node, other} <- [{first, second}, {second, first}], into: %{} do
        {node, %{other: other, queue: %{}, request: nil, batch: %{}, counts: @counts}}
      end

    state = begin_equal(state, first, second)
    program = self()
    spawn_link(fn -> read_lines(program) end)
    IO.puts("#{first} and #{second} are in sync")
    loop(state)
  end

  defp begin_equal(state, first, second) do
    objects = MapSet.new(call(second, :list_objects, []))
    call(second, :current_values, [["transforms", "poses"]])
    values = call(first, :current_values, [["transforms", "poses"]])

    Enum.reduce(values, state, fn {topic, changed}, state ->
      changed = Map.filter(changed, fn {name, _value} -> name in objects end)
      queue(state, second, keys(topic, changed))
    end)
  end

  defp loop(state) do
    receive do
      {:beam_bpy_event, node, topic, payload} ->
        state |> event(node, topic, payload) |> loop()

      # This program has read too slowly. The present values replace the missed events.
      {:beam_bpy_events_missed, node, topic, _count} when topic in ["transforms", "poses"] ->
        values = call(node, :current_values, [[topic]])
        state |> queue(state[node].other, keys(topic, values[topic])) |> loop()

      {:line, _text} ->
        print_counts(state)
        loop(state)

      :end_of_input ->
        print_counts(state)

      {:nodedown, node} ->
        print_counts(state)
        IO.puts("#{node} is gone")

      message ->
        state |> answer(message) |> loop()
    end
  end

  # Events

  defp event(state, node, _topic, %{"origin" => origin}) when origin == node(), do: count(state, node, :own, 1)

  defp event(state, node, "objects", changed) do
    state |> count(node, :events, 1) |> change_objects(node, state[node].other, changed)
  end

  defp event(state, node, topic, %{"objects" => objects}) do
    {replaced, newest} = Enum.split_with(keys(topic, objects), fn {key, _value} -> on_its_way?(state[node], key) end)

    state
    |> count(node, :events, 1)
    |> count(node, :dropped, length(replaced))
    |> queue(state[node].other, Map.new(newest))
  end

  # True if this Blender gets, or has got, another value after the value of the event.
  defp on_its_way?(blender, key), do: is_map_key(blender.queue, key) or is_map_key(blender.batch, key)

  # A pose has a value for each bone, because the users can pose different bones of an armature.
  defp keys("transforms", objects), do: for({name, value} <- objects, into: %{}, do: {{:transform, name}, value})

  defp keys("poses", objects) do
    for {name, pose} <- objects, {bone, value} <- pose, into: %{}, do: {{:bone, name, bone}, value}
  end

  # Values on their way to a Blender

  defp queue(state, to, values) do
    state |> update_in([to, :queue], &Map.merge(&1, values)) |> send_batch(to)
  end

  defp send_batch(state, to) do
    case state[to] do
      %{request: nil, queue: queue, other: from} when queue != %{} ->
        request = :erpc.send_request(to, Scene, :call_batch, [calls(queue)])

        state
        |> update_in([to], &%{&1 | queue: %{}, batch: queue, request: request})
        |> count(from, :sent, map_size(queue))

      _nothing_to_send ->
        state
    end
  end

  defp answer(state, message) do
    Enum.find_value(state, state, fn {node, blender} ->
      with request when request != nil <- blender.request,
           {:response, results} <- :erpc.check_response(message, request) do
        state
        |> update_in([node], &%{&1 | batch: %{}, request: nil})
        |> count(blender.other, :failed, Enum.count(results, &(elem(&1, 0) == :error)))
        |> send_batch(node)
      else
        _not_its_answer -> nil
      end
    end)
  end

  defp calls(values) do
    transforms =
      for {{:transform, name}, value} <- values,
          call <- [
            {"set_property", [path(name, "rotation_mode"), value["rotation_mode"]]},
            {"set_transform", [name, Map.take(value, ["location", "rotation", "scale"])]}
          ],
          do: call

    poses = for {{:bone, name, bone}, value} <- values, do: {"set_pose", [name, %{bone => value}]}
    transforms ++ poses
  end

  # Objects that come and go

  defp change_objects(state, from, to, changed) do
    renamed = for {old, new} <- changed["renamed"], do: {:set_property, [path(old, "name"), new]}
    deleted = for name <- changed["deleted"], do: {:delete_object, [name]}
    results = for {handler, arguments} <- renamed ++ deleted, do: attempt(fn -> call(to, handler, arguments) end)
    copied = for name <- changed["new"], do: attempt(fn -> copy_mesh(from, to, name) end)
    gone = changed["deleted"] ++ Map.keys(changed["renamed"])

    state
    |> update_in([to, :queue], &Map.reject(&1, fn {key, _value} -> elem(key, 1) in gone end))
    |> count(from, :sent, length(results) + length(copied))
    |> count(from, :failed, Enum.count(results ++ copied, &(&1 == :failed)))
  end

  defp copy_mesh(from, to, name), do: call(to, :upload_mesh, [name, call(from, :download_mesh, [name])])

  # An object can be no mesh, or another user has deleted it.
  defp attempt(function) do
    function.()
    :ok
  rescue
    ErlangError -> :failed
  end

  defp path(name, property) do
    escaped = name |> String.replace("\\", "\\\\") |> String.replace("\"", "\\\"")
    ~s(objects["#{escaped}"].#{property})
  end

  defp call(node, handler, arguments), do: :erpc.call(node, Scene, handler, arguments)

  # Counts

  defp count(state, node, what, number), do: update_in(state, [node, :counts, what], &(&1 + number))

  defp print_counts(state) do
    for {node, %{counts: counts}} <- state do
      IO.puts("#{node} " <> Enum.map_join(Map.keys(@counts), " ", &"#{&1}=#{counts[&1]}"))
    end
  end

  defp read_lines(program) do
    case IO.gets("") do
      text when is_binary(text) ->
        send(program, {:line, text})
        read_lines(program)

      _end ->
        send(program, :end_of_input)
    end
  end
end

case System.argv() do
  [first, second] -> SyncBlenders.run(String.to_atom(first), String.to_atom(second))
  _ -> raise "usage: elixir examples/sync_blenders.exs NODE NODE"
end
