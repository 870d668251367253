"""Creations: the number that tells the incarnations of a node apart."""

import secrets


def new_creation() -> int:
    """A creation that no earlier incarnation of the node is likely to have; 1 to 3 are those of old epmds."""
    return secrets.randbelow(2**32 - 4) + 4
