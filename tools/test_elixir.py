"""Test and check the Elixir package in elixir/: on this system, then in a Debian 13 with the newest supported releases.

On this system, the workers of the tests are this Python, which has the module bpy. In the Debian 13 they are a Blender
program with the extension, and a Python without bpy. Only there are the programs that check the format and the types,
and that build the documentation and the package. Run it after tools/build_zip.py, as root, because `tools/debian13`
needs root.

usage: tools/test_elixir.py [here|debian13]    runs both parts, or one of them

Exit codes: 0 all steps have passed; 1 a step has failed.
"""

import argparse
import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
PROJECT = REPOSITORY / "elixir"

PACKAGE_FOLDERS = ("lib", "guides", "priv")
"""Folders of the Hex package, as far as they exist. It also holds these files."""
PACKAGE_FILES = ("mix.exs", "README.md", "LICENSE", ".formatter.exs")

NOT_COPIED = (
    ".git",
    ".venv*",
    ".*_cache",
    ".hypothesis",
    "build",
    "dist",
    "out",
    "_build",
    "doc",
    "__pycache__",
    "*.tar",
)
"""Files of the repository that the tests in the Debian 13 do not need."""

PLT_APPLICATIONS = ("erts", "kernel", "stdlib", "compiler", "crypto", "elixir", "logger", "mix", "ex_unit", "iex")
"""The applications whose types dialyzer knows."""

DIALYZER = {"ERL_LIBS": "/usr/lib/elixir/lib"}
"""The environment of dialyzer, which reads modules with Elixir's compiler."""


class StepError(Exception):
    """A step has failed. The message is a sentence."""


