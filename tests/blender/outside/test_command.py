"""`blender --command beam_bpy`: its exit codes, and how it ends by a signal."""

import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from blender_process import Environment, seen
from erlang import erl

Command = Callable[..., list[str]]


def test_the_command_explains_itself(own_command: Command, environment: Environment, folder: Path) -> None:
    result = subprocess.run(
        own_command("serve", "--help"), env=environment, cwd=folder, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
    assert "--handlers" in result.stdout
    assert "BPY_BEAM_COOKIE" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["serve", "--port", "x"], 2, "invalid int value"),
        (["nonsense"], 2, "invalid choice"),
        (["serve", "--port", "99999"], 1, "the port 99999 cannot be used"),
        (["serve", "--host", "0.0.0.0"], 1, "allow online access"),
        (["serve", "--handlers", "no_such_module"], 2, "no_such_module"),
        (["serve", "--handlers", "erlang"], 2, "no function register(server)"),
        (["serve", "--handlers", "./missing.py"], 2, "FileNotFoundError"),
        (["serve", "--handlers", "./syntax.py"], 2, "syntax.py, line 2"),
        (["serve", "--handlers", "./raises.py"], 2, "raises.py, line 2: no licence"),
        (["serve", "--until-stdin-closes"], 1, "standard input"),
        (["serve", "--kill-after", "-1"], 2, "--kill-after"),
    ],
)
def test_the_command_refuses(
    arguments: list[str], code: int, said: str, own_command: Command, environment: Environment, folder: Path
) -> None:
    (folder / "syntax.py").write_text("def register(server):\n    x = = 1\n")
    (folder / "raises.py").write_text("def register(server):\n    raise RuntimeError('no licence')\n")
    arguments = [seen(folder / word) if word.startswith("./") else word for word in arguments]

    result = subprocess.run(
        own_command(*arguments),
        env=environment,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == code, result.stderr
    # Other programs read the last line of Beam-BPy; Blender may print its own after it.
    last = [line for line in result.stderr.splitlines() if line.startswith(("beam-bpy: ", "blender "))][-1]
    assert said in last


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_the_command_serves_until_a_signal(
    ending: int, own_command: Command, environment: Environment, folder: Path
) -> None:
    handlers = folder / "my_handlers.py"
    handlers.write_text(
        "import bpy\n\ndef register(server):\n    server.expose(lambda: bpy.context.scene.name, name='scene_name')\n"
    )
    command = own_command("serve", "--handlers", seen(handlers))
    with subprocess.Popen(command, env=environment, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        watchdog = threading.Timer(60, process.kill)
        watchdog.start()
        ready = next((line for line in process.stdout if line.endswith(" is ready\n")), None)
        assert ready is not None, "it was never ready"
        node = ready.partition(":")[0]
        assert erl(f"erpc:call('{node}', 'Elixir.Blender', scene_name, [])", environment) == "Scene"
        process.send_signal(ending)
        process.communicate(timeout=30)
        watchdog.cancel()
    assert process.returncode == 0
