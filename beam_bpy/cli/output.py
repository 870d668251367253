"""Messages of the command line for a person."""

import sys


def complain(sentence: str) -> int:
    """Print a sentence on standard error; returns the exit code 1."""
    print(f"beam-bpy: {sentence}", file=sys.stderr)
    return 1
