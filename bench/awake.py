"""Keeps a processor awake until the standard input ends, without keeping anybody from it.

A virtual processor that sleeps takes between 50 µs and a millisecond to wake, as the machine under it pleases: more
than a call takes, and never the same twice. A program of the scheduling class SCHED_IDLE runs when nobody else wants
to.
"""

import os
import sys
import threading


def end_with_the_input() -> None:
    """Wait for the end of the standard input, and end."""
    sys.stdin.read()
    os._exit(0)


os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
threading.Thread(target=end_with_the_input).start()
print("awake", flush=True)
while True:
    pass
