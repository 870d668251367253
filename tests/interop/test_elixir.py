"""The ExUnit scripts of tests/elixir against examples/basic_server.py, each in a process of its own."""

import re
import subprocess
from collections.abc import Callable, Iterator

import pytest
from beam import REPOSITORY, Output, beam_program, free_port, python, unique

SCRIPTS = ["test_simple.exs", "test_integration.exs", "test_client.exs"]


@pytest.fixture(scope="module")
def environment(epmd_port: int, child_environment: Callable[..., dict[str, str]]) -> dict[str, str]:
    """What server and scripts both run in."""
    return child_environment(BPY_BEAM_NODE=unique("basic"), BPY_BEAM_COOKIE=unique("cookie"))


@pytest.fixture(scope="module")
def example(environment: dict[str, str]) -> Iterator[Output]:
    with python(REPOSITORY / "examples" / "basic_server.py", environment, ends_with=0) as output:
        output.wait_for("is ready")
        yield output


def run_script(path: str, environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    command = [*beam_program("elixir"), path]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=90)


def count_tests(script: str) -> int:
    """How many tests a script of tests/elixir has."""
    source = (REPOSITORY / "tests" / "elixir" / script).read_text()
    count = len(re.findall(r"^ +test \"", source, re.MULTILINE))
    assert count > 0
    return count


def check_closing_line(done: "subprocess.CompletedProcess[str]", script: str) -> None:
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{count_tests(script)} tests, 0 failures\n" in done.stdout


@pytest.mark.parametrize("script", SCRIPTS)
def test_script(example: Output, environment: dict[str, str], scripts: str, script: str) -> None:
    done = run_script(f"{scripts}/{script}", environment)
    check_closing_line(done, script)
    assert "warning:" not in done.stderr
    assert environment["BPY_BEAM_COOKIE"] not in example.text()


def test_script_with_the_default_names(
    epmd_port: int, child_environment: Callable[..., dict[str, str]], scripts: str
) -> None:
    """No variable set and no epmd on the machine, as a reader of the README would run it."""
    environment = child_environment(ERL_EPMD_PORT=str(free_port()))
    with python(REPOSITORY / "examples" / "basic_server.py", environment, ends_with=0) as output:
        assert output.wait_for("is ready").startswith("beam_bpy@127.0.0.1:")
        check_closing_line(run_script(f"{scripts}/test_simple.exs", environment), "test_simple.exs")


def test_script_says_so_when_no_server_runs(
    epmd_port: int, child_environment: Callable[..., dict[str, str]], scripts: str
) -> None:
    environment = child_environment(BPY_BEAM_NODE=unique("nobody"))
    done = run_script(f"{scripts}/test_client.exs", environment)
    assert done.returncode == 1
    assert "does not answer: start it with" in done.stderr
