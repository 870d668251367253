"""The Livebook whose sliders move bones, with the pictures of a window."""

import subprocess
from pathlib import Path

import pytest
from conftest import install, started
from window import REPOSITORY, System, Window

from tests.blender.code_blocks import code_blocks
from tests.blender.erlang import COOKIE, program

PAGE = REPOSITORY / "elixir" / "guides" / "live_in_livebook.livemd"
KINO = REPOSITORY / "elixir" / "test" / "support" / "kino.ex"

BEFORE = """
Mix.install([{{:beam_bpy, path: ~S({library})}}])
Code.require_file(~S({kino}))
{{:ok, supervisor}} = DynamicSupervisor.start_link(strategy: :one_for_one)
Process.put(Kino, supervisor)
"""

AFTER = """
listeners =
  for _bone <- bones do
    receive do
      {:kino, {:listens, _input, _pid} = listener} -> listener
    after
      0 -> raise "a bone without a slider"
    end
  end

picture = fn ->
  receive do
    {:kino, {:frame, {:image, <<0xFF, 0xD8, _rest::binary>> = jpeg}}} -> jpeg
  after
    60_000 -> raise "no picture"
  end
end

newest = fn newest, old ->
  receive do
    {:kino, {:frame, {:image, jpeg}}} -> newest.(newest, jpeg)
  after
    2_000 -> old
  end
end

# A view that does not change is drawn again, too.
changed = fn changed, old ->
  case picture.() do
    ^old -> changed.(changed, old)
    new -> new
  end
end

turned = fn turned, tries ->
  for {_bone, %{"rotation" => [w, _x, _y, _z]}} <- BeamBpy.call!(blender, :get_pose, [rig]),
      abs(w - :math.cos(25 * :math.pi() / 180)) > 1.0e-5 do
    w
  end
  |> case do
    [] -> :ok
    _some when tries > 0 -> Process.sleep(20) && turned.(turned, tries - 1)
  end
end

# The wave has ended.
before = newest.(newest, picture.())
for listener <- listeners, degrees <- 1..50, do: Kino.Input.change(listener, degrees)
turned.(turned, 500)
changed.(changed, before)
"""


def test_sliders_move_bones_of_a_blender_with_a_window(
    system: System, folder: Path, environment: dict[str, str], request: pytest.FixtureRequest
) -> None:
    install(system, folder, environment)
    install(system, folder, environment, "scene_handlers")
    node = f"{environment['BPY_BEAM_NODE']}@127.0.0.1"
    _install, *cells = code_blocks(PAGE.read_text(encoding="utf-8"), "elixir")
    settings = cells[0].replace("window = nil", f'window = :"{node}"').replace("beam_bpy_cookie", COOKIE)
    script = folder / "notebook.exs"
    before = BEFORE.format(library=REPOSITORY / "elixir", kino=KINO)
    script.write_text("\n".join((before, settings, *cells[1:], AFTER)), encoding="utf-8")
    command = [program("elixir"), "--erl", "-start_epmd false", "--name", f"live_{node}", "--cookie", COOKIE, script]
    # The notebook runs on this system.
    own = {**environment, "HOME": str(folder)}
    with started(Window(system, folder, environment, "screenshots.py"), request.node) as window:
        window.wait(lambda report: report["state"] == "running", "the node runs")
        done = subprocess.run(
            command, env=own, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False
        )
    assert done.returncode == 0, done.stdout + done.stderr
