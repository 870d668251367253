"""The texts and buttons that the panels draw. A recording layout stands in for that of Blender.

The translations are those of Blender.
"""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import addon
import bpy
import pytest
from recording import RecordingLayout

from beam_bpy import BeamServer

PANELS = ["sidebar", "nodes", "handlers", "activity"]

# Each of these is a word that Blender translates in its own interface.
WORDS = ["Render", "Scene", "Image", "Camera", "Object", "World", "Material", "Animation", "Add", "Delete", "Copy"]


def everything() -> Any:
    """Data in which every text is one of `WORDS`."""
    state = addon.panel_state
    return state.Shown(
        state="running",
        address="Scene",
        error="Delete",
        nodes=(state.NodeRow("Image", "1 min", 3),),
        handlers={"Render": state.HandlerRow("Render", "Object", "World", False, 1, 0)},
        waiting=(state.WaitingRow("Add", "Copy"),),
        long_calls=(state.LongCallRow(1, "Render", 0.5), state.LongCallRow(2, "Scene", None)),
        failed=state.Failed("Camera", "Material", True),
        refused=state.RefusedRow("Animation", "Object", 2),
        scene="World",
    )


@pytest.fixture(autouse=True)
def japanese() -> Iterator[None]:
    """A Japanese interface. The bpy module has no translations; Blender programs have."""
    view = bpy.context.preferences.view
    before = view.language
    if "ja_JP" in bpy.app.translations.locales:
        view.language = "ja_JP"
        assert bpy.app.translations.pgettext_iface("Render") != "Render"
    yield
    view.language = before


def drawn_by(kind: type, **attributes: Any) -> Any:
    """An object with the methods of a class of Blender's interface, which only Blender can create."""
    methods = {name: value for name, value in vars(kind).items() if callable(value) and not name.startswith("__")}
    return type("Drawing", (), {**methods, **attributes})()


def draw(name: str, shown: Any, monkeypatch: pytest.MonkeyPatch) -> RecordingLayout:
    """Draw a panel with these data."""
    monkeypatch.setattr(addon.panel_state, "shown", shown)
    addon.panel_state._list(shown.handlers)
    layout = RecordingLayout()
    panel = getattr(addon.panel, f"BEAMBPY_PT_{name}")
    this = drawn_by(panel, layout=layout)
    for method in ("draw_header_preset", "draw"):
        if method in vars(panel):
            getattr(panel, method)(this, bpy.context)
    return layout


def draw_row(name: str, shown: Any, monkeypatch: pytest.MonkeyPatch) -> RecordingLayout:
    """Draw a line of the list of handlers."""
    monkeypatch.setattr(addon.panel_state, "shown", shown)
    layout = RecordingLayout()
    item = SimpleNamespace(name=name)
    rows = addon.panel.BEAMBPY_UL_handlers
    rows.draw_item(drawn_by(rows), None, layout, None, item, None, None, None, None, None)
    return layout


