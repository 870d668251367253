"""Handlers that do harm: one table of cases for the tests in a plain program, in a Blender without and with a window.

A handler must never cost more than its own call. Each case says what its caller gets; `tests` check that, and then that
an honest call is answered.

This file is loaded into the program that runs the handlers, with `register(server)`; the tests import it, too.
"""

import contextlib
import gc
import os
import re
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Generator, Iterator
from typing import Any, NamedTuple

from beam_bpy import Atom, BeamServer, ErlangError, ErlangExit, ErlangThrow, get_beam_server

ANY = "any"
"""The caller gets an answer, and the case does not say which."""


class Case(NamedTuple):
    """One handler.

    Attributes:
        function: the handler, without parameters.
        answer: what its caller gets: the type of a Python exception, "value" for any value, a class of Erlang's
            exceptions, "noconnection", or `ANY`.
        disconnects: True if the server stops, so that the connection ends after the answer.
    """

    function: Callable[[], Any]
    answer: str
    disconnects: bool = False


def raises(error: Any) -> Callable[[], Any]:
    """A handler that raises an exception."""

    def fail() -> None:
        raise error

    return fail


# -- exceptions


class WordlessError(Exception):
    def __str__(self) -> str:
        raise KeyboardInterrupt

    __repr__ = __str__


class LongError(Exception):
    def __str__(self) -> str:
        return "long" * 10_000_000


class SurrogateError(Exception):
    def __str__(self) -> str:
        return "\udc80\ud800"


class Text(str):
    __slots__ = ()

    def encode(self, *_arguments: Any, **_options: Any) -> bytes:
        raise SystemExit("no bytes")

    def __getitem__(self, _index: Any) -> str:
        raise SystemExit("no characters")


class TextError(Exception):
    def __str__(self) -> str:
        return Text("text")


class UntraceableError(Exception):
    @property
    def __traceback__(self) -> Any:  # type: ignore[override]
        raise SystemExit("no traceback")


class NotedError(Exception):
    @property
    def __notes__(self) -> Any:
        raise KeyboardInterrupt


class LyingError(Exception):
    @property
    def __class__(self) -> Any:
        raise SystemExit("no class")


class NamelessType(type):
    @property
    def __name__(cls) -> str:  # type: ignore[override]
        raise SystemExit("no name")

    @property
    def __module__(cls) -> str:  # type: ignore[override]
        raise SystemExit("no module")


class NamelessError(Exception, metaclass=NamelessType):
    pass


class UnhashableError(Exception):
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, _other: object) -> bool:
        raise SystemExit("not equal")


class OwnBaseError(BaseException):
    pass


def endless() -> Any:
    return endless()


def group() -> None:
    raise BaseExceptionGroup("several", [KeyboardInterrupt(), SystemExit(3), ExceptionGroup("inner", [ValueError()])])


def circular_cause() -> None:
    error = ValueError("circular")
    cause = KeyError("cause")
    error.__cause__, cause.__cause__ = cause, error
    raise error


def bad_notes() -> None:
    error = ValueError("noted")
    error.__notes__ = [object(), "\udc80", 5]  # type: ignore[list-item]
    raise error


def many_causes() -> None:
    error: BaseException = ValueError("first")
    for _ in range(5000):
        following = ValueError("next")
        following.__cause__ = error
        error = following
    raise error


def cancelled() -> None:
    import asyncio

    raise asyncio.CancelledError


def invalid_state() -> None:
    import asyncio

    raise asyncio.InvalidStateError


def warning_as_error() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.warn("a warning", stacklevel=1)


class Unprintable:
    def __repr__(self) -> str:
        raise SystemExit("no repr")


