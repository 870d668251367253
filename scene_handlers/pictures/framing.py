"""Where a camera has to be so that a picture shows all of some shapes, and no more.

Only numbers, without bpy. The result is exact, because the condition "this point is between the four side planes of the
camera" is linear: of all points, only those matter that are the farthest in the directions of the planes.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MARGIN = 0.06
"""The free part of the picture at each of its borders."""

_NEAREST = 0.01
"""The least distance of the camera from the shapes, as a part of their size: a plane that is seen from its edge has no
height, and the camera would be in it."""

_STEPS = 6
"""The number of steps to the middle of the shapes. Each brings it nearer by a factor of about 10."""


class Shape(NamedTuple):
    """A part of the scene.

    Attributes:
        points: points that contain it, of shape (n, 3).
        matrix: the matrix, 4x4, that moves them to world space.
    """

    points: NDArray[np.float32]
    matrix: Array


class View(NamedTuple):
    """A camera. Lengths are in metres.

    Attributes:
        location: the position in world space.
        axes: the rows are the axes of the camera in world space: X to the right, Y up, Z from the shapes to the camera.
        nearest, farthest: the distances along the Z axis between which the shapes are.
    """

    location: Array
    axes: Array
    nearest: float
    farthest: float


def extents(shapes: list[Shape], directions: Array) -> Array:
    """Return how far the shapes reach in each direction: the largest dot product of a point and the direction.

    Args:
        shapes: at least one shape.
        directions: the directions in world space, of shape (k, 3).
    """
    found = np.full(len(directions), -math.inf)
    for points, matrix in shapes:
        # Move the few directions into the space of the shape, and not the many points into world space.
        local = (directions @ matrix[:3, :3]).T
        np.maximum(found, (points @ local).max(axis=0) + directions @ matrix[:3, 3], out=found)
    return found


def axes_towards(direction: Array) -> Array:
    """Return the axes of a camera that looks at the shapes from a direction, with Z up as far as possible."""
    backward = direction / np.linalg.norm(direction)
    # A camera that looks down has the top of the picture at +Y, and one that looks up at -Y.
    up = np.array((0.0, 0.0, 1.0)) if abs(backward[2]) < 0.9999 else np.array((0.0, math.copysign(1.0, backward[2]), 0))
    right = np.cross(up, backward)
    right /= np.linalg.norm(right)
    return np.array((right, np.cross(backward, right), backward))


def half_sides(width: int, height: int, slope: float) -> tuple[float, float]:
    """Return half of the width and half of the height that a camera sees at a distance of 1, without the margin.

    Args:
        width, height: the size of the picture in pixels.
        slope: the same for the longer side, with the margin.
    """
    longer = max(width, height)
    inner = slope * (1.0 - 2.0 * MARGIN)
    return inner * width / longer, inner * height / longer


def fitted(shapes: list[Shape], axes: Array, sides: tuple[float, float]) -> View:
    """Return the view with these axes in which the shapes fill the picture.

    Args:
        shapes: at least one shape.
        axes: the axes of the camera; see `axes_towards`.
        sides: see `half_sides`.
    """
    reach = _reach(shapes, axes, sides)
    distances = (reach[0] + reach[1]) / (2 * sides[0]), (reach[2] + reach[3]) / (2 * sides[1])
    z = _distance(max(distances), reach, size(shapes))
    # In the direction that is not filled, the middle of the shapes depends on the perspective: narrow the camera until
    # it is filled, too.
    narrow = np.array(sides)
    for _ in range(_STEPS):
        reach = _reach(shapes, axes, (narrow[0], narrow[1]))
        narrow = (reach[0:4:2] + reach[1:4:2]) / (2 * z)
    x, y = (reach[0:4:2] - reach[1:4:2]) / 2
    return _view(axes, (x, y, z), reach)


def orbit(shapes: list[Shape], directions: list[Array], sides: tuple[float, float]) -> list[View]:
    """Return one view for each direction. All have the same distance from the same centre.

    Args:
        shapes: at least one shape.
        directions: the directions from the centre to the camera.
        sides: see `half_sides`.
    """
    whole = size(shapes)
    corners = extents(shapes, np.vstack((np.eye(3), -np.eye(3))))
    centre = (corners[:3] - corners[3:]) / 2
    moved = [Shape(points, _moved(matrix, -centre)) for points, matrix in shapes]
    all_axes = [axes_towards(direction) for direction in directions]
    reaches = [_reach(moved, axes, sides) for axes in all_axes]
    needed = (max(reach[:2].max() / sides[0], reach[2:4].max() / sides[1]) for reach in reaches)
    z = max(_distance(each, reach, whole) for each, reach in zip(needed, reaches, strict=True))
    views = [_view(axes, (0.0, 0.0, z), reach) for axes, reach in zip(all_axes, reaches, strict=True)]
    return [view._replace(location=view.location + centre) for view in views]


def size(shapes: list[Shape]) -> float:
    """Return the length of the diagonal of the bounding box."""
    reach = extents(shapes, np.vstack((np.eye(3), -np.eye(3))))
    return float(np.linalg.norm(reach[:3] + reach[3:]))


def _moved(matrix: Array, by: Array) -> Array:
    moved = matrix.copy()
    moved[:3, 3] += by
    return moved


def _reach(shapes: list[Shape], axes: Array, sides: tuple[float, float]) -> Array:
    """Return the extents to the four side planes of the camera: right, left, top, bottom; and to the front and back."""
    right, up, backward = axes
    wide, high = sides[0] * backward, sides[1] * backward
    return extents(shapes, np.array((right + wide, wide - right, up + high, high - up, backward, -backward)))


def _distance(needed: float, reach: Array, whole: float) -> float:
    """Return the place of the camera on its Z axis: the needed one, but in front of the shapes."""
    return max(needed, float(reach[4]) + _NEAREST * whole)


def _view(axes: Array, place: tuple[float, float, float], reach: Array) -> View:
    return View(np.array(place) @ axes, axes, place[2] - reach[4], place[2] + reach[5])
