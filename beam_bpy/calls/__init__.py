"""Calls from the BEAM to handlers. The way of one call, by the names in the code:

1. `transport.stream.Stream` reads bytes; `distribution.connection.Connection` cuts them into frames.
2. `protocol.fast_path` or `protocol.control_reader` turns a frame into an event: an `ErpcCall`, a `GenCall`, a
   `SpawnRequest`, a message. The arguments stay encoded.
3. `distribution.node.Node.handle` gives the event to `routing.CallRouter` or to a registered process (`gen_servers`).
   Both create a `Reply`, which knows how this caller wants the answer (`replies`).
4. `routing.CallRouter.call` finds the handler (`handlers.Registry`), decodes the arguments as the handler wants them
   (`arguments`), and creates a `call.Call`.
5. An inline call runs at once. Any other waits in a `dispatch.call_queue.CallQueue` for the thread that drains it. In
   Blender that is the main thread, and the add-on prepares the context first.
6. `call.Call.run` runs the handler, encodes its result (`erlang_variant`) and gives it to the `Reply`.
7. The `Reply` sends: an erpc call's process ends with the answer as its exit reason (`distribution.node`), a gen_server
   call gets a message. `Connection` adds the header, `Stream` writes the bytes.

The other modules: `batch`, several calls in one message; `subscriptions`, events for BEAM processes; `statistics`,
counters for the user interface.
"""