EXCEPTIONS = {
    "exception": Case(raises(Exception("plain")), "Exception"),
    "base_exception": Case(raises(OwnBaseError()), "OwnBaseError"),
    "keyboard_interrupt": Case(raises(KeyboardInterrupt()), "KeyboardInterrupt"),
    "system_exit": Case(lambda: sys.exit(3), "SystemExit"),
    "system_exit_odd": Case(raises(SystemExit(Unprintable())), "SystemExit"),
    "generator_exit": Case(raises(GeneratorExit()), "GeneratorExit"),
    "stop_iteration": Case(raises(StopIteration(5)), "StopIteration"),
    "stop_async_iteration": Case(raises(StopAsyncIteration()), "StopAsyncIteration"),
    "recursion": Case(endless, "RecursionError"),
    "memory": Case(lambda: bytearray(1 << 62), "MemoryError"),
    "wordless": Case(raises(WordlessError()), "WordlessError"),
    "long_text": Case(raises(LongError()), "LongError"),
    "surrogates": Case(raises(SurrogateError()), "SurrogateError"),
    "text_subclass": Case(raises(TextError()), "TextError"),
    "no_traceback": Case(raises(UntraceableError()), "UntraceableError"),
    "no_notes": Case(raises(NotedError()), "NotedError"),
    "no_class": Case(raises(LyingError()), "LyingError"),
    "no_name": Case(raises(NamelessError()), "NamelessError"),
    "no_hash": Case(raises(UnhashableError()), "UnhashableError"),
    "odd_syntax": Case(raises(SyntaxError("odd", ("file", 1, 1, 5))), "SyntaxError"),
    "not_an_exception": Case(raises(5), "TypeError"),
    "group": Case(group, "BaseExceptionGroup"),
    "circular_cause": Case(circular_cause, "ValueError"),
    "bad_notes": Case(bad_notes, "ValueError"),
    "many_causes": Case(many_causes, "ValueError"),
    "cancelled": Case(cancelled, "CancelledError"),
    "invalid_state": Case(invalid_state, "InvalidStateError"),
    "warning": Case(warning_as_error, "UserWarning"),
    "chosen_error": Case(raises(ErlangError(Atom("chosen"))), "error"),
    "chosen_exit": Case(raises(ErlangExit(Atom("chosen"))), "exit"),
    "chosen_throw": Case(raises(ErlangThrow(Atom("chosen"))), "throw"),
    "chosen_normal": Case(raises(ErlangExit(Atom("normal"))), "exit"),
    "chosen_without_term": Case(raises(ErlangError(Unprintable())), "EncodeError"),
}


# -- results


class ShortList(list[Any]):
    """It says that it has more elements than it has."""

    def __len__(self) -> int:
        return 1 << 20


class LongDict(dict[Any, Any]):
    """It says that it is empty, and that it has other items."""

    def __len__(self) -> int:
        return 0

    def items(self) -> Any:
        return [(1, 2), (1, 3)]


class NegativeList(list[Any]):
    def __len__(self) -> int:
        return -1


class RaisingList(list[Any]):
    def __iter__(self) -> Iterator[Any]:
        yield 1
        raise KeyboardInterrupt


class EndlessList(list[Any]):
    def __init__(self, *elements: Any) -> None:
        super().__init__(elements)
        self.asked = 0

    def __iter__(self) -> Iterator[Any]:
        return iter(())


class GrowingDict(dict[Any, Any]):
    def __iter__(self) -> Iterator[Any]:
        for key in list(super().__iter__()):
            self[object()] = 1
            yield key


class OddInt(int):
    def __int__(self) -> int:
        raise SystemExit("no int")

    __index__ = __int__

    def to_bytes(self, *_arguments: Any, **_options: Any) -> bytes:
        return b""

    def bit_length(self) -> int:
        return 1 << 40


