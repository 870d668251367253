"""Text in panels: names, addresses and sentences that are as long as they are.

Blender cuts a label that does not fit. So this module splits a text into lines, with the width of each character in the
font of the interface. It also switches off the translation: Blender would translate a name such as `Render`.
"""

import functools
from typing import TYPE_CHECKING

import blf
import bpy

if TYPE_CHECKING:
    from bpy.stub_internal.rna_enums import IconItems

_FONT = 0
"""The font of the interface, for `blf`."""

_UNKNOWN_WIDTH = 280.0
"""The width of a region that is not drawn in a window, for example in a test, in pixels at a scale of 1."""

_TABS = 20.0
"""The width of the tabs beside the panels of a sidebar, in pixels at a scale of 1."""

_MARGINS = 46.0
"""The width of the margins of a panel and of a box in it, in pixels at a scale of 1."""

ICON = 26.0
"""The width of an icon, in pixels at a scale of 1."""


def draw_lines(
    layout: bpy.types.UILayout, text: str, width: float, icon: "IconItems" = "NONE", most: int | None = None
) -> None:
    """Draw a text in as many labels as it needs. The first label has the icon, and the others are indented like it.

    Args:
        layout: a column.
        text: the text. Blender does not translate it.
        width: the width of the column, in pixels at a scale of 1; see `panel_width`.
        icon: the icon of the first label.
        most: the largest number of lines; the last one of them then ends with dots. None for no limit.
    """
    indented = icon != "NONE"
    found = wrapped(text, width - ICON if indented else width)
    if most is not None and len(found) > most:
        found = [*found[: most - 1], f"{found[most - 1]}…"]
    for number, line in enumerate(found):
        layout.label(text=line, icon="BLANK1" if number and indented else icon, translate=False)


def panel_width(context: bpy.types.Context) -> float:
    """The width of text in a box of a panel in the region that is drawn, in pixels at a scale of 1."""
    region, scale = context.region, _scale()
    if region is None:
        return _UNKNOWN_WIDTH - _MARGINS
    view = region.view2d
    # The user can zoom panels. A zoomed panel has room for fewer characters.
    width = view.region_to_view(region.width, 0)[0] - view.region_to_view(0, 0)[0]
    tabs = _TABS if region.type == "UI" else 0.0
    return width / scale - tabs - _MARGINS


def wrapped(text: str, width: float) -> list[str]:
    """Split a text into lines, at spaces if possible. A word that is wider than a line is split anywhere.

    Args:
        text: the text.
        width: the width of a line, in pixels at a scale of 1.
    """
    lines: list[str] = []
    line = ""
    for word in text.split():
        if line and text_width(f"{line} {word}") <= width:
            line = f"{line} {word}"
            continue
        if line:
            lines.append(line)
        *full, line = _pieces(word, width)
        lines += full
    return [*lines, line] if line else lines


def text_width(text: str) -> float:
    """The width of a text in the font of the interface, in pixels at a scale of 1."""
    points = _font_size()
    return sum(_character_width(character, points) for character in text)


def shortened(text: str, width: float) -> str:
    """Return a text that fits into one line: its end is replaced by dots if it is too wide."""
    return text if text_width(text) <= width else f"{_pieces(text, width - text_width('…'))[0]}…"


def capitalised(sentence: str) -> str:
    """Return a sentence of the core, which begins with a small letter, as the interface shows it."""
    return sentence[:1].upper() + sentence[1:]


def _pieces(word: str, width: float) -> list[str]:
    pieces = [""]
    for character in word:
        if pieces[-1] and text_width(pieces[-1] + character) > width:
            pieces.append("")
        pieces[-1] += character
    return pieces


@functools.lru_cache(maxsize=4096)
def _character_width(character: str, points: float) -> float:
    blf.size(_FONT, points)
    return blf.dimensions(_FONT, character * 8)[0] / 8


def _font_size() -> float:
    preferences = bpy.context.preferences
    assert preferences is not None
    return preferences.ui_styles[0].widget.points


def _scale() -> float:
    preferences = bpy.context.preferences
    assert preferences is not None
    return preferences.system.ui_scale or 1.0  # Without a window, it is 0.
