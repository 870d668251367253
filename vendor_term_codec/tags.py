"""The tags of the External Term Format. The ERTS user's guide, chapter "External Term Format", gives their names."""

VERSION = 131
COMPRESSED = 80

SMALL_INTEGER = 97
INTEGER = 98
SMALL_BIG = 110
LARGE_BIG = 111
FLOAT = 99
NEW_FLOAT = 70

ATOM = 100
SMALL_ATOM = 115
ATOM_UTF8 = 118
SMALL_ATOM_UTF8 = 119
ATOM_CACHE_REF = 82

PORT = 102
NEW_PORT = 89
V4_PORT = 120
PID = 103
NEW_PID = 88
REFERENCE = 101
NEW_REFERENCE = 114
NEWER_REFERENCE = 90

SMALL_TUPLE = 104
LARGE_TUPLE = 105
MAP = 116
NIL = 106
STRING = 107
LIST = 108
BINARY = 109
BIT_BINARY = 77

FUN = 117
NEW_FUN = 112
EXPORT = 113
LOCAL = 121

NAMES = {value: f"{name}_EXT" for name, value in list(globals().items()) if isinstance(value, int)}
NAMES[COMPRESSED] = "COMPRESSED"
NAMES[ATOM_CACHE_REF] = "ATOM_CACHE_REF"
del NAMES[VERSION]


def describe(tag: int) -> str:
    """Return the name and the number of `tag`, such as "LIST_EXT (108)", or "tag 1" for an unknown tag."""
    return f"{NAMES.get(tag, 'tag')} ({tag})" if tag in NAMES else f"tag {tag}"
