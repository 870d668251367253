"""Runs the tests of inside/ in one Blender, with pytest-blender. usage: run_inside.py [PYTEST OPTIONS]

pytest-blender starts the Blender that `blender_process` names and runs pytest there. Blender may live in another
system and have no pytest, so pytest and pytest-blender are copied to a folder that Blender sees.
"""

import shlex
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # `blender_process` imports a module of tests/.
from blender_process import (
    HERE,
    PROGRAM,
    REPOSITORY,
    ROOT,
    SCRIPT_OPTIONS,
    Environment,
    blender_command,
    blender_environment,
    seen,
    temporary_folder,
    tests_below,
)

PYTHON = REPOSITORY / ".venv-pytest-blender" / "bin" / "python"
"""The Python that pytest-blender is installed in. `make` creates this environment."""

PYTEST_OPTIONS = ["-p", "no:cacheprovider"]
"""The tests run in a temporary copy, so a cache of the last failures would be lost."""


def main(options: list[str]) -> int:
    """Run the tests; returns pytest's exit code, or 1 if Blender ended before pytest did."""
    if not PYTHON.exists():
        print(f"pytest-blender is not installed: 'make {PYTHON.parents[1].name}/ready' installs it", file=sys.stderr)
        return 1
    with temporary_folder() as home:
        report = home / "report.xml"
        command = [
            *(str(PYTHON), "-m", "pytest", str(tests_below(home) / "inside")),
            *("--blender-executable", str(_launcher(home)), f"--junit-xml={seen(report)}", *PYTEST_OPTIONS, *options),
        ]
        code = subprocess.run(command, env=_environment(home), cwd=home, check=False).returncode
        return code or _code_of(report)


def _environment(home: Path) -> Environment:
    environment = blender_environment(home)
    documents = shutil.copytree(REPOSITORY / "docs", home / "docs", ignore=shutil.ignore_patterns("images", "bench"))
    packages = _copied_packages(home)
    environment["DOCS"] = seen(documents)
    # The first is for the pytest outside, so that it starts the copy of pytest-blender; the others are for Blender.
    environment["PYTHONPATH"] = f"{packages}:{seen(packages)}:{environment['PYTHONPATH']}"
    return environment


def _copied_packages(home: Path) -> Path:
    """A copy of pytest, pytest-blender and what they import. All of it is pure Python, so any Blender can import it."""
    ask = [str(PYTHON), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    source = subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip()
    others = shutil.ignore_patterns("pip", "setuptools", "_distutils_hack", "*.pth", "__pycache__")
    return Path(shutil.copytree(source, home / "packages", ignore=others))


def _launcher(home: Path) -> Path:
    """A program that starts Blender with options for scripts, and turns paths into those that Blender sees."""
    command = blender_command(*SCRIPT_OPTIONS) if PROGRAM else [sys.executable, str(HERE / "bpy_program.py")]
    root = str(ROOT).rstrip("/")
    path = home / "blender.sh"
    path.write_text(
        "#!/bin/sh\n"
        f'for argument; do shift; set -- "$@" "${{argument#{root}}}"; done\n'
        f'exec {shlex.join(command)} "$@"\n'
    )
    path.chmod(0o755)
    return path


def _code_of(report: Path) -> int:
    """1 if pytest wrote no report of tests: Blender ends with exit code 0 even if it did not find the script."""
    if report.exists() and int(ET.parse(report).getroot()[0].get("tests", "0")):
        return 0
    print("pytest did not come to its end inside Blender", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
