"""The ExUnit scripts of the project against examples/basic_server.py, each in a process of its own.

A script ends with 0 only if it has tests and all of them have passed: `Support.start_tests` sees to that.
"""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from beam import REPOSITORY, Output, beam_program, python, unique
from ports import free_port

SCRIPTS = ["test_simple.exs", "test_integration.exs", "test_client.exs"]


@pytest.fixture(scope="module")
def environment(epmd_port: int, child_environment: Callable[..., dict[str, str]]) -> dict[str, str]:
    """The environment of the server and of the scripts."""
    return child_environment(BPY_BEAM_NODE=unique("basic"), BPY_BEAM_COOKIE=unique("cookie"))


@pytest.fixture(scope="module")
def example(environment: dict[str, str]) -> Iterator[Output]:
    with python(REPOSITORY / "examples" / "basic_server.py", environment, ends_with=0) as output:
        output.wait_for("is ready")
        yield output


def run_script(path: str, environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    command = [*beam_program("elixir"), path]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=90)


@pytest.mark.parametrize("script", SCRIPTS)
def test_script(example: Output, environment: dict[str, str], scripts: str, script: str) -> None:
    done = run_script(f"{scripts}/{script}", environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert environment["BPY_BEAM_COOKIE"] not in example.text()


def test_script_with_the_default_names(
    epmd_port: int, child_environment: Callable[..., dict[str, str]], scripts: str
) -> None:
    """No variable set and no epmd on the machine, as a reader of the README would run it."""
    environment = child_environment(ERL_EPMD_PORT=str(free_port()))
    with python(REPOSITORY / "examples" / "basic_server.py", environment, ends_with=0) as output:
        assert output.wait_for("is ready").startswith("beam_bpy@127.0.0.1:")
        done = run_script(f"{scripts}/test_simple.exs", environment)
        assert done.returncode == 0, done.stdout + done.stderr


def test_script_says_so_when_no_server_runs(
    epmd_port: int, child_environment: Callable[..., dict[str, str]], scripts: str
) -> None:
    environment = child_environment(BPY_BEAM_NODE=unique("nobody"))
    done = run_script(f"{scripts}/test_client.exs", environment)
    assert done.returncode == 1
    assert "does not answer: start it with" in done.stderr


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ('test "passes", do: assert(true)', 0),
        ('test "fails", do: assert(false)', 2),
        ("", 3),
        ('@tag :skip\ntest "is skipped", do: assert(true)', 3),
    ],
)
def test_a_script_ends_with_0_only_if_all_of_its_tests_have_passed(
    child_environment: Callable[..., dict[str, str]], beam_folder: Path, scripts: str, body: str, code: int
) -> None:
    script = beam_folder / "elixir" / f"{unique('script')}.exs"
    script.write_text(
        f"""
        Code.require_file("tests/elixir/support.exs", __DIR__)
        Support.start_tests()

        defmodule ScriptTest do
          use ExUnit.Case
          {body}
        end
        """
    )
    done = run_script(f"{scripts}/{script.name}", child_environment())
    assert done.returncode == code, done.stdout + done.stderr
