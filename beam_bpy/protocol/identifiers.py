"""Patterns of the pids and references of one node, for messages that are read in one stride.

Chapter "External Term Format", NEW_PID_EXT and NEWER_REFERENCE_EXT. What one node sends differs in a few fields of
known sizes only, so a regular expression that was made for that node finds them all.
"""

import re

from vendor_term_codec import Atom, encode_term

HEADER = bytes((131, 68, 0))
"""The distribution header of a message without atom cache references."""

# A reference has as many words of four bytes as its third byte says, and its creation before them. Three words are
# what all releases have used; five a reference that is an alias of a newer one.
_WORDS = (3, 5, 1, 2, 4)


def pid_of(node_name: str) -> bytes:
    """The pattern of a pid of that node."""
    return b"X%s.{12}" % _escaped(node_name)


def reference_of(node_name: str) -> bytes:
    """The pattern of a reference of that node."""
    node = _escaped(node_name)
    return b"|".join(b"Z\\0%s%s.{%d}" % (bytes((words,)), node, 4 + 4 * words) for words in _WORDS)


def _escaped(node_name: str) -> bytes:
    return re.escape(encode_term(Atom(node_name)))
