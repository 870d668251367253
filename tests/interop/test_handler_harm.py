"""Handlers that do harm in a plain program: none costs more than its own call.

tests/blender/harmful_handlers.py has the table of cases. tests/blender/outside and tests/gui run them in Blender, with
further cases that use bpy.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from beam import COOKIE, REPOSITORY, Erl, unique

from beam_bpy import Atom
from tests.blender.harmful_handlers import ANY, CASES, QUICK, expected, own_faults

HANDLERS = [*CASES, *(f"{name}_inline" for name in QUICK), *(f"{name}_long" for name in QUICK)]


class Program(NamedTuple):
    """A program whose handlers do harm, and a node that calls it.

    Attributes:
        process: the program.
        erl: the node.
        log: the file with all that the program has logged.
    """

    process: "subprocess.Popen[str]"
    erl: Erl
    log: Path

    def outcome(self, handler: str) -> str:
        """The answer of a handler, as the table has it."""
        answer: str = self.erl.eval("harm:outcome(N, Name, 20000)", Name=Atom(handler))
        return answer


@pytest.fixture(scope="module", params=["start", "serve_forever"])
def program(
    request: pytest.FixtureRequest,
    epmd_port: int,
    ebin: Path,
    child_environment: Callable[..., dict[str, str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Program]:
    """The program: its handlers run on the server's own thread, or on the main thread inside `serve_forever`."""
    log = tmp_path_factory.mktemp(request.param) / "log"
    own = {"BPY_BEAM_NODE": unique("harm"), "BPY_BEAM_COOKIE": COOKIE}
    command = [sys.executable, REPOSITORY / "tests" / "blender" / "harmful_program.py", request.param]
    with log.open("w") as file:
        process = subprocess.Popen(
            command,
            env=child_environment(**own),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
        )
    assert process.stdout is not None
    node = process.stdout.readline().strip()
    assert node, log.read_text()
    erl = Erl(ebin, child_environment())
    erl.bindings = {"N": Atom(node)}
    yield Program(process, erl, log)
    erl.stop()
    process.kill()
    process.wait(10)
    process.stdout.close()


@pytest.mark.parametrize("handler", HANDLERS)
def test_a_handler_costs_no_more_than_its_call(program: Program, handler: str) -> None:
    name, _mark, way = handler.partition("_inline" if handler.endswith("_inline") else "_long")
    way = handler.removeprefix(name)
    if name not in CASES:
        name, way = handler, ""
    answer, logged = expected(name, way), len(program.log.read_text())
    outcome = program.outcome(handler)
    assert answer in (ANY, outcome)
    assert outcome not in ("timeout", "noconnection")
    if CASES[name].disconnects:  # The connection ends after the answer, at a time that the caller does not know.
        program.erl.eval("erlang:disconnect_node(N)")
    assert program.outcome("honest") == "value"
    assert program.outcome("honest_inline") == "value"
    assert program.process.poll() is None
    assert own_faults(program.log.read_text()[logged:]) == []