def within_itself() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def deep(depth: int) -> list[Any]:
    """A list in a list in a list."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


async def later() -> int:
    return 1


def a_coroutine() -> Any:
    warnings.simplefilter("ignore", RuntimeWarning)
    return later()


def numbers() -> Generator[int, None, int]:
    yield 1
    return 2


RESULTS = {
    "no_term": Case(lambda: {"mesh": [1, Unprintable()]}, "EncodeError"),
    "a_class": Case(lambda: Unprintable, "EncodeError"),
    "within_itself": Case(within_itself, "EncodeError"),
    "too_deep": Case(lambda: deep(100_000), "EncodeError"),
    "not_a_number": Case(lambda: float("nan"), "EncodeError"),
    "surrogate": Case(lambda: "\udc80", "EncodeError"),
    "long_atom": Case(lambda: Atom("a" * 256), ANY),
    "short_list": Case(lambda: ShortList([1, 2]), ANY),
    "long_dict": Case(lambda: LongDict(a=1), ANY),
    "negative_list": Case(lambda: NegativeList([1]), ANY),
    "raising_list": Case(lambda: RaisingList([1]), ANY),
    "unlike_list": Case(lambda: EndlessList(1, 2), ANY),
    "growing_dict": Case(lambda: GrowingDict(a=1), ANY),
    "odd_int": Case(lambda: OddInt(1 << 70), ANY),
    "odd_text": Case(lambda: Text("text"), ANY),
    "equal_keys": Case(lambda: {1: "int", 1.5: "float", Atom("a"): 1, "a": 2}, "value"),
    "large": Case(lambda: b"x" * 64_000_000, "value"),
    "coroutine": Case(a_coroutine, ANY),
    "generator": Case(lambda: (number for number in range(3)), ANY),
    "generator_within": Case(lambda: [numbers()], ANY),
    "a_module": Case(lambda: sys, "EncodeError"),
    "a_lock": Case(threading.Lock, "EncodeError"),
}


# -- long handlers


def raises_in_close() -> Generator[int, None, None]:
    try:
        yield 1
        yield object()  # type: ignore[misc]
    finally:
        raise ValueError("in close")


def ignores_close() -> Generator[Any, None, None]:
    while True:
        with contextlib.suppress(GeneratorExit):
            yield Unprintable()


def yields_without_term() -> Generator[Any, None, int]:
    yield Unprintable()
    return 1


def yields_itself() -> Generator[Any, None, None]:
    me = gc.get_referrers(sys._getframe())
    yield me


def closes_itself() -> Generator[int, None, int]:
    yield 1
    raise StopIteration(5)


def ends_in_slice() -> Generator[int, None, int]:
    yield 1
    sys.exit(4)


def unregisters_in_slice() -> Generator[int, None, int]:
    yield 1
    get_beam_server().unregister_handler("unregisters_in_slice")
    yield 2
    return 3


def interrupts_in_slice() -> Generator[int, None, int]:
    yield 1
    raise KeyboardInterrupt


LONG = {
    "raises_in_close": Case(raises_in_close, "EncodeError"),
    "ignores_close": Case(ignores_close, "EncodeError"),
    "yields_without_term": Case(yields_without_term, "EncodeError"),
    "yields_itself": Case(yields_itself, "EncodeError"),
    "closes_itself": Case(closes_itself, "RuntimeError"),
    "ends_in_slice": Case(ends_in_slice, "SystemExit"),
    "unregisters_in_slice": Case(unregisters_in_slice, "error"),
    "interrupts_in_slice": Case(interrupts_in_slice, "KeyboardInterrupt"),
}


# -- actions on the server


def unregisters_itself() -> bool:
    return get_beam_server().unregister_handler("unregisters_itself")


def replaces_itself() -> int:
    get_beam_server().expose(name="replaces_itself")(lambda: "another")
    return 1


def unregisters_all() -> int:
    """As an add-on does that ends: without the honest handlers, which the tests call."""
    server = get_beam_server()
    made = [f"made_{number}" for number in range(100)]
    for name in made:
        server.expose(name=name, owner="made")(lambda: 1)
    return server.unregister_owner("made")


def registers_badly() -> None:
    get_beam_server().register_handler("", 5)  # type: ignore[arg-type]


def configures() -> None:
    get_beam_server().configure(port=1)


def restarts() -> bool:
    server = get_beam_server()
    server.stop()
    return server.start()


def restarts_elsewhere() -> bool:
    started: list[bool] = []
    thread = threading.Thread(target=lambda: started.append(restarts()))
    thread.start()
    thread.join(30)
    return started == [True]


def serves() -> None:
    get_beam_server().serve_forever()


def starts_again() -> bool:
    return get_beam_server().start()


def calls_itself() -> Any:
    server = get_beam_server()
    return server.call(server.node_name, "m", "honest", timeout=None)


def calls_inline() -> Any:
    server = get_beam_server()
    return server.call(server.node_name, "m", "honest_inline", timeout=10)


def starts_another() -> bool:
    with BeamServer(f"another_{os.getpid()}", "another_cookie") as server:
        return server.running


def long_restart() -> Generator[int, None, bool]:
    yield 1
    restarts()
    yield 2
    return True


ACTIONS = {
    "unregisters_itself": Case(unregisters_itself, "value"),
    "replaces_itself": Case(replaces_itself, "value"),
    "unregisters_all": Case(unregisters_all, "value"),
    "registers_badly": Case(registers_badly, ANY),
    "configures": Case(configures, "RuntimeError"),
    "serves": Case(serves, "RuntimeError"),
    "starts_again": Case(starts_again, "value"),
    "calls_itself": Case(calls_itself, "RuntimeError"),
    "calls_inline": Case(calls_inline, "value"),
    "starts_another": Case(starts_another, "value"),
    "restarts": Case(restarts, "value", disconnects=True),
    "long_restart": Case(long_restart, "exit", disconnects=True),
    "restarts_elsewhere": Case(restarts_elsewhere, "value", disconnects=True),
}


# -- actions on the program


def closes_output() -> None:
    sys.stdout.close()


def removes_output() -> None:
    sys.stdout = sys.stderr = None  # type: ignore[assignment]


def changes_folder() -> str:
    os.chdir("/")
    return os.getcwd()


def lowers_recursion_limit() -> None:
    depth = 0
    frame: Any = sys._getframe()
    while frame is not None:
        depth, frame = depth + 1, frame.f_back
    sys.setrecursionlimit(depth + 8)


def raises_recursion_limit() -> int:
    sys.setrecursionlimit(20_000)
    return sys.getrecursionlimit()


def profiles() -> None:
    sys.setprofile(None)
    sys.settrace(None)
    gc.disable()
    gc.enable()


def forks() -> int:
    child = os.fork()
    if not child:
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def forgets_a_thread() -> None:
    def fail() -> None:
        raise SystemExit("in a thread")

    threading.Thread(target=fail, daemon=True).start()


PROGRAM = {
    "closes_output": Case(closes_output, "value"),
    "removes_output": Case(removes_output, "value"),
    "changes_folder": Case(changes_folder, "value"),
    "lowers_recursion_limit": Case(lowers_recursion_limit, ANY),
    "raises_recursion_limit": Case(raises_recursion_limit, "value"),
    "profiles": Case(profiles, "value"),
    "forks": Case(forks, "value"),
    "forgets_a_thread": Case(forgets_a_thread, "value"),
}

CASES: dict[str, Case] = {**EXCEPTIONS, **RESULTS, **LONG, **ACTIONS, **PROGRAM}
"""The cases for every program. Those that change the program come last."""


# -- actions on Blender

EXTENSION = "bl_ext.user_default.beam_bpy"


def opens_file() -> str:
    import bpy

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "opened.blend")
        bpy.ops.wm.save_as_mainfile(filepath=path, copy=True)
        bpy.ops.wm.open_mainfile(filepath=path)
    return path


def new_file() -> None:
    import bpy

    bpy.ops.wm.read_homefile()


def new_empty_file() -> None:
    import bpy

    bpy.ops.wm.read_homefile(use_empty=True)


def fails_after_new_file() -> None:
    new_file()
    raise ValueError("after a new file")


def long_new_file() -> Generator[int, None, int]:
    """Load files while its context, that of its first slice, is gone."""
    yield 1
    new_file()
    yield 2
    new_empty_file()
    return 3


def undoes() -> None:
    import bpy

    bpy.ops.ed.undo_push(message="pushed")
    for operator in (bpy.ops.ed.undo, bpy.ops.ed.redo):
        if operator.poll():
            operator()


def deletes_everything() -> int:
    import bpy

    bpy.ops.wm.read_homefile()
    collections = (bpy.data.objects, bpy.data.meshes, bpy.data.materials, bpy.data.cameras, bpy.data.collections)
    found: list[Any] = [block for blocks in collections for block in blocks]
    bpy.data.batch_remove(found)
    return len(bpy.data.objects)


def deletes_scene() -> int:
    import bpy

    other = bpy.data.scenes.new("Other")
    for scene in list(bpy.data.scenes):
        if scene != other:
            bpy.data.scenes.remove(scene)
    return len(bpy.data.scenes)


def leaves_edit_mode() -> str:
    """Leave the object in Edit Mode, and its datablock removed."""
    import bpy

    bpy.ops.wm.read_homefile()
    bpy.ops.mesh.primitive_cube_add()
    bpy.ops.object.mode_set(mode="EDIT")
    mode: str = bpy.context.mode
    bpy.data.meshes.remove(bpy.context.object.data)
    return mode


def fails_in_timers() -> None:
    import bpy

    def fail() -> None:
        raise ValueError("in a timer")  # A SystemExit would end Blender.

    bpy.app.timers.register(fail, first_interval=0.0)
    if bpy.app.background:  # Blender never calls it there, and the bpy module does not end while it has timers.
        bpy.app.timers.unregister(fail)


def clears_app_handlers() -> None:
    import bpy

    for name in ("load_pre", "load_post", "undo_post", "depsgraph_update_post"):
        getattr(bpy.app.handlers, name).clear()


def deletes_properties() -> None:
    import bpy

    del bpy.types.WindowManager.beam_bpy


def unregisters_classes() -> None:
    import bpy

    for class_ in (*bpy.types.Panel.__subclasses__(), *bpy.types.PropertyGroup.__subclasses__()):
        if class_.__module__.startswith(EXTENSION) and class_.is_registered:
            bpy.utils.unregister_class(class_)


def enables_again() -> bool:
    """Disable and enable the extension, which has lost its classes."""
    import bpy

    bpy.ops.preferences.addon_disable(module=EXTENSION)
    return bpy.ops.preferences.addon_enable(module=EXTENSION) == {"FINISHED"}


def disables() -> None:
    import bpy

    bpy.ops.preferences.addon_disable(module=EXTENSION)


def removes_preferences() -> None:
    import bpy

    addons = bpy.context.preferences.addons
    addon = addons.get(EXTENSION)
    if addon is not None:
        addons.remove(addon)


def reloads_scripts() -> None:
    import bpy

    bpy.ops.script.reload()


def loads_factory_settings() -> str:
    import bpy

    bpy.ops.wm.read_factory_settings(use_empty=True)
    return "factory"


def long_factory_settings() -> Generator[int, None, str]:
    yield 1
    loads_factory_settings()
    return "factory"


def fails_after_factory_settings() -> None:
    loads_factory_settings()
    raise ValueError("after the factory settings")


def loads_preferences() -> None:
    import bpy

    bpy.ops.wm.read_userpref()


def loads_factory_preferences() -> None:
    import bpy

    bpy.ops.wm.read_factory_userpref()


BLENDER = {
    "opens_file": Case(opens_file, "value"),
    "new_file": Case(new_file, "value"),
    "new_empty_file": Case(new_empty_file, "value"),
    "fails_after_new_file": Case(fails_after_new_file, "ValueError"),
    "long_new_file": Case(long_new_file, "value"),
    "undoes": Case(undoes, "value"),
    "deletes_everything": Case(deletes_everything, "value"),
    "deletes_scene": Case(deletes_scene, "value"),
    "leaves_edit_mode": Case(leaves_edit_mode, ANY),
    "fails_in_timers": Case(fails_in_timers, "value"),
    "clears_app_handlers": Case(clears_app_handlers, "value"),
    "deletes_properties": Case(deletes_properties, "value"),
    "unregisters_classes": Case(unregisters_classes, "value"),
    "enables_again": Case(enables_again, "value", disconnects=True),
    "removes_preferences": Case(removes_preferences, "value"),
    "disables": Case(disables, "value", disconnects=True),
    "enables_after": Case(enables_again, "value", disconnects=True),
    "loads_factory_settings": Case(loads_factory_settings, "value", disconnects=True),
    "long_factory_settings": Case(long_factory_settings, "value", disconnects=True),
    "fails_after_factory_settings": Case(fails_after_factory_settings, "ValueError", disconnects=True),
}
"""The cases for Blender. Those that end the extension come last."""

BLENDER_PROGRAM = {
    "reloads_scripts": Case(reloads_scripts, "value", disconnects=True),
    "loads_preferences": Case(loads_preferences, "value", disconnects=True),
    "loads_factory_preferences": Case(loads_factory_preferences, "value", disconnects=True),
}
"""The cases for the Blender program only. The bpy module does not end after `script.reload`, and the bpy module 4.2
crashes when it loads the preferences, both also without our code."""

QUICK = (*EXCEPTIONS, *RESULTS)
"""The cases that also have an inline handler, `NAME_inline`, and a long one, `NAME_long`."""


def _as_long(function: Callable[[], Any]) -> Callable[[], Any]:
    def long() -> Generator[int, None, Any]:
        yield 1
        return function()

    return long


def expected(name: str, way: str) -> str:
    """The answer of a case that is called as its own handler (""), inline or long."""
    if name == "stop_iteration" and way == "_long":
        return "RuntimeError"  # Python makes this of a StopIteration that leaves a generator.
    return CASES[name].answer


def calls_in_blender(*, program: bool) -> dict[str, Case]:
    """All handlers that are called in Blender, in their order.

    Args:
        program: True for the Blender program, False for the bpy module.
    """
    long = {f"{name}_long": Case(case.function, expected(name, "_long")) for name, case in EXCEPTIONS.items()}
    first = {name: case for name, case in CASES.items() if name not in PROGRAM}
    return {**first, **long, **BLENDER, **(BLENDER_PROGRAM if program else {}), **PROGRAM}


def register(server: BeamServer) -> None:
    """Register all cases, and two honest handlers."""
    server.expose(name="honest")(lambda: "pong")
    server.expose(name="honest_inline", inline=True)(lambda: "pong")
    cases = CASES if "bpy" not in sys.modules else {**CASES, **BLENDER, **BLENDER_PROGRAM}
    for name, case in cases.items():
        server.expose(name=name)(case.function)
        if name in QUICK:
            server.expose(name=f"{name}_inline", inline=True)(case.function)
            server.expose(name=f"{name}_long")(_as_long(case.function))


_TRACEBACK = re.compile(
    r'(^Exception ignored.*\n)?Traceback \(most recent call last\):\n\s*File "([^"]*)"', re.MULTILINE
)

_OWN_FILES = re.compile(r"/(beam_bpy|beam_bpy_addon|vendor_term_codec)/|/threading\.py$")


def own_faults(log: str) -> list[str]:
    """The signs in a log that our own code has failed: tracebacks that begin in it, and its own messages."""
    # Python reports a generator that ignores GeneratorExit once more, with the line at which it was freed.
    tracebacks = [path for ignored, path in _TRACEBACK.findall(log) if not ignored and _OWN_FILES.search(path)]
    sentences = [line for line in log.splitlines() if "this program's own" in line or "Fatal Python error" in line]
    return tracebacks + sentences
