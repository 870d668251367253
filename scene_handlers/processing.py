"""A handler that opens a file from a stranger, and calls other handlers with it."""

import inspect
from collections.abc import Callable, Generator
from typing import Any, NamedTuple

from .assets.opening import OPENING, Content, content, opened
from .groups import INSPECTING, LIVE, LOADING, STEPS
from .support.arguments import Options, choice, options, shown

_MOST_STEPS = 1000

Progress = Generator[tuple[int, int, Any], None, list[Any]]
"""A long call. It yields the number of finished steps, that of all steps, and the progress of the running step."""


class _Step(NamedTuple):
    """A step whose arguments fit the parameters of its handler.

    Attributes:
        place: which step it is, for error messages, such as `step 2 (decimate)`.
    """

    place: str
    handler: Callable[..., Any]
    arguments: list[Any]


def process_bytes(data: bytes, steps: list[Any], given: Options = None) -> Progress:
    """Open the content of a file in an empty Blender, and call handlers in order. Return the list of their results.

    This is a long call. It yields (number of finished steps, number of all steps, progress of the running step or nil).

    The current file is replaced by an empty one, before and after, also if a step fails or the caller goes away. Only a
    file that is refused before Blender reads it leaves the current one as it is. Nothing of a file reaches the next
    one. Scripts in files and Python drivers never run. While the call runs, this Blender refuses other calls of this
    handler, and of the others that replace the current file.

    Args:
        data: the content of the file: one of the formats of `import_file`, or a .blend file.
        steps: a list of {handler, arguments}, such as {"export_bytes", ["glb"]}. The handlers are those of Scene
            Handlers, but not move_vertices and those that replace the current file.
        given: the options
            format: the format of the file, also blend; default that of its content.
            discard: see `new_file`.
            external: True: a .blend file may load other files, by their absolute paths. Default False: libraries are
                refused, and other files are left out as if they were missing.
            max_bytes, max_unpacked, max_pixels, max_seconds: see `limits`.

    Raises:
        ValueError: a step is wrong; the file is invalid, breaks a limit, or needs other files; or the user has unsaved
            changes.
        TimeoutError: a step has ended after the time limit.
        RuntimeError: another call works with a file of its own.
        Exception: the error of a step, whose message begins with the step.
    """
    chosen = options(given, OPENING)
    wanted = _checked(steps)
    file = content(data, chosen)
    results: list[Any] = []
    with opened(file):
        for step in wanted:
            yield len(results), len(wanted), None
            results.append((yield from _run(step, len(results), len(wanted), file)))
            file.limit.check_time()
        return results


def _checked(steps: Any) -> list[_Step]:
    if not isinstance(steps, list | tuple) or len(steps) > _MOST_STEPS:
        raise ValueError(f"the steps have to be a list of at most {_MOST_STEPS} steps, not {shown(steps)}")
    return [_step(number, each) for number, each in enumerate(steps, 1)]


def _step(number: int, given: Any) -> _Step:
    if not isinstance(given, list | tuple) or len(given) != 2 or not isinstance(given[1], list | tuple):
        raise ValueError(f"step {number} has to be {{handler, list of arguments}}, not {shown(given)}")
    handler = choice(given[0], STEPS, f"handler for step {number}")
    place = f"step {number} ({handler.__name__})"
    # These take binaries as they are. The others expect text, as in a call of their own.
    takes_binaries = handler in (*LOADING, *LIVE, *INSPECTING)
    arguments = list(given[1]) if takes_binaries else [_plain(each) for each in given[1]]
    try:
        inspect.signature(handler).bind(*arguments)
    except TypeError as error:
        raise ValueError(f"{place}: {error}") from None
    return _Step(place, handler, arguments)


def _plain(value: Any) -> Any:
    """Return an argument whose binaries are text if they are UTF-8."""
    if isinstance(value, memoryview):
        held = bytes(value)
        try:
            return held.decode()
        except UnicodeDecodeError:
            return held
    if isinstance(value, dict):
        return {_plain(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_plain(each) for each in value)
    return value


def _run(step: _Step, done: int, all_: int, file: Content) -> Generator[tuple[int, int, Any], None, Any]:
    try:
        result = step.handler(*step.arguments)
        if not inspect.isgenerator(result):
            return result
        try:
            while True:
                progress = next(result)
                file.limit.check_time()
                yield done, all_, progress
        except StopIteration as end:
            return end.value
        finally:
            result.close()
    except Exception as error:
        error.args = (f"{step.place}: {error}",)
        raise
