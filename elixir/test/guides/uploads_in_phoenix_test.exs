defmodule BeamBpy.Guides.UploadsInPhoenixTest do
  # The pool starts `python3`, and the names on the page are not unique.
  use BeamBpy.Case, async: false

  import BeamBpy.Workers, only: [os_pids: 1, wait_until_idle: 1]

  alias BeamBpy.{Guide, Image, Models, Pool}

  @moduletag :bpy
  @moduletag timeout: 600_000

  setup %{folder: folder} do
    path = System.get_env("PATH")
    System.put_env("PATH", Guide.python_folder(folder) <> ":" <> path)
    Application.put_env(:my_app, :uploads, Path.join(folder, "uploads"))

    on_exit(fn ->
      System.put_env("PATH", path)
      Application.delete_env(:my_app, :uploads)
      for name <- [Models, ModelJob], do: forget(Module.concat(MyApp, name))
      for name <- [ModelsLive, ModelController], do: forget(Module.concat(MyAppWeb, name))
    end)

    start_supervised!(%{id: :pubsub, start: {:pg, :start_link, [Phoenix.PubSub]}})
    :ok
  end

  test "uploads become thumbnails and GLB files, and a broken one a sentence", %{folder: folder} do
    [children, models, to_storage, build, job, live_view, controller, strict, shared] =
      Guide.blocks("uploads_in_phoenix.md", "elixir")

    # The pool
    {[child], _binding} = Code.eval_string(children)
    start_supervised!(child)
    for code <- [models, job, live_view, controller], do: Code.eval_string(code)

    # The LiveView takes the uploads.
    plate = Models.plates(["Plate"])
    good = written(folder, "upload-1", plate)
    bad = written(folder, "upload-2", "This is not a model.")
    socket = %{connected: true, assigns: %{}, entries: [{good, "plate.obj"}, {bad, "bad.glb"}]}
    live = MyAppWeb.ModelsLive
    {:ok, socket} = apply(live, :mount, [%{}, %{}, socket])
    {:noreply, socket} = apply(live, :handle_event, ["validate", %{}, socket])
    {:noreply, socket} = apply(live, :handle_event, ["save", %{}, socket])
    refute File.exists?(good) or File.exists?(bad)

    states = fn socket -> Map.new(socket.assigns.models, fn {_id, state} -> state end) end
    assert states.(socket) == %{"plate.obj" => :waiting, "bad.glb" => :waiting}

    # The jobs
    assert_received {:job, good_job}
    assert_received {:job, bad_job}
    assert perform(good_job) == :ok
    assert {:cancel, sentence} = perform(bad_job)
    assert sentence =~ "format"

    # The LiveView hears of them, and of the models of others.
    socket =
      Enum.reduce(1..2, socket, fn _, socket ->
        assert_received {:model, _id, _outcome} = message
        {:noreply, socket} = apply(live, :handle_info, [message, socket])
        socket
      end)

    assert {:noreply, ^socket} = apply(live, :handle_info, [{:model, "another", :ready}, socket])
    assert states.(socket) == %{"plate.obj" => :ready, "bad.glb" => {:failed, sentence}}
    assert {html, _assigns} = apply(live, :render, [socket.assigns])
    assert html =~ "live_file_input"

    # The controller
    %Oban.Job{args: %{"id" => id}} = good_job

    show = fn file ->
      apply(MyAppWeb.ModelController, :show, [%{}, %{"id" => id, "file" => file}])
    end

    assert %{status: 200, type: "image/png", body: png} = show.("model.png")
    assert {:ok, %Image{width: 512, height: 512}} = Image.from_png(png)
    assert %{type: "model/gltf-binary", body: <<"glTF", _rest::binary>>} = show.("model.glb")

    # A Blender that is killed: the job runs once more, and then never again.
    assert {:error, %{kind: :crashed}} = while_blender_is_killed(fn -> perform(good_job) end)

    assert {:cancel, _sentence} =
             while_blender_is_killed(fn -> perform(%{good_job | attempt: 2}) end)

    assert perform(%{good_job | attempt: 2}) == :ok

    # The results as binaries
    upload = written(folder, "upload-3", plate)
    {to_storage, _binding} = Code.eval_string(to_storage)
    assert {"model.png", <<0x89, "PNG", _::binary>>} = to_storage.(upload, &{&1, &2})
    {build, _binding} = Code.eval_string(build)
    assert {:ok, [scene, _png, glb, _counts, small]} = build.(upload)
    assert %{"counts" => %{"vertices" => 9}, "bounds" => %{"least" => [_, _, _]}} = scene
    assert byte_size(small) < byte_size(glb)

    # Without a pool
    stop_supervised!({Pool, MyApp.Blender})
    assert {:snooze, _seconds} = perform(good_job)

    # A new Blender for each file, and a group
    {strict, _binding} = Code.eval_string(strict)
    start_supervised!(strict)

    process = fn ->
      BeamBpy.Assets.thumbnail(MyApp.StrictBlender, upload, width: 16, height: 16)
    end

    wait_until_idle(MyApp.StrictBlender)
    first = os_pids(MyApp.StrictBlender)
    assert {:ok, _png} = process.()
    assert {:ok, _png} = process.()
    wait_until_idle(MyApp.StrictBlender)
    assert os_pids(MyApp.StrictBlender) -- first == os_pids(MyApp.StrictBlender)
    stop_supervised!({Pool, MyApp.StrictBlender})

    {thumbnail, binding} = Code.eval_string(shared)
    start_supervised!(binding[:shared])
    eventually(fn -> match?({:ok, _png}, thumbnail.(upload)) end)
  end

  defp perform(%Oban.Job{worker: worker} = job), do: apply(worker, :perform, [job])

  defp while_blender_is_killed(call) do
    wait_until_idle(MyApp.Blender)
    caller = Task.async(call)
    eventually(fn -> Enum.any?(Pool.info(MyApp.Blender).workers, &(&1.state == :busy)) end)
    for os_pid <- os_pids(MyApp.Blender), do: OsProcess.kill(os_pid)
    Task.await(caller, 120_000)
  end

  defp written(folder, name, content) do
    path = Path.join(folder, name)
    File.write!(path, content)
    path
  end

  defp forget(module) do
    :code.purge(module)
    :code.delete(module)
  end
end
