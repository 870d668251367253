"""The capability flags, against the table in "Distribution Flags" of the ERTS user's guide."""

import pytest

from beam_bpy.protocol.flags import MANDATORY_BEFORE_25, OURS, Flag, expand

MANDATORY = {
    "EXTENDED_REFERENCES": 0x4,
    "FUN_TAGS": 0x10,
    "NEW_FUN_TAGS": 0x80,
    "EXTENDED_PIDS_PORTS": 0x100,
    "EXPORT_PTR_TAG": 0x200,
    "BIT_BINARIES": 0x400,
    "NEW_FLOATS": 0x800,
    "UTF8_ATOMS": 0x10000,
    "MAP_TAG": 0x20000,
    "BIG_CREATION": 0x40000,
    "HANDSHAKE_23": 0x1000000,
}

OPTIONAL = {
    "PUBLISHED": 0x1,
    "DIST_MONITOR": 0x8,
    "DIST_MONITOR_NAME": 0x20,
    "DIST_HDR_ATOM_CACHE": 0x2000,
    "SMALL_ATOM_TAGS": 0x4000,
    "SEND_SENDER": 0x80000,
    "BIG_SEQTRACE_LABELS": 0x100000,
    "EXIT_PAYLOAD": 0x400000,
    "FRAGMENTS": 0x800000,
    "UNLINK_ID": 0x2000000,
    "SPAWN": 1 << 32,
    "NAME_ME": 1 << 33,
    "V4_NC": 1 << 34,
    "ALIAS": 1 << 35,
    "MANDATORY_25_DIGEST": 1 << 36,
}


@pytest.mark.parametrize(("name", "bit"), (MANDATORY | OPTIONAL).items())
def test_a_flag_has_the_bit_that_the_chapter_gives_it(name, bit):
    assert Flag[name] == bit


def test_the_mandatory_set_is_what_otp_25_demands():
    assert sum(MANDATORY.values()) == MANDATORY_BEFORE_25


def test_we_offer_what_every_peer_demands_and_what_a_hidden_node_may():
    assert MANDATORY_BEFORE_25 in OURS
    assert Flag.UNLINK_ID | Flag.V4_NC | Flag.SPAWN | Flag.ALIAS | Flag.FRAGMENTS in OURS


@pytest.mark.parametrize("name", ["PUBLISHED", "DIST_HDR_ATOM_CACHE", "NAME_ME", "ALTACT_SIG"])
def test_we_offer_nothing_that_this_node_cannot_do(name):
    assert Flag[name] not in OURS


def test_the_digest_stands_for_the_whole_mandatory_set():
    assert expand(Flag.MANDATORY_25_DIGEST | Flag.SPAWN) == Flag.MANDATORY_25_DIGEST | Flag.SPAWN | MANDATORY_BEFORE_25


def test_without_the_digest_nothing_is_added():
    assert expand(Flag.SPAWN | Flag.NEW_FLOATS) == Flag.SPAWN | Flag.NEW_FLOATS


def test_unknown_bits_of_a_later_release_are_left_out():
    assert expand(1 << 63 | Flag.SPAWN) == Flag.SPAWN
