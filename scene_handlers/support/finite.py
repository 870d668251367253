"""A check of coordinates in files. Blender's importers silently replace those that are not finite numbers by zeros."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def check_finite(numbers: NDArray[Any]) -> None:
    """Check coordinates of a file.

    Raises:
        ValueError: one of them is infinite or not a number.
    """
    if not np.isfinite(numbers).all():
        raise ValueError("the file has a coordinate that is not a finite number")
