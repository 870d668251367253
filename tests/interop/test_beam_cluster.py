"""The life of a cluster: an Elixir node and three Python nodes, each in a process of its own."""

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from beam import Output, beam_program, python, unique

SCRIPT = Path(__file__).with_name("cluster_node.py")


class Nodes:
    """Three Python nodes that can be killed and started again."""

    def __init__(self, environment: Callable[..., dict[str, str]]) -> None:
        self.cookie = unique("cookie")
        self.names = [f"{unique('cluster')}@127.0.0.1" for _ in range(3)]
        self._environment = environment
        self._running: dict[str, Output] = {}
        self._stack = contextlib.ExitStack()

    def start(self, name: str) -> None:
        environment = self._environment(BPY_BEAM_NODE=name, BPY_BEAM_COOKIE=self.cookie)
        output = self._stack.enter_context(python(SCRIPT, environment))
        output.wait_for(f"{name} is ready")
        self._running[name] = output

    def do(self, line: str) -> None:
        """The value that the script asks for."""
        match line.split():
            case ["please", "kill", name]:
                self._running[name].kill()
            case ["please", "start", name]:
                self.start(name)

    def stop(self) -> None:
        self._stack.close()


@pytest.fixture
def nodes(epmd_port: int, child_environment: Callable[..., dict[str, str]]) -> Iterator[Nodes]:
    nodes = Nodes(child_environment)
    for name in nodes.names:
        nodes.start(name)
    yield nodes
    nodes.stop()


def test_a_cluster_of_three_python_nodes(
    nodes: Nodes, scripts: str, child_environment: Callable[..., dict[str, str]]
) -> None:
    environment = child_environment(
        BPY_BEAM_NODE=nodes.names[0], BPY_BEAM_COOKIE=nodes.cookie, BPY_BEAM_CLUSTER=" ".join(nodes.names)
    )
    command = [*beam_program("elixir"), f"{scripts}/tests/elixir/test_cluster.exs"]
    process = subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
    )
    output = Output(process, nodes.do)
    try:
        assert process.wait(120) == 0, output.text()
    finally:
        process.kill()
        process.wait()
        output.join()