@pytest.mark.parametrize("name", PANELS)
def test_names_addresses_and_errors_are_never_translated(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = draw(name, everything(), monkeypatch)

    data = [entry for entry in layout.drawn if any(word in entry.source for word in WORDS)]
    names_of_buttons = {"Copy Elixir Snippet"}
    assert [entry for entry in data if entry.translated and entry.source not in names_of_buttons] == []


def test_all_names_addresses_and_errors_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = everything()
    texts = [text for name in PANELS for text in draw(name, shown, monkeypatch).texts()]
    texts += draw_row("Render", shown, monkeypatch).texts()

    assert [word for word in WORDS if not any(word in text for text in texts)] == []


def test_a_line_of_the_list_is_not_translated(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = draw_row("Render", everything(), monkeypatch).drawn
    assert [(entry.text, entry.translated) for entry in drawn] == [("Render", False), ("1", False)]


def test_the_preferences_translate_no_error(preferences: Any) -> None:
    preferences.host = "no spaces"
    layout = RecordingLayout()
    drawn_by(type(preferences), layout=layout, **values(preferences)).draw(bpy.context)

    errors = [entry for entry in layout.drawn if entry.kind == "label" and entry.options.get("icon") == "ERROR"]
    assert errors
    assert not any(entry.translated for entry in errors)


def values(preferences: Any) -> dict[str, Any]:
    return {name: getattr(preferences, name) for name in preferences.bl_rna.properties.keys()}  # noqa: SIM118


@pytest.mark.parametrize("width", [60.0, 120.0, 234.0, 600.0])
def test_an_error_is_drawn_in_full_at_every_width(width: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addon.lines, "panel_width", lambda _context: width)
    error = "The name beam_bpy_with_a_very_long_name@host is taken by another node on this machine; stop that node"
    layout = draw("sidebar", addon.panel_state.Shown(state="failed", error=error), monkeypatch)

    labels = [entry.text for entry in layout.drawn if entry.kind == "label"]
    assert "".join(labels[1:]).replace(" ", "") == error.replace(" ", "")
    assert all(addon.lines.text_width(text) <= width for text in labels[1:])
    assert layout.operators()["preferences.addon_show"].properties == {"module": addon.panel.__package__}


@pytest.mark.parametrize("length", [1, 40, 500])
def test_long_names_appear_in_full_in_a_tooltip(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    state = addon.panel_state
    name = f"{'n' * length}@{'h' * length}"
    row = state.HandlerRow(name, name, f"bl_ext.{name}.{name}", False, 1, 0)
    shown = state.Shown(
        state="running",
        nodes=(state.NodeRow(name, "1 min", 1),),
        handlers={name: row},
        long_calls=(state.LongCallRow(1, name, None),),
        failed=state.Failed(name, name, False),
    )
    for panel in ("nodes", "sidebar", "activity"):
        layout = draw(panel, shown, monkeypatch)
        assert name in layout.operators()["beam_bpy.copy_text"].properties["text"]
    details = RecordingLayout()
    addon.panel._draw_handler(details, row, 234.0)
    drawn = {text for entry in details.drawn for text in (entry.source, entry.properties.get("text"))}
    assert {name, row.owner.rpartition(".")[2]} <= drawn
    assert draw("handlers", shown, monkeypatch).drawn[1].options["item_dyntip_propname"] == "tooltip"
    (line,) = bpy.context.window_manager.beam_bpy.handlers
    assert name in line.tooltip
    assert row.owner in line.tooltip


def test_the_tooltip_of_a_text_is_the_text() -> None:
    properties = SimpleNamespace(text="all of it")
    assert addon.operators.BEAMBPY_OT_copy_text.description(bpy.context, properties).startswith("all of it\n")


def test_an_empty_list_of_handlers_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    layout = draw("handlers", addon.panel_state.Shown(), monkeypatch)

    assert "Enable an add-on" in " ".join(layout.texts())
    assert "list" not in {entry.kind for entry in layout.drawn}


@pytest.mark.parametrize(("share", "text"), [(0.0, "0%"), (0.25, "25%"), (1.0, "100%"), (None, "Running")])
def test_a_long_call_shows_its_name_its_progress_and_a_button(
    share: float | None, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = addon.panel_state.LongCallRow(7, "bake", share)
    layout = draw("sidebar", addon.panel_state.Shown(state="running", long_calls=(call,)), monkeypatch)

    assert {"bake", text} <= {entry.source for entry in layout.drawn}
    cancel = layout.operators()["beam_bpy.cancel_call"]
    assert (cancel.source, cancel.properties) == ("Cancel", {"number": 7})


def test_every_sentence_begins_with_a_capital(server: BeamServer, preferences: Any) -> None:
    preferences.host = "not valid"
    with pytest.raises(RuntimeError):
        bpy.ops.beam_bpy.start_server()
    addon.panel_state.update()
    assert addon.panel_state.shown.error[0].isupper()


@pytest.mark.parametrize("width", [1.0, 20.0, 100.0, 300.0])
@pytest.mark.parametrize("text", ["", "word", "two words", "a" * 200, "日本語の名前" * 20, "x " * 100, " \n\t "])
def test_wrapped_lines_keep_all_of_the_text_and_the_width(text: str, width: float) -> None:
    found = addon.lines.wrapped(text, width)

    assert "".join(found).replace(" ", "") == "".join(text.split())
    assert all(line and (len(line) == 1 or addon.lines.text_width(line) <= width) for line in found)


def test_a_text_with_too_many_lines_ends_with_dots() -> None:
    layout = RecordingLayout()
    addon.lines.draw_lines(layout, "x " * 1000, 100.0, "ERROR", most=3)
    assert [text.endswith("…") for text in layout.texts()] == [False, False, True]
