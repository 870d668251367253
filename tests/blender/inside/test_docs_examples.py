"""Examples of documents that a real Elixir calls while this Blender serves: the founding document, megabytes.md."""

import os
import runpy
import subprocess
from pathlib import Path

import bpy
import in_blender
import pytest
from code_blocks import code_blocks
from erlang import COOKIE, program

from beam_bpy import BeamServer

CALL_SEED = """
[node, cookie] = System.argv()
{:ok, _} = Node.start(:"seed_#{System.pid()}@127.0.0.1")
Node.set_cookie(String.to_atom(cookie))
node = String.to_atom(node)
true = Node.connect(node)
%{"status" => "created"} = :rpc.call(node, BeamServer, :handle_rpc, ["create_object", []])
["Camera", "Cube", "Cube.001", "Light"] = :rpc.call(node, MyModule, :call_handler, ["list_objects", []])
IO.puts("called")
"""


def elixir(*arguments: str) -> str:
    """Run an Elixir program while this Blender serves. It must end with 0. Return its output."""
    process = subprocess.Popen(
        [program("elixir"), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    in_blender.drain_until_end(process)
    output, _ = process.communicate()
    assert process.returncode == 0, output
    return output


def test_the_example_with_blender_of_the_founding_document() -> None:
    server: BeamServer = runpy.run_path(str(Path(__file__).with_name("seed_with_blender.txt")))["server"]
    assert server.running

    assert elixir("-e", CALL_SEED, "--", server.node_name, COOKIE).endswith("called\n")
    server.stop()


@pytest.fixture
def megabytes(scene_handlers: None, monkeypatch: pytest.MonkeyPatch) -> str:
    """The page, whose node has the default name."""
    monkeypatch.setenv("BPY_BEAM_NODE", "beam_bpy")
    return Path(os.environ["DOCS"], "megabytes.md").read_text(encoding="utf-8")


def test_the_page_about_megabytes(server: BeamServer, megabytes: str, tmp_path: Path) -> None:
    (example,) = code_blocks(megabytes, "python")
    exec(example, {})
    bpy.ops.beam_bpy.start_server()
    shown = code_blocks(megabytes, "elixir")
    assert len(shown) == 10
    script = tmp_path / "example.exs"
    script.write_text("\n".join([*shown, 'IO.puts("the last line")']), encoding="utf-8")

    name = f"megabytes_{os.getpid()}@127.0.0.1"
    output = elixir("--erl", "-start_epmd false", "--name", name, "--cookie", COOKIE, str(script))

    assert output.endswith("the last line\n")
    assert {"set_weights", "get_weights"} <= {handler.name for handler in server.handlers if handler.calls == 1}
    assert bpy.data.images["Ramp"].size[:] == (64, 64)
