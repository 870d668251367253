"""Descriptions of handlers, which every node gives to callers of `describe_handlers`."""

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

from beam_bpy.calls.handlers import Handler
from beam_bpy.erlang_variant import ErlangVariantEncoder
from beam_bpy.failures import valid_text
from vendor_term_codec import Atom, decode_term

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def describe(handler: Handler, encoder: ErlangVariantEncoder) -> dict[Atom, Any]:
    """A map with the atoms `name`, `module`, `owner`, `doc`, `parameters`, `returns` and `options` as keys.

    `parameters` is a list of maps with the keys `name`, `kind` (`positional`, or `variadic` for any number of
    arguments), `type` (the annotation as text, or nil), `required` and, for an optional parameter, `default`.
    `returns` is the annotation of the result as text, or nil. `options` is a map of the handler's options.

    A function of an application is described whatever it says of itself, so that one function cannot hide the others.
    """
    return _map(
        name=handler.name,
        module=handler.module,
        owner=_default(handler.owner, encoder),
        doc=_doc(handler),
        parameters=[*parameters_of(handler, encoder)],
        returns=_returns(handler),
        options=_map(
            inline=handler.inline,
            binaries=Atom(handler.binaries.__name__),
            arrays=handler.arrays,
            undo=handler.undo,
            changes_scene=handler.changes_scene or handler.undo,
            safe_during_jobs=handler.safe_during_jobs,
            max_wait=handler.max_wait,
            latest=handler.latest is not None,
            after_tick=handler.after_tick is not None,
            long=handler.long,
        ),
    )


def parameters_of(handler: Handler, encoder: ErlangVariantEncoder) -> Iterator[dict[Atom, Any]]:
    """The parameters that a caller can give; see `describe`."""
    parameters = signature_of(handler)
    if not handler.spread or parameters is None:
        yield _map(name="args", kind=Atom("variadic"), type=None, required=False)
        return
    for parameter in parameters:
        variadic = parameter.kind is inspect.Parameter.VAR_POSITIONAL
        optional = variadic or parameter.default is not inspect.Parameter.empty
        described = _map(
            name=parameter.name,
            kind=Atom("variadic" if variadic else "positional"),
            type=_annotation(parameter.annotation),
            required=not optional,
        )
        if optional and not variadic:
            described[Atom("default")] = _default(parameter.default, encoder)
        yield described


def signature_of(handler: Handler) -> list[inspect.Parameter] | None:
    """The parameters that a caller can give; None for a function written in C that has no signature."""
    try:
        parameters = inspect.signature(handler.function).parameters.values()
    except Exception:  # noqa: BLE001 - an object's __signature__ may raise anything
        return None
    return [one for one in parameters if one.kind in (*_POSITIONAL, inspect.Parameter.VAR_POSITIONAL)]


def _returns(handler: Handler) -> str | None:
    try:
        return _annotation(inspect.signature(handler.function).return_annotation)
    except Exception:  # noqa: BLE001 - an object's __signature__ may raise anything
        return None


def _doc(handler: Handler) -> str | None:
    try:
        doc = inspect.getdoc(_documented(handler.function))
    except Exception:  # noqa: BLE001 - an object's __doc__ may raise anything
        return None
    return doc and valid_text(doc)


def _documented(function: Callable[..., Any]) -> Any:
    """The object whose docstring is that of a handler: a partial and an instance would have that of their class."""
    while isinstance(function, functools.partial):
        function = function.func
    if inspect.isroutine(function) or inspect.isclass(function):
        return function
    call = type(function).__call__
    return call if call.__doc__ else function


def _annotation(annotation: Any) -> str | None:
    if annotation is inspect.Parameter.empty:
        return None
    if isinstance(annotation, str):
        return valid_text(annotation)
    return _shown(annotation, inspect.formatannotation)


def _default(value: Any, encoder: ErlangVariantEncoder) -> Any:
    """A value with the codec's types only, or its text if it has no term."""
    try:
        return decode_term(encoder.encode_term(value), binaries=bytes)[0]
    except Exception:  # noqa: BLE001 - a converter may raise anything
        return _shown(value, repr)


def _shown(value: Any, show: Callable[[Any], str]) -> str:
    try:
        return valid_text(show(value))
    except Exception:  # noqa: BLE001 - a __repr__ may raise anything
        return f"a {type(value).__name__}"


def _map(**items: Any) -> dict[Atom, Any]:
    return {Atom(key): value for key, value in items.items()}
