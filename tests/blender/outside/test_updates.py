"""A newer zip is installed over a running older one; Blender's own operator does that, as for a user."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import newer_version
import pytest
from blender_process import seen

NEW_NAMES = newer_version.NEW_CORE
CHANGED_BEHAVIOUR = {"beam_bpy/errors.py": "CHANGED = True\n"}


@pytest.mark.parametrize(
    ("additions", "names"),
    [
        (NEW_NAMES, ["beam_bpy"]),
        (NEW_NAMES, ["beam_bpy", "scene_handlers", "python_handlers"]),
        (CHANGED_BEHAVIOUR, ["beam_bpy"]),
    ],
    ids=["new names", "all extensions", "only the core"],
)
def test_an_update_keeps_the_settings_and_waits_for_a_restart(
    additions: Mapping[str, str], names: list[str], folder: Path, tmp_path: Path, run_script: Callable[..., None]
) -> None:
    built = newer_version.build(tmp_path / "sources", additions)
    newer = [seen(Path(shutil.copy(*built.glob(f"{name}-*.zip"), folder))) for name in names]
    run_script("update.py", "update", *newer)
    run_script("update.py", "restarted", newer_version.VERSION)
