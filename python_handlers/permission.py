"""Whether this program allows its callers to run Python.

The command line and the environment variable have precedence over the preference in Blender. Without all three, it is
not allowed.
"""

import sys

from beam_bpy import Atom, BeamServer, ErlangError

SENTENCE = (
    "this program does not allow BEAM nodes to run Python. Its user can allow it: in Blender with the checkbox in "
    "Preferences, Add-ons, Python Handlers; without a window with the option --allow-python of `serve`, or with the "
    "environment variable BPY_BEAM_ALLOW_PYTHON=yes"
)


def check(server: BeamServer) -> None:
    """Check that callers may run Python.

    Raises:
        ErlangError: they may not. The reason is `{not_allowed, Sentence}`.
    """
    given = server.allow_python
    if not (_preference() if given is None else given):
        raise ErlangError((Atom("not_allowed"), SENTENCE))


def _preference() -> bool:
    if "bpy" not in sys.modules:
        return False
    from . import preferences

    return preferences.allowed()
