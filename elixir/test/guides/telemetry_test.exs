defmodule BeamBpy.Guides.TelemetryTest do
  use BeamBpy.Case, async: false

  import ExUnit.CaptureLog

  alias BeamBpy.Guide

  test "the example logs a slow call, and no other", %{folder: folder} do
    # The metrics need a package that the tests do not have.
    [handler, attach, _metrics] = Guide.blocks("telemetry.md", "elixir")
    for code <- [handler, attach], do: Code.eval_string(code)
    on_exit(fn -> :telemetry.detach("my_app-slow-calls") end)

    python = """
    import time

    def register(server):
        server.expose(time.sleep, name="wait")
    """

    handlers = handlers_file(folder, python)

    worker =
      start_supervised!({BeamBpy.Worker, command: {:python, python()}, handlers: [handlers]})

    {:ok, node} = BeamBpy.Worker.node_of(worker)

    assert capture_log(fn -> BeamBpy.call!(node, :wait, [0.2]) end) =~ ~r{wait/1 took \d+ ms: ok}

    # Nothing takes as long as this limit.
    :telemetry.detach("my_app-slow-calls")
    apply(MyApp.SlowCalls, :attach, [600_000])
    refute capture_log(fn -> BeamBpy.call!(node, :wait, [0.0]) end) =~ "took"
  end

  test "the page names events and measurements that exist" do
    documented = Code.fetch_docs(BeamBpy.Telemetry) |> elem(4) |> Map.fetch!("en")

    for event <- ["call", "pool", "worker"], do: assert(documented =~ "[:beam_bpy, :#{event}, ")

    for measurement <- ["duration", "queue_time", "waiting"],
        do: assert(documented =~ "`#{measurement}`")
  end
end
