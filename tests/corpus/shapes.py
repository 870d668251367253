"""The shapes of the corpus, in Blender's axes, and what a file with them contains."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from entry import Content

Points = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


@dataclass(frozen=True)
class Shape:
    """A mesh.

    Attributes:
        name: the name of the object.
        points: the vertices, of shape (n, 3), in metres.
        faces: the vertices of each face.
        material: the name of its material.
    """

    name: str
    points: Points
    faces: Sequence[tuple[int, ...]]
    material: str | None = None

    def named(self, name: str) -> "Shape":
        """Return the same shape with another name."""
        return replace(self, name=name)

    def of(self, material: str) -> "Shape":
        """Return the same shape with a material."""
        return replace(self, material=material)

    def at(self, x: float, y: float, z: float) -> "Shape":
        """Return the shape at another place."""
        return replace(self, points=self.points + np.array([x, y, z], np.float32))

    def scaled(self, factor: float) -> "Shape":
        """Return the shape in another size."""
        return replace(self, points=self.points * np.float32(factor))

    def triangles(self) -> list[tuple[int, int, int]]:
        """Return the faces, divided into triangles."""
        return [(face[0], face[at], face[at + 1]) for face in self.faces for at in range(1, len(face) - 1)]


def tetrahedron(name: str = "Tetra") -> Shape:
    """A shape that has no symmetry, so that exchanged axes change its bounds."""
    points = np.array([[0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3]], np.float32)
    return Shape(name, points, [(0, 2, 1), (0, 1, 3), (0, 3, 2), (1, 2, 3)])


def box(name: str = "Box") -> Shape:
    """A box of 2 x 4 x 6 metres, of quads."""
    points = np.array([[x, y, z] for x in (-1, 1) for y in (-2, 2) for z in (-3, 3)], np.float32)
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    return Shape(name, points, quads)


def disc(name: str = "Disc", corners: int = 17) -> Shape:
    """A face with many corners."""
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    points = np.stack([np.cos(angles), 2 * np.sin(angles), 0 * angles], axis=1).astype(np.float32)
    return Shape(name, points, [tuple(range(corners))])


def surface(name: str = "Surface", columns: int = 9, rows: int = 7) -> Shape:
    """A wavy surface of triangles with `columns` x `rows` vertices."""
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    points = np.stack([x / 2, y / 4, np.sin(x) * np.cos(y)], axis=-1).reshape(-1, 3).astype(np.float32)
    corner = np.arange(rows * columns).reshape(rows, columns)[:-1, :-1].reshape(-1)
    lower = np.stack([corner, corner + 1, corner + columns], axis=1)
    upper = np.stack([corner + 1, corner + columns + 1, corner + columns], axis=1)
    return Shape(name, points, [tuple(face) for face in np.concatenate([lower, upper]).tolist()])


def bounds(shapes: Sequence[Shape]) -> tuple[float, ...]:
    """Return the corners of the bounding box of shapes."""
    points = np.concatenate([shape.points for shape in shapes])
    return (*map(float, points.min(axis=0)), *map(float, points.max(axis=0)))


def content(shapes: Sequence[Shape], *, names: bool = True, materials: bool = True) -> Content:
    """Return what a file with these shapes contains.

    Args:
        shapes: the shapes.
        names: whether the format stores the names of objects.
        materials: whether the format stores materials.
    """
    return Content(
        vertices=sum(len(shape.points) for shape in shapes),
        faces=sum(len(shape.faces) for shape in shapes),
        bounds=bounds(shapes),
        objects=frozenset(shape.name for shape in shapes) if names else None,
        object_count=len(shapes),
        materials=frozenset(shape.material for shape in shapes if shape.material) if materials else None,
    )


def triangulated(of: Content, shapes: Sequence[Shape]) -> Content:
    """Return the content of a format that stores only triangles."""
    return replace(of, faces=sum(len(shape.triangles()) for shape in shapes))
