"""The README's examples: its handlers run in a server here, its Elixir code on a real BEAM."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from beam import COOKIE, REPOSITORY, beam_program, seen, unique

from beam_bpy import BeamServer

README = (REPOSITORY / "README.md").read_text()
FINISHED = "the script came to its end"


def blocks(language: str) -> list[str]:
    """The examples in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_the_readme(
    start_server: Callable[..., BeamServer], beam_folder: Path, child_environment: Callable[..., dict[str, str]]
) -> None:
    server = start_server(node_name="beam_bpy")
    called: list[tuple[Any, ...]] = []
    server.expose(lambda *args: called.append(args), name="move")
    server.expose(lambda name: name, name="create_cube")
    (long_handler,) = (block for block in blocks("python") if "yield" in block)
    exec(long_handler, {"server": server})
    assert server.start(), server.last_error

    # The last one needs the Elixir library and Blender: elixir/test/guides/readme_test.exs runs it.
    first, calls, more, _pool = blocks("elixir")
    script = beam_folder / f"{unique('readme')}.exs"
    script.write_text(f'"Crate" = {first}\n{calls}\n{more}\nIO.puts("{FINISHED}")\n')
    command = [*beam_program("elixir"), "--name", f"{unique('readme')}@127.0.0.1", "--cookie", COOKIE, seen(script)]
    done = subprocess.run(command, env=child_environment(), capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith(f"{FINISHED}\n"), done.stdout
    # Six ways to call it, and once in a batch.
    assert called == [("Cube", 1.0, 2.0, 3.0)] * 6 + [("Cube", 0.0, 0.0, 0.0)]
