"""Names of modules, as Elixir and Erlang programmers write them.

One rule holds for `BeamServer.call`, for the option `module` of a handler and for the command line: a name that begins
with a capital letter is an Elixir module, `Enum` as well as `Elixir.Enum`. Any other name is an Erlang module, `lists`.
An `Atom` is taken as it is, for an Erlang module whose name begins with a capital letter.
"""

from vendor_term_codec import Atom

ELIXIR_PREFIX = "Elixir."
"""The prefix of the name of each Elixir module: `Blender` is the atom 'Elixir.Blender'."""


def full_module(module: str) -> Atom:
    """The atom that a module is on the BEAM: 'Elixir.Enum' for `Enum`."""
    if isinstance(module, Atom) or not module[:1].isupper():
        return Atom(module)
    return Atom(ELIXIR_PREFIX + plain_module(module))


def plain_module(module: str) -> str:
    """The name without Elixir's prefix: `Enum` for `Elixir.Enum`."""
    return module.removeprefix(ELIXIR_PREFIX)
