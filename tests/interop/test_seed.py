"""The Python server and the Elixir client of the document that the project grew from, run as they stand there.

tests/interop/seed holds its two code blocks, character by character: "Python Server Example" and "Elixir Client
Example". They use the default node name, so they get an epmd of their own: the one that the server brings along.
"""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from beam import beam_program, python, seen
from ports import free_port

SEED = Path(__file__).parent / "seed"


@pytest.fixture
def environment(epmd_port: int, child_environment: Callable[..., dict[str, str]]) -> dict[str, str]:
    return child_environment(ERL_EPMD_PORT=str(free_port()))


@pytest.fixture(scope="module")
def client_script(beam_folder: Path) -> str:
    return seen(Path(shutil.copy(SEED / "elixir_client.exs", beam_folder)))


def test_the_elixir_client_calls_the_python_server(environment: dict[str, str], client_script: str) -> None:
    # It ends with another exit code than 0 if a variable of the script has another value.
    check = """
        {_value, bound} = Code.eval_file(hd(System.argv()))
        "pong" = bound[:result]
        true = bound[:response] == %{"status" => "processed", "data" => ["arg1", "arg2"]}
    """
    with python(SEED / "python_server.py", environment) as output:
        started = output.wait_for("Server started at ")
        assert started.startswith("Server started at beam_bpy@127.0.0.1:")
        command = [*beam_program("elixir"), "-e", check, "--", client_script]
        client = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        assert client.returncode == 0, client.stdout + client.stderr
        assert "Traceback" not in output.text()


def test_the_elixir_client_runs_as_a_script(environment: dict[str, str], client_script: str) -> None:
    with python(SEED / "python_server.py", environment) as output:
        output.wait_for("Server started at ")
        command = [*beam_program("elixir"), client_script]
        client = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        assert client.returncode == 0, client.stderr


def test_the_python_server_says_so_when_it_cannot_start(environment: dict[str, str]) -> None:
    with python(SEED / "python_server.py", environment) as first:
        first.wait_for("Server started at ")
        with python(SEED / "python_server.py", environment) as second:
            second.wait_for("Failed to start server")
            assert "taken" in second.text()
