"""Loads the fixtures, which import bpy.

The pytest outside Blender loads this file, too, but pytest-blender ends that pytest before this hook.
"""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.import_plugin("blender_fixtures")
