"""Keep a processor busy until standard input ends, so that it does not enter an idle state.

A virtual processor needs between 50 µs and 1 ms to leave its idle state. This is longer than a call, and it differs
each time, so it would disturb the measurements. This program has the scheduling class SCHED_IDLE: it runs only while no
other program needs the processor.
"""

import os
import sys
import threading


def end_with_the_input() -> None:
    """Wait for the end of standard input, then end the program."""
    sys.stdin.read()
    os._exit(0)


os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
threading.Thread(target=end_with_the_input).start()
print("awake", flush=True)
while True:
    pass
