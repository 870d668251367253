"""Loads the fixtures, which import bpy.

The pytest outside Blender loads this file, too, but pytest-blender ends that pytest before this hook.
"""

import os
import sys

import pytest

_EXIT_CODE = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.import_plugin("blender_fixtures")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    session.config.stash[_EXIT_CODE] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """End the process without Blender's own end: after files that make it crash there, the result would be lost.

    The tests in outside/ check that Blender ends well.
    """
    code = config.stash.get(_EXIT_CODE, None)
    if code is not None and "bpy" in sys.modules:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
