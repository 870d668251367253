"""Which thread runs a handler.

A handler with `inline=True` runs on the network thread, where its call arrives. All other calls go through a
`CallQueue`, which one thread drains: Blender's main thread, the thread inside `BeamServer.serve_forever`, or a `Worker`
of the server. So two queued handlers never run at the same time.

- `call_queue`: the queue; `worker`: the thread of a server that has no other
- `host_queue`: the queue of a program with a main thread of its own, such as Blender
"""
