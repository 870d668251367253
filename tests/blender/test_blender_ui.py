"""Preferences, sidebar and operators in real Blender. What each script checks stands in its own first lines."""

from collections.abc import Callable

from erlang import COOKIE

Blender = Callable[..., str]


def test_the_preferences_and_their_operators(blender: Blender) -> None:
    output = blender("preferences.py")
    assert "done" in output
    assert "SECRETOFERLANG" not in output


def test_what_the_sidebar_shows(blender: Blender) -> None:
    output = blender("sidebar.py")
    assert "done" in output
    assert "ValueError: no crate; the cookie is <cookie>" in output
    assert COOKIE not in output
