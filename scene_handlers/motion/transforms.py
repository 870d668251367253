"""The handler that moves many objects at once, in each frame."""

from typing import Any

from ..support import rotations
from ..support.arguments import Options, editable, object_named, options
from . import live, recording


def set_transforms(names: Any, transforms: Any, given: Options = None) -> int:
    """Set the transforms of many objects, relative to their parents. Return the number of objects.

    Each object keeps its rotation mode. Of casts for the same objects, only the newest one runs. Casts make no undo
    step.

    Args:
        names: a list of the names of the objects.
        transforms: a binary of little-endian float32, for each object 7 or 10 numbers: the location X, Y, Z in metres;
            the rotation W, X, Y, Z as a quaternion; and the scale X, Y, Z.
        given: the options `record_pose` and `at`, as for `set_pose`.
    """
    moment = recording.moment_of(options(given, recording.OPTIONS))
    wanted = live.names_in(names, "names")
    changed = [editable(object_named(name)) for name in wanted]
    table = live.rows(transforms, wanted, "object")
    frame = recording.frame_of(moment)
    for each, row in zip(changed, table.tolist(), strict=True):
        setting, rotation = rotations.from_quaternion(each, row[live.ROTATION])
        each.location = row[live.LOCATION]
        setattr(each, setting, rotation)
        if row[live.SCALE]:
            each.scale = row[live.SCALE]
        if frame is not None:
            columns = recording.object_columns(("location", setting, *(("scale",) if row[live.SCALE] else ())))
            recording.add(frame, each.name, columns, [*row[live.LOCATION], *rotation, *row[live.SCALE]])
    return len(changed)
