# Connect to beam_bpy CNode
{:ok, _} = Node.start(:"elixir_app@127.0.0.1")
Node.set_cookie(:beam_bpy_cookie)
Node.connect(:"beam_bpy@127.0.0.1")

# Call any registered handler via Erlang RPC
# Handlers are identified by name, args are passed through
result = :rpc.call(:"beam_bpy@127.0.0.1", MyModule, :call_handler, ["ping", []])

# Or use standard Erlang distributed calls
response = :rpc.call(:"beam_bpy@127.0.0.1", BeamServer, :handle_rpc, ["my_operation", ["arg1", "arg2"]])
