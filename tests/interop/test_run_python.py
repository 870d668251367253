"""`beam-bpy serve --handlers python_handlers` in a Python program without bpy, called by a real node."""

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from beam import COOKIE, REPOSITORY, TIMEOUT, Erl, Output, unique

Run = Callable[..., Any]


@contextlib.contextmanager
def served(environment: dict[str, str], folder: Path, *options: str) -> Iterator[tuple[str, Output]]:
    """A node without bpy that serves Python Handlers until the block ends: its name, and what it has printed."""
    (folder / "bpy.py").write_text("raise ModuleNotFoundError('there is no bpy')\n")
    node = f"{unique('python')}@127.0.0.1"
    command = [sys.executable, "-m", "beam_bpy.cli", "serve", "--node", node, "--handlers", "python_handlers"]
    process = subprocess.Popen(
        [*command, "--until-stdin-closes", *options],
        env={**environment, "PYTHONPATH": f"{folder}:{REPOSITORY}", "BPY_BEAM_COOKIE": COOKIE},
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    output = Output(process)
    try:
        output.wait_for(" is ready")
        yield node, output
    finally:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            code = process.wait(TIMEOUT)
        finally:
            process.kill()
            process.wait(TIMEOUT)
            output.join()
            process.stdout.close()
    assert code == 0, output.text()


@pytest.fixture(scope="module")
def node(
    child_environment: Callable[..., dict[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Output]]:
    """A node that allows Python."""
    with served(child_environment(), tmp_path_factory.mktemp("allowed"), "--allow-python") as found:
        yield found


CALL = "erpc:call(Node, 'Elixir.Blender', run_python, Arguments, 30000)"


def answer(erl: Erl, node: str, *arguments: Any) -> Any:
    return erl.eval(CALL, Node=_atom(node), Arguments=list(arguments))


def reason(erl: Erl, node: str, *arguments: Any) -> Any:
    """The reason of a call that fails."""
    code = f"try {CALL} of Value -> {{value, Value}} catch error:{{exception, Why, _}} -> Why end"
    return erl.eval(code, Node=_atom(node), Arguments=list(arguments))


def _atom(text: str) -> Any:
    from vendor_term_codec import Atom

    return Atom(text)


def test_result_and_output(erl: Erl, node: tuple[str, Output]) -> None:
    code = "import sys\nprint('one')\nsys.stderr.write('two')\n{'sum': sum(numbers), 'name': name}"
    found = answer(erl, node[0], code, {_atom("numbers"): [1, 2, 3], "name": "Crate"})

    assert found == {"result": {"sum": 6, "name": "Crate"}, "output": "one\ntwo"}
    assert "one" not in node[1].text()


def test_without_bpy_there_is_none(erl: Erl, node: tuple[str, Output]) -> None:
    assert reason(erl, node[0], "bpy")[1]["type"] == "NameError"


def test_warnings_are_output(erl: Erl, node: tuple[str, Output]) -> None:
    code = "import warnings\nwarnings.warn('careful')"
    output = answer(erl, node[0], code)["output"]

    assert "careful" in output


@pytest.mark.parametrize(
    ("code", "type_"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("raise SystemExit(1)", "SystemExit"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGWINCH)\n1 +", "SyntaxError"),
        ("object()", "EncodeError"),
        ("input()", "EOFError"),
        ("quit()", "SystemExit"),
        ("def f():\n    f()\nf()", "RecursionError"),
        ("breakpoint()", "BdbQuit"),
    ],
)
def test_an_exception_is_the_error_of_its_call(erl: Erl, node: tuple[str, Output], code: str, type_: str) -> None:
    word, details = reason(erl, node[0], f"print('before')\n{code}")

    assert (word, details["type"]) == ("python_error", type_)
    assert details["output"].startswith("" if type_ == "SyntaxError" else "before\n")
    assert COOKIE not in repr(details)
    assert answer(erl, node[0], "1 + 1")["result"] == 2


def test_a_character_list_is_refused_with_what_to_write(erl: Erl, node: tuple[str, Output]) -> None:
    details = reason(erl, node[0], [49, 43, 49])[1]

    assert details["type"] == "ValueError"
    assert "in Erlang <<" in details["message"]


def test_binaries_that_are_no_text_are_bytes(erl: Erl, node: tuple[str, Output]) -> None:
    found = answer(erl, node[0], "[type(a).__name__, type(b).__name__, a]", {"a": b"\xff\0", "b": "text"})
    assert found["result"] == ["bytes", "str", b"\xff\0"]


def test_the_start_is_one_warning(node: tuple[str, Output]) -> None:
    lines = [line for line in node[1].text().splitlines() if "Python is allowed" in line]

    assert len(lines) == 1
    assert "WARNING" in lines[0]
    assert "every node that knows the cookie" in lines[0]


@pytest.mark.parametrize("options", [[], ["--allow-python=no"], ["--allow", "*"]], ids=["none", "no", "allow"])
def test_without_the_option_no_code_runs(
    erl: Erl, child_environment: Callable[..., dict[str, str]], tmp_path: Path, options: list[str]
) -> None:
    written = tmp_path / "written"
    with served(child_environment(), tmp_path, *options) as (name, output):
        word, sentence = reason(erl, name, f"open({str(written)!r}, 'w')")

        assert word == "not_allowed"
        assert "--allow-python" in sentence
        assert "Python is allowed" not in output.text()
    assert not written.exists()
