"""Changes that one call makes in Blender. A call that fails takes all of them back.

Every handler follows these rules:

    It checks all arguments before it changes anything.
    It makes its changes with a `Changes`, so that a failed call leaves no datablock and no changed setting.
    A setting that it needs only while it runs has its former value afterwards, whether the call fails or not.
    It reads data that is up to date; see `evaluated`.
    It returns names as Blender stores them, and absolute paths.
    A file that it writes appears complete or not at all; see `files`.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import bpy
from idprop.types import IDPropertyArray, IDPropertyGroup


class Changes:
    """The changes of one call, and how to take them back."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def new(self, blocks: Any, *arguments: Any, **keywords: Any) -> Any:
        """Create a datablock in a collection of `bpy.data`. Return it.

        Args:
            blocks: the collection, such as `bpy.data.meshes`.
            arguments, keywords: the arguments of its function `new`.
        """
        made = blocks.new(*arguments, **keywords)
        self._stack.callback(blocks.remove, made)
        return made

    def set(self, owner: Any, name: str, value: Any) -> None:
        """Set a property.

        Args:
            owner: the datablock or struct with the property.
            name: the property.
            value: the new value.
        """
        # Properties of add-ons, such as those of Cycles, can have no value of their own.
        unset = not owner.is_property_set(name)
        before = _copied(getattr(owner, name))
        setattr(owner, name, value)
        if unset:
            self._stack.callback(owner.property_unset, name)
        else:
            self._stack.callback(setattr, owner, name, before)

    def set_item(self, owner: Any, key: Any, value: Any) -> None:
        """Set a custom property, or one number of a vector or an array.

        Args:
            owner: the datablock or struct with the custom property; or the vector.
            key: the name of the custom property; or the index.
            value: the new value.
        """
        is_new = isinstance(key, str) and key not in owner.keys()  # noqa: SIM118 - it has no other iterator.
        before = None if is_new else _stored(owner[key])
        if is_new:
            self._stack.callback(owner.pop, key, None)
        else:
            self._stack.callback(owner.__setitem__, key, before)
        owner[key] = value

    def keep(self, *owners: Any) -> None:
        """Remember all properties of structs, for changes that Blender makes by itself.

        For example, Blender changes the colour depth if the file format changes.
        """
        for owner in owners:
            self._stack.callback(_restore, owner, _settings(owner))

    def on_undo(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Call a function when the changes are taken back. The last function is called first."""
        self._stack.callback(function, *arguments)


@contextmanager
def changes(*, temporary: bool = False) -> Iterator[Changes]:
    """Make changes in the `with` block. If it ends with an exception, take them back.

    Args:
        temporary: True: also take them back if the block ends normally. Default False.
    """
    with ExitStack() as stack:
        yield Changes(stack)
        if not temporary:
            stack.pop_all()


def _copied(value: Any) -> Any:
    """Return a copy of the value of a property, because Blender's vectors and arrays change with the property."""
    if isinstance(value, bpy.types.bpy_prop_array):
        return [_copied(item) for item in value]
    return value.copy() if hasattr(value, "copy") and not isinstance(value, bpy.types.bpy_struct) else value


def _stored(value: Any) -> Any:
    """Return a copy of the value of a custom property."""
    items: Any = value
    if isinstance(value, IDPropertyGroup):
        return {key: _stored(item) for key, item in items.items()}
    return [_stored(item) for item in items] if isinstance(value, list | IDPropertyArray) else value


_Settings = dict[str, Any]
"""The values of the properties of a struct; that of a struct in this struct is such a dict, too."""


def _settings(owner: Any) -> _Settings:
    found: _Settings = {}
    properties: Any = owner.bl_rna.properties
    for definition in properties:
        name = definition.identifier
        if name == "rna_type" or definition.type == "COLLECTION":
            continue
        value = getattr(owner, name)
        if isinstance(value, bpy.types.bpy_struct) and not isinstance(value, bpy.types.ID):
            found[name] = _settings(value)
        elif not definition.is_readonly:
            found[name] = _copied(value)
    return found


def _restore(owner: Any, settings: _Settings) -> None:
    # Some values are possible only if another property has its value: a colour depth belongs to a file format.
    # The properties come in the order of their dependence, except for those that Blender changes again.
    for _ in range(2):
        for name, value in settings.items():
            # Get each struct from its owner: Blender creates some of them anew.
            now = getattr(owner, name)
            if isinstance(now, bpy.types.bpy_struct) and isinstance(value, dict):
                _restore(now, value)
            elif _copied(now) != value:
                # Blender can have a value that it does not accept, such as one of an add-on that is disabled.
                with suppress(TypeError, AttributeError):
                    setattr(owner, name, value)
