"""The example that keeps two Blenders in sync, with two real Blenders: random edits, and objects that come and go."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from blender_process import REPOSITORY, Environment
from erlang import erl, program

TIMEOUT = 180

SERVE = ["-m", "beam_bpy.cli", "serve", "--handlers", "scene_handlers", "--until-stdin-closes"]


def test_random_edits_in_both_blenders(tmp_path: Path) -> None:
    """After seconds of edits both are equal, and no edit was sent twice or came back."""
    path = tmp_path / "figures.json"
    command = [sys.executable, str(REPOSITORY / "bench" / "sync_blenders.py"), "--seconds", "6", "--rate", "60"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    subprocess.run([*command, "--json", str(path)], env=environment, check=True, timeout=TIMEOUT)
    figures = json.loads(path.read_text(encoding="utf-8"))

    assert figures["most_different"] < 1e-5
    assert figures["echoes"] == 0
    for blender in figures["blenders"].values():
        assert blender["failed"] == 0
        assert blender["edits"] > 60
        # An edit that changes nothing any more when Blender evaluates it has no event.
        assert blender["sent"] + blender["dropped"] <= blender["events"] <= blender["edits"]
        # Each value that arrives is one change, whose event comes back once and is not sent again.
        assert blender["own"] > 0


class Pair:
    """Two Blenders and the example.

    Args:
        nodes: their names.
        environment: for nodes that call them.
        example: the running example.
    """

    def __init__(self, nodes: list[str], environment: Environment, example: "subprocess.Popen[str]") -> None:
        self.nodes = nodes
        self.example = example
        self._environment = environment

    def call(self, node: int, function: str, arguments: str) -> Any:
        """Call a handler of one of the Blenders."""
        return erl(f"erpc:call('{self.nodes[node]}', scene, {function}, {arguments}, 60000)", self._environment)

    def wait(self, function: str, arguments: str, condition: str) -> None:
        """Wait until the value of a call of each Blender fulfils a condition in Erlang on `Value`."""
        nodes = ", ".join(f"'{node}'" for node in self.nodes)
        code = f"""
            Wait = fun Again(Node, Left) when Left > 0 ->
                Found = try
                    Value = erpc:call(Node, scene, {function}, {arguments}, 60000),
                    {condition}
                catch error:_ -> false end,
                Found orelse begin timer:sleep(50), Again(Node, Left - 1) end
            end,
            [Wait(Node, 400) || Node <- [{nodes}]]
        """
        assert erl(code, self._environment) == [True, True]


@pytest.fixture
def pair(folder: Path, environment: Environment) -> Iterator[Pair]:
    """Two Blenders in sync."""
    own = {**environment, "HOME": str(folder)}
    own.pop("BPY_BEAM_NODE", None)
    started: list[subprocess.Popen[str]] = []
    nodes = []
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    try:
        for name in ("left", "right"):
            command = [sys.executable, *SERVE, "--node", f"{name}_{folder.name[-8:]}@127.0.0.1"]
            packages = {"PYTHONPATH": str(REPOSITORY), "BLENDER_USER_RESOURCES": str(folder / name)}
            started.append(subprocess.Popen(command, env={**own, **packages}, **pipes))
            nodes.append(_line(started[-1], " is ready").partition(":")[0])
        script = str(REPOSITORY / "examples" / "sync_blenders.exs")
        started.append(subprocess.Popen([program("elixir"), script, *nodes], env=own, **pipes))
        _line(started[-1], " are in sync")
        yield Pair(nodes, own, started[-1])
        started[-1].communicate(timeout=30)
        assert started[-1].returncode == 0
    finally:
        for process in started:
            process.kill()
            process.communicate(timeout=30)


def _line(process: "subprocess.Popen[str]", end: str) -> str:
    assert process.stdout is not None
    found = next((line for line in process.stdout if line.endswith(f"{end}\n")), None)
    assert found is not None, f"it ended before it said '{end}'"
    return found


def test_changes_of_other_programs_and_objects_that_come_and_go(pair: Pair) -> None:
    names = 'lists:member(<<"Crate">>, Value)'
    assert pair.call(0, "create_cube", '[<<"Crate">>, #{location => [1, 2, 3]}]') == "Crate"
    pair.wait("describe_object", '[<<"Crate">>]', 'maps:get(<<"location">>, Value) =:= [1.0, 2.0, 3.0]')
    assert pair.call(1, "describe_object", '[<<"Crate">>]')["dimensions"] == [2.0] * 3

    pair.call(1, "set_transform", '[<<"Crate">>, #{rotation => [0.0, 0.0, 1.5]}]')
    pair.wait("describe_object", '[<<"Crate">>]', 'maps:get(<<"rotation">>, Value) =:= [0.0, 0.0, 1.5]')

    pair.call(0, "set_property", '[<<"objects[\\"Crate\\"].rotation_mode">>, <<"QUATERNION">>]')
    pair.wait("describe_object", '[<<"Crate">>]', 'maps:get(<<"rotation_mode">>, Value) =:= <<"QUATERNION">>')

    pair.call(1, "set_property", '[<<"objects[\\"Crate\\"].name">>, <<"A \\"box\\"">>]')
    pair.wait("list_objects", "[]", f'lists:member(<<"A \\"box\\"">>, Value) andalso not {names}')

    pair.call(0, "delete_object", '[<<"A \\"box\\"">>]')
    pair.wait("list_objects", "[]", 'not lists:member(<<"A \\"box\\"">>, Value)')