class System:
    """A system in which the steps run: this one, or one that lives in a folder and is run by chroot.

    Args:
        root: its folder; "/" is this system.
        environment: environment variables for all steps.
    """

    def __init__(self, root: Path, environment: Mapping[str, str]) -> None:
        self.root = root
        self._environment = {**_own_environment(), **environment}

    def step(
        self, title: str, command: Sequence[str], folder: str, environment: Mapping[str, str] | None = None
    ) -> None:
        """Run a command in a folder of the system.

        Raises:
            StepError: its exit code is not 0.
        """
        print(f"\n== {title}: {' '.join(command)}", flush=True)
        variables = {**self._environment, **(environment or {})}
        done = subprocess.run(self._command(command, folder), env=variables, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise StepError(f"{title} has failed with exit code {done.returncode}.")

    def output(self, command: Sequence[str], folder: str = "/") -> str:
        """The output of a command, with what it has written to standard error.

        Raises:
            StepError: its exit code is not 0.
        """
        done = subprocess.run(
            self._command(command, folder),
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode:
            raise StepError(f"{command[0]} has failed with exit code {done.returncode}:\n{done.stdout}")
        return done.stdout.strip()

    def _command(self, command: Sequence[str], folder: str) -> list[str]:
        inside = ["env", "--chdir", folder, *command]
        return inside if str(self.root) == "/" else ["chroot", str(self.root), *inside]


def _own_environment() -> dict[str, str]:
    # Settings of a node or of mix that the user has must not change the tests.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("BPY_BEAM_", "MIX_", "ERL_"))}
    return {**kept, "LC_ALL": "C.UTF-8"}


def main() -> int:
    """Run the parts. Return the exit code."""
    parser = argparse.ArgumentParser(description="Test and check the Elixir package in elixir/.")
    parser.add_argument("part", nargs="?", choices=("here", "debian13"), help="run only this part")
    part = parser.parse_args().part
    try:
        if part in (None, "here"):
            test_here()
        if part in (None, "debian13"):
            test_in_debian13()
    except StepError as error:
        print(f"\ntest-elixir: {error}", file=sys.stderr)
        return 1
    return 0


def test_here() -> None:
    """Compile and test with the Elixir of this system and with workers of this Python, which has bpy."""
    system = System(Path("/"), {"BEAM_BPY_PYTHON": sys.executable})
    print("Elixir of this system. Tests with the tag :blender run in the Debian 13, not here.")
    folder = str(PROJECT)
    system.step("Compile", ["mix", "compile", "--force", "--warnings-as-errors"], folder)
    system.step("Test", ["mix", "test", "--exclude", "blender", "--warnings-as-errors"], folder)


def test_in_debian13() -> None:
    """Check, test, and build the package in the Debian 13, with workers of a Blender program."""
    built = subprocess.run([REPOSITORY / "tools" / "debian13", "elixir"], stdout=subprocess.PIPE, text=True)
    if built.returncode:
        raise StepError("The Debian 13 could not be built.")
    root = Path(built.stdout.strip())
    with _copy(root) as home:
        seen = "/" + str(home.relative_to(root))
        system = System(
            root,
            {
                "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "HOME": seen,
                "HEX_OFFLINE": "1",
                "BLENDER_USER_RESOURCES": f"{seen}/blender",
                "BEAM_BPY_BLENDER": "/usr/bin/blender",
                "BEAM_BPY_PYTHON": "/usr/bin/python3",
            },
        )
        print("\nElixir of Debian 13. Tests with the tag :bpy run on this system, not there.")
        _check(system, f"{seen}/elixir")
        _test_with_blender(system, seen)
        _build_package(system, home, seen)


@contextlib.contextmanager
def _copy(root: Path) -> Iterator[Path]:
    """A new folder in the other system with a copy of the repository."""
    with tempfile.TemporaryDirectory(prefix="beam-bpy-elixir-", dir=root / "tmp") as made:
        home = Path(made)
        shutil.copytree(REPOSITORY, home, ignore=shutil.ignore_patterns(*NOT_COPIED), dirs_exist_ok=True)
        yield home


def _check(system: System, folder: str) -> None:
    system.step("Format", ["mix", "format", "--check-formatted"], folder)
    system.step("Compile", ["mix", "compile", "--warnings-as-errors"], folder)
    _build_documentation(system, folder)
    # Dialyzer knows telemetry, which is not a dependency, from the tests' own module of this name.
    system.step("Compile for tests", ["mix", "compile", "--warnings-as-errors"], folder, {"MIX_ENV": "test"})
    plt = _plt(system)
    beams = ["_build/dev/lib/beam_bpy/ebin", "_build/test/lib/beam_bpy/ebin/telemetry.beam"]
    system.step("Types", ["dialyzer", "--plt", plt, "-r", *beams], folder, DIALYZER)


def _build_documentation(system: System, folder: str) -> None:
    # The exit code of `mix docs --warnings-as-errors` is 0 if the documentation names a function that does not exist.
    print("\n== Documentation: mix docs", flush=True)
    output = system.output(["mix", "docs"], folder)
    print(output)
    if "warning:" in output:
        raise StepError("The documentation has warnings.")


def _plt(system: System) -> str:
    """The file with the types of the applications of OTP and Elixir. It is kept for later runs in the other system."""
    versions = system.output(["dpkg-query", "-W", "-f", "-${Version}", "erlang-base", "elixir"])
    plt = Path(f"/var/cache/beam-bpy/elixir{re.sub('[^0-9a-z.]+', '-', versions)}.plt")
    kept = system.root / plt.relative_to("/")
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        # Another run can do the same, so the file gets its name when it is complete.
        new = f"{plt}.{os.getpid()}"
        build = ["dialyzer", "--build_plt", "-Wno_unknown", "--output_plt", new, "--apps", *PLT_APPLICATIONS]
        system.step("Types of OTP and Elixir, once", build, "/", DIALYZER)
        (system.root / new.lstrip("/")).replace(kept)
    return str(plt)


def _test_with_blender(system: System, seen: str) -> None:
    for archive in sorted((REPOSITORY / "dist").glob("*.zip")):
        shutil.copy(archive, system.root / seen.lstrip("/"))
        install = [
            "blender",
            "--background",
            "--command",
            "extension",
            "install-file",
            "--repo",
            "user_default",
            "--enable",
        ]
        system.step("Install the extension", [*install, f"{seen}/{archive.name}"], seen)
    system.step("Test", ["mix", "test", "--exclude", "bpy", "--warnings-as-errors"], f"{seen}/elixir")


def _build_package(system: System, home: Path, seen: str) -> None:
    """Build the package, compare its files with those of the project, and compile it alone."""
    system.step("Package", ["mix", "hex.build", "--output", "package.tar"], f"{seen}/elixir")
    unpacked = home / "package"
    with tarfile.open(home / "elixir" / "package.tar") as package:
        contents = package.extractfile("contents.tar.gz")
        assert contents is not None
        with tarfile.open(fileobj=io.BytesIO(contents.read())) as files:
            names = {member.name for member in files.getmembers() if member.isfile()}
            files.extractall(unpacked, filter="data")
    if names != (expected := _package_files(home / "elixir")):
        raise StepError(f"The package has other files than the project: {sorted(names ^ expected)}.")
    system.step(
        "Compile the package", ["mix", "compile", "--warnings-as-errors"], f"{seen}/package", {"MIX_ENV": "prod"}
    )


def _package_files(project: Path) -> set[str]:
    files = [project / name for name in PACKAGE_FILES]
    files += [path for folder in PACKAGE_FOLDERS for path in (project / folder).rglob("*") if path.is_file()]
    return {str(path.relative_to(project)) for path in files}


if __name__ == "__main__":
    sys.exit(main())
