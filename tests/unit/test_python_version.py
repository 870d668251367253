"""A Python that is too old is told so, in place of an error in some module."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("package", ["beam_bpy", "vendor_term_codec"])
def test_an_older_python_is_told_so(package):
    code = f"import sys\nsys.version_info = (3, 10, 13)\nimport {package}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60)

    assert done.returncode == 1
    assert f"ImportError: {package} needs Python 3.11 or later" in done.stderr
