"""The example "With Blender" of the document that the project grew from, run as it stands, and called from Elixir."""

import runpy
import shutil
import subprocess
from pathlib import Path

import erlang
import rig

CLIENT = """
[node, cookie] = System.argv()
{:ok, _} = Node.start(:"seed_#{System.pid()}@127.0.0.1")
Node.set_cookie(String.to_atom(cookie))
node = String.to_atom(node)
true = Node.connect(node)
%{"status" => "created"} = :rpc.call(node, BeamServer, :handle_rpc, ["create_object", []])
["Camera", "Cube", "Cube.001", "Light"] = :rpc.call(node, MyModule, :call_handler, ["list_objects", []])
IO.puts("called")
"""

rig.install("EXTENSION_ZIP")
server = runpy.run_path(str(Path(__file__).with_name("seed_with_blender.txt")))["server"]
assert server.running
elixir = shutil.which("elixir")
assert elixir, "elixir is not installed: 'apt-get install elixir' brings it"
process = subprocess.Popen([elixir, "-e", CLIENT, "--", server.node_name, erlang.COOKIE], stdin=subprocess.DEVNULL)
rig.drain_until_end(process)
assert process.returncode == 0
server.stop()
print("done")
