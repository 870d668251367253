"""A layout that notes what a panel draws, as Blender shows it in the language of the interface."""

from typing import Any, NamedTuple

import bpy


class Drawn(NamedTuple):
    """A widget.

    Attributes:
        kind: `label`, `operator`, `prop`, `progress`, ...
        text: its text, translated if Blender translates it.
        source: its text before the translation.
        translated: whether Blender may translate it.
        options: the other arguments.
        properties: the properties of an operator that the panel has set.
    """

    kind: str
    text: str
    source: str
    translated: bool
    options: dict[str, Any]
    properties: dict[str, Any]


class _Properties:
    """The properties of an operator."""

    def __init__(self, values: dict[str, Any]) -> None:
        object.__setattr__(self, "_values", values)

    def __setattr__(self, name: str, value: Any) -> None:
        self._values[name] = value


class RecordingLayout:
    """Accepts everything that a `UILayout` accepts. Layouts inside it note in the same list."""

    def __init__(self, drawn: list[Drawn] | None = None) -> None:
        self.drawn: list[Drawn] = [] if drawn is None else drawn

    def _inner(self, *_arguments: Any, **_options: Any) -> "RecordingLayout":
        return RecordingLayout(self.drawn)

    row = column = box = split = _inner

    def panel(self, _name: str, **_options: Any) -> tuple["RecordingLayout", "RecordingLayout"]:
        return self, self

    def _note(self, kind: str, source: str, options: dict[str, Any]) -> _Properties:
        translated = options.pop("translate", True)
        text = bpy.app.translations.pgettext_iface(source) if translated else source
        properties: dict[str, Any] = {}
        self.drawn.append(Drawn(kind, text, source, translated, options, properties))
        return _Properties(properties)

    def label(self, *, text: str = "", **options: Any) -> None:
        self._note("label", text, options)

    def progress(self, *, text: str = "", **options: Any) -> None:
        self._note("progress", text, options)

    def operator(self, name: str, *, text: str | None = None, **options: Any) -> _Properties:
        return self._note(f"operator {name}", text or "", options)

    def prop(self, _data: Any, name: str, *, text: str = "", **options: Any) -> None:
        self._note(f"prop {name}", text, options)

    def template_list(self, *_arguments: Any, **options: Any) -> None:
        self._note("list", "", options)

    def separator(self, **_options: Any) -> None:
        """Nothing to note."""

    def texts(self) -> list[str]:
        """The texts of all widgets that have one."""
        return [entry.text for entry in self.drawn if entry.text]

    def operators(self) -> dict[str, Drawn]:
        """The buttons, by the names of their operators."""
        kinds = ((entry.kind.partition(" "), entry) for entry in self.drawn)
        return {name: entry for (kind, _, name), entry in kinds if kind == "operator"}
