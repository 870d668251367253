"""The capability flags that two nodes exchange in the handshake.

Source: ERTS user's guide, chapter "Distribution Protocol", section "Distribution Flags". A connection uses the
capabilities whose flags both nodes set.
"""

from enum import IntFlag


class Flag(IntFlag):
    """The flags, by the names of the ERTS user's guide without the prefix `DFLAG_`."""

    PUBLISHED = 0x1
    ATOM_CACHE = 0x2
    EXTENDED_REFERENCES = 0x4
    DIST_MONITOR = 0x8
    FUN_TAGS = 0x10
    DIST_MONITOR_NAME = 0x20
    HIDDEN_ATOM_CACHE = 0x40
    NEW_FUN_TAGS = 0x80
    EXTENDED_PIDS_PORTS = 0x100
    EXPORT_PTR_TAG = 0x200
    BIT_BINARIES = 0x400
    NEW_FLOATS = 0x800
    UNICODE_IO = 0x1000
    DIST_HDR_ATOM_CACHE = 0x2000
    SMALL_ATOM_TAGS = 0x4000
    UTF8_ATOMS = 0x10000
    MAP_TAG = 0x20000
    BIG_CREATION = 0x40000
    SEND_SENDER = 0x80000
    BIG_SEQTRACE_LABELS = 0x100000
    EXIT_PAYLOAD = 0x400000
    FRAGMENTS = 0x800000
    HANDSHAKE_23 = 0x1000000
    UNLINK_ID = 0x2000000
    MANDATORY_25_DIGEST = 1 << 36
    SPAWN = 1 << 32
    NAME_ME = 1 << 33
    V4_NC = 1 << 34
    ALIAS = 1 << 35
    ALTACT_SIG = 1 << 37


MANDATORY_BEFORE_25 = (
    Flag.EXTENDED_REFERENCES
    | Flag.FUN_TAGS
    | Flag.EXTENDED_PIDS_PORTS
    | Flag.UTF8_ATOMS
    | Flag.NEW_FUN_TAGS
    | Flag.BIG_CREATION
    | Flag.NEW_FLOATS
    | Flag.MAP_TAG
    | Flag.EXPORT_PTR_TAG
    | Flag.BIT_BINARIES
    | Flag.HANDSHAKE_23
)
"""The flags that OTP 25 made mandatory. This node refuses a peer that does not set all of them."""

OURS = (
    MANDATORY_BEFORE_25
    | Flag.UNICODE_IO
    | Flag.DIST_MONITOR
    | Flag.DIST_MONITOR_NAME
    | Flag.SMALL_ATOM_TAGS
    | Flag.SEND_SENDER
    | Flag.BIG_SEQTRACE_LABELS
    | Flag.EXIT_PAYLOAD
    | Flag.FRAGMENTS
    | Flag.UNLINK_ID
    | Flag.MANDATORY_25_DIGEST
    | Flag.SPAWN
    | Flag.V4_NC
    | Flag.ALIAS
)
"""The flags of this node. `PUBLISHED` is not set, so BEAM nodes treat it as a hidden node, like a C node."""


def expand(flags: int) -> Flag:
    """Return the flags in `flags` that this module knows.

    MANDATORY_25_DIGEST implies all flags in `MANDATORY_BEFORE_25`, so they are added if it is set.
    Source: section "Distribution Flags", DFLAG_MANDATORY_25_DIGEST.
    """
    known = Flag(flags & _ALL)
    return known | MANDATORY_BEFORE_25 if Flag.MANDATORY_25_DIGEST in known else known


_ALL = sum(Flag)
