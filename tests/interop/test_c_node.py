"""A C node that is built here with erl_interface calls handlers."""

import subprocess
from pathlib import Path

import pytest
from beam import COOKIE, eventually, nodes_of, program, unique

from beam_bpy import BeamServer

SOURCE = Path(__file__).parent / "c" / "call_handler.c"


@pytest.fixture(scope="module")
def c_node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("c") / "call_handler"
    (interface,) = Path("/usr/lib/erlang/lib").glob("erl_interface-*")
    paths = [f"-I{interface}/include", f"-L{interface}/lib"]
    command = [program("cc"), "-pthread", "-Wall", "-Werror", *paths, "-o", str(target), str(SOURCE), "-lei"]
    subprocess.run(command, check=True, timeout=60)
    return target


def call(c_node: Path, server: BeamServer, function: str, number: int, text: str) -> str:
    command = [str(c_node), unique("c_node"), COOKIE, server.node_name, "any_module", function, str(number), text]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().replace(", ", ",")


def test_it_prints_the_answer_of_a_handler(server: BeamServer, c_node: Path) -> None:
    server.expose(lambda number, text: {"sum": [number + 1, 2.5], "text": "".join(map(chr, text))}, name="describe")
    answer = call(c_node, server, "describe", 2**40, "crate")
    assert "[1099511627777,2.5" in answer
    assert answer.startswith("#{")
    assert call(c_node, server, "echo", -7, "text") == '[-7,"text"]'


def test_it_sees_an_unknown_handler_and_an_exception(server: BeamServer, c_node: Path) -> None:
    assert call(c_node, server, "nothing_here", 1, "x").startswith("{badrpc,{'EXIT',{undef,[{any_module,nothing_here,")
    assert call(c_node, server, "crash", 1, "x").startswith("{badrpc,{'EXIT',{{python_error,")


def test_it_comes_and_goes_many_times(server: BeamServer, c_node: Path) -> None:
    before = set(nodes_of(server))
    assert [call(c_node, server, "count", n, "x") for n in range(10)] == ["2"] * 10
    eventually(lambda: set(nodes_of(server)) <= before, "all of them are gone")
