"""Faces and edges as arrays: find those that Blender cannot work with, and number the edges. This module needs no bpy.

Blender assumes that a face uses each of its vertices once, and that no two faces have the same vertices. It does not
check this: subdividing a face that breaks the rule never ends, or ends Blender.
"""

from collections.abc import Iterator
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_SMALL_FACE = 4
"""Up to this size, comparing each pair of corners takes less time than sorting them."""


class Faults(NamedTuple):
    """The faces or edges that are not valid, as indices in ascending order.

    Attributes:
        repeating: they use a vertex more than once.
        duplicates: an earlier face or edge has the same vertices.
    """

    repeating: Array
    duplicates: Array

    def all(self) -> Array:
        """Return the indices of both, each once."""
        return np.union1d(self.repeating, self.duplicates)


def face_sizes(face_starts: Array, corners: int) -> Array:
    """Return the number of corners of each face.

    Args:
        face_starts: the index of the first corner of each face.
        corners: the number of all corners.
    """
    return np.diff(face_starts, append=np.int32(corners))


def faulty_faces(corners: Array, face_starts: Array) -> Faults:
    """Find the faces that are not valid.

    Args:
        corners: the index of the vertex of each corner; int32, at least 0.
        face_starts: the index of the first corner of each face.
    """
    repeating, duplicates = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for faces, columns in _same_size(corners, face_starts):
        repeating.append(faces[_repeats(columns)])
        duplicates.append(faces[_later_copies(columns)])
    return Faults(np.sort(np.concatenate(repeating)), np.sort(np.concatenate(duplicates)))


def faulty_edges(edges: Array) -> Faults:
    """Find the edges that are not valid. `edges` has two numbers for each edge, the indices of its vertices."""
    ends = np.ascontiguousarray(edges.reshape(-1, 2).T)
    return Faults(np.flatnonzero(ends[0] == ends[1]), _later_copies(ends))


def without_faces(corners: Array, face_starts: Array, dropped: Array) -> tuple[Array, Array, Array, Array]:
    """Return the corners and the starts of the other faces, and masks of the faces and of the corners that are kept."""
    sizes = face_sizes(face_starts, len(corners))
    kept = np.ones(len(face_starts), np.bool_)
    kept[dropped] = False
    kept_corners = np.repeat(kept, sizes)
    ends = np.cumsum(sizes[kept])
    return corners[kept_corners], (ends - sizes[kept]).astype(np.int32), kept, kept_corners


def numbered_edges(edges: Array, corners: Array, face_starts: Array) -> tuple[Array, Array]:
    """Return all edges, and the index of the edge that leads from each corner to the next corner of its face.

    Blender can find the edges of the faces, too, but some versions then change the order of the edges that are there.

    Args:
        edges: the first edges, two numbers for each; valid and in this order.
        corners, face_starts: as in `faulty_faces`.
    """
    given = edges.reshape(-1, 2)
    pairs = np.concatenate((given, np.column_stack((corners, _next_vertices(corners, face_starts)))))
    keys = pairs.min(axis=1).astype(np.int64) << 32 | pairs.max(axis=1)
    _sorted_keys, first, edge_of_pair = np.unique(keys, return_index=True, return_inverse=True)
    # Number the edges in the order in which they occur; those of `edges` occur first.
    order = np.argsort(first)
    numbers = np.empty(len(order), np.int32)
    numbers[order] = np.arange(len(order), dtype=np.int32)
    return pairs[first[order]].reshape(-1), numbers[edge_of_pair.reshape(-1)[len(given) :]]


def _next_vertices(corners: Array, face_starts: Array) -> Array:
    following = np.roll(corners, -1)
    following[np.append(face_starts[1:], len(corners))[: len(face_starts)] - 1] = corners[face_starts]
    return following


def _same_size(corners: Array, face_starts: Array) -> Iterator[tuple[Array, Array]]:
    """Yield the faces of each size: their indices, and their vertices as an array of shape (size, faces)."""
    sizes = face_sizes(face_starts, len(corners))
    if len(sizes) and (sizes == sizes[0]).all():
        yield np.arange(len(sizes)), corners.reshape(-1, sizes[0]).T
        return
    for size in np.flatnonzero(np.bincount(sizes)):
        faces = np.flatnonzero(sizes == size)
        yield faces, corners[face_starts[faces] + np.arange(size)[:, None]]


def _repeats(columns: Array) -> Array:
    """Return a mask of the faces that use a vertex more than once."""
    if len(columns) > _SMALL_FACE:
        ordered = np.sort(columns, axis=0)
        found: Array = (ordered[1:] == ordered[:-1]).any(axis=0)
        return found
    repeats = np.zeros(columns.shape[1], np.bool_)
    for one, other in combinations(columns, 2):
        repeats |= one == other
    return repeats


def _later_copies(columns: Array) -> Array:
    """Return the indices of the columns that have the same numbers as an earlier column, in any order."""
    candidates = np.arange(columns.shape[1])
    # Sorting all faces would take a third of the time of an upload. Copies have equal sums, and equal sums of powers.
    for power in (1, 2, 3):
        shared = _shared(_power_sums(columns, power))
        columns, candidates = columns[:, shared], candidates[shared]
        if not len(candidates):
            return candidates
    ordered = np.sort(columns, axis=0)
    order = np.lexsort((candidates, *ordered))
    ordered, candidates = ordered[:, order], candidates[order]
    same = (ordered[:, 1:] == ordered[:, :-1]).all(axis=0)
    copies: Array = np.sort(candidates[1:][same])
    return copies


def _power_sums(columns: Array, power: int) -> Array:
    sums = np.zeros(columns.shape[1], np.uint32)
    for column in columns.view(np.uint32):
        term = column
        for _ in range(power - 1):
            term = term * column  # An overflow does no harm: it is the same for the same numbers.
        sums += term
    return sums


def _shared(keys: Array) -> Array:
    """Return the indices of the keys that occur more than once; and few others, because of a table of limited size."""
    slots = 1 << (4 * len(keys)).bit_length()
    places = (keys & np.uint32(slots - 1)).astype(np.intp)
    taken = np.zeros(slots, np.bool_)
    taken[places] = True
    if np.count_nonzero(taken) == len(keys):
        return np.empty(0, np.intp)
    numbers = np.arange(len(keys), dtype=np.int32)
    last = np.empty(slots, np.int32)
    last[places] = numbers
    taken[:] = False
    taken[places[last[places] != numbers]] = True
    found: Array = np.flatnonzero(taken[places])
    return found
