"""A file of the corpus, and what a service has to answer to it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vendor_term_codec import Atom

VALID, INVALID, DAMAGED = "valid", "invalid", "damaged"


@dataclass(frozen=True)
class Content:
    """What a valid file contains. None: the format does not store it, or its value is not compared.

    Attributes:
        vertices, faces: the numbers of all mesh objects together.
        bounds: the corners of the bounding box in Blender's axes: the three least coordinates, and the three greatest.
        objects: the names of the mesh objects.
        object_count: the number of the mesh objects.
        materials: the names of the materials.
        frames: the length of the animation: the last frame minus the first one.
    """

    vertices: int | None = None
    faces: int | None = None
    bounds: tuple[float, ...] | None = None
    objects: frozenset[str] | None = None
    object_count: int | None = None
    materials: frozenset[str] | None = None
    frames: int | None = None

    def term(self) -> dict[Atom, Any]:
        """Return the values that are compared, as a map for Elixir."""
        found = {
            name: sorted(value) if isinstance(value, frozenset) else list(value) if isinstance(value, tuple) else value
            for name, value in vars(self).items()
            if value is not None
        }
        return {Atom(name): value for name, value in found.items()}


@dataclass(frozen=True)
class Entry:
    """A file of the corpus.

    Attributes:
        name: the name of the file. It is also the name of the test's failure.
        data: the content; None if the path is something else than a file.
        kind: VALID: the call succeeds, and the content is right. INVALID: it fails. DAMAGED: it may succeed or fail.
        content: what a valid file contains.
        options: options of the call.
        crashes: Blender itself may crash while it reads this file, or not end.
    """

    name: str
    data: bytes | None
    kind: str
    content: Content = field(default_factory=Content)
    options: dict[str, Any] = field(default_factory=dict)
    crashes: bool = False

    def term(self, folder: Path) -> dict[Atom, Any]:
        """Return the entry as a map for Elixir."""
        return {
            Atom("name"): self.name,
            Atom("path"): str(folder / self.name),
            Atom("bytes"): len(self.data or b""),
            Atom("kind"): Atom(self.kind),
            Atom("content"): self.content.term(),
            Atom("options"): [(Atom(name), value) for name, value in self.options.items()],
            Atom("crashes"): self.crashes,
        }
