"""The logger "beam_bpy" while the extension is enabled."""

import logging
from collections.abc import Iterator
from typing import Any

import in_blender
import pytest

LOGGER = logging.getLogger("beam_bpy")


@pytest.fixture
def environment() -> Iterator[None]:
    """A program that has set a level of its own."""
    before = LOGGER.level
    LOGGER.setLevel(logging.CRITICAL)
    yield
    LOGGER.setLevel(before)


def test_the_level_is_that_of_the_preferences(preferences: Any) -> None:
    assert LOGGER.level == logging.INFO
    preferences.log_level = "debug"
    assert LOGGER.level == logging.DEBUG
    preferences.log_level = "error"
    assert LOGGER.level == logging.ERROR


def test_disabling_restores_the_level_and_removes_the_handler(preferences: Any) -> None:
    preferences.log_level = "debug"
    assert len(LOGGER.handlers) == 1

    in_blender.disable(in_blender.EXTENSION)

    assert LOGGER.level == logging.CRITICAL
    assert LOGGER.handlers == []
