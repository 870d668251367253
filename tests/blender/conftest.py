"""Keeps the tests that run inside Blender out of a plain pytest: `run_inside.py` runs them with pytest-blender."""

collect_ignore = ["inside"]
