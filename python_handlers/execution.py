"""Run source text as a notebook does: the value of its last expression is the result."""

import ast
import contextlib
import linecache
import sys
import threading
import types
from collections.abc import Iterator
from typing import Any

from beam_bpy import Atom, EncodeError, ErlangError, ErlangVariantEncoder, python_error

from . import arguments
from .output import Output, captured

FILE = "<run_python>"
"""The name of the source text in tracebacks."""

_lock = threading.RLock()
"""One call at a time, because each replaces the standard streams. A program may have several servers."""

_RESULT = "the result"
"""The variable of the result. It is no identifier, so no code can use the name."""


def run(code: Any, given: arguments.Map, options: arguments.Map, encoder: ErlangVariantEncoder) -> dict[Any, Any]:
    """Run code; for the arguments and the result see `run_python`.

    Args:
        code: the source text.
        given: the variables.
        options: the options.
        encoder: checks that the result has a term.

    Raises:
        ValueError: an argument or an option cannot be used.
        ErlangError: the code has failed.
    """
    text, variables, limit = arguments.source(code), arguments.variables(given), arguments.max_output(options)
    failure = None
    with _lock, captured(limit) as output, _interpreter(text) as main:
        try:
            main.__dict__.update(variables)
            result = _value(text, main.__dict__)
            _check_result(result, encoder)
        except BaseException as error:  # noqa: BLE001 - SystemExit and KeyboardInterrupt, too, end only this call
            failure = _failure(error, output)
    # Not in the block above: an exception that is handled there would keep the objects of the code alive.
    if failure is not None:
        raise failure
    return {Atom("result"): result, Atom("output"): output.text()}


def _value(text: str, namespace: dict[str, Any]) -> Any:
    """Run code in a namespace; return the value of its last statement if that is an expression, otherwise None."""
    tree = ast.parse(text, FILE)
    if tree.body and isinstance(last := tree.body[-1], ast.Expr):
        target = ast.copy_location(ast.Name(_RESULT, ast.Store()), last)
        tree.body[-1] = ast.copy_location(ast.Assign([target], last.value), last)
    exec(compile(tree, FILE, "exec", dont_inherit=True), namespace)  # noqa: S102 - the purpose of this extension
    return namespace.pop(_RESULT, None)


def _check_result(result: Any, encoder: ErlangVariantEncoder) -> None:
    """Encode the result, so that the error of a result without a term comes with the output of the code.

    Raises:
        EncodeError: it has no term.
    """
    try:
        encoder.encode_term(result)
    except EncodeError as error:
        raise EncodeError(
            f"the value of the last expression has no Erlang term ({error}): let the code end with a value that has "
            "one, such as a name or a list of numbers"
        ) from None


@contextlib.contextmanager
def _interpreter(text: str) -> Iterator[types.ModuleType]:
    """Give code a module of its own, with the name of a script and with bpy, and restore the interpreter after it.

    The module is `sys.modules["__main__"]`, as for a script in Blender's text editor: dataclasses and pickle look there
    for the module of a class.
    """
    main, former, limit = types.ModuleType("__main__"), sys.modules.get("__main__"), sys.getrecursionlimit()
    if "bpy" in sys.modules:
        main.__dict__["bpy"] = sys.modules["bpy"]
    sys.modules["__main__"] = main
    # With None as the time, linecache does not look for a file of this name.
    linecache.cache[FILE] = (len(text), None, text.splitlines(keepends=True), FILE)
    try:
        yield main
    finally:
        sys.setrecursionlimit(limit)
        linecache.cache.pop(FILE, None)
        sys.modules.pop("__main__", None)
        if former is not None:
            sys.modules["__main__"] = former


def _failure(error: BaseException, output: Output) -> ErlangError:
    """The error of a call whose code has raised an exception. Its traceback begins in the code."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename != FILE:
        trace = trace.tb_next
    word, details = python_error(error.with_traceback(trace))
    return ErlangError((word, {**details, Atom("output"): output.text()}))
