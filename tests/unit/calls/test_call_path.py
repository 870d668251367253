"""The number of Python calls that one call of a handler takes: a count, which no busy machine changes.

A call from outside costs about a tenth of a microsecond for each Python call of ours. The test prints the numbers; see
the docstring of `beam_bpy.calls` for the path.
"""

import sys
import threading
from collections import Counter

import pytest
from support import TIMEOUT, Client, eventually

import beam_bpy
import vendor_term_codec

FOLDERS = tuple(module.__file__.removesuffix("__init__.py") for module in (beam_bpy, vendor_term_codec))
CALLS = 200


class Profile:
    """Counts the calls of our own functions, on all threads that begin while it exists."""

    def __init__(self):
        self.counts = Counter()
        self.counting = False

    def __call__(self, frame, event, _argument):
        if self.counting and event == "call" and frame.f_code.co_filename.startswith(FOLDERS):
            self.counts[frame.f_code.co_qualname] += 1

    def per_call(self, client):
        """The mean number of Python calls that one `echo` takes."""
        for number in range(20):
            client.call("echo", number)
        self.counting = True
        for number in range(CALLS):
            client.call("echo", number)
        self.counting = False
        return sum(self.counts.values()) / CALLS


@pytest.fixture
def profile():
    profile = Profile()
    threading.setprofile(profile)
    yield profile
    threading.setprofile(None)
    sys.setprofile(None)


def test_an_inline_call_takes_at_most_50(make, profile, capsys):
    server = make()
    server.expose(lambda number: number, name="echo", inline=True)
    assert server.start(), server.last_error
    with Client(server) as client:
        count = profile.per_call(client)

    with capsys.disabled():
        print(f"\n{count:.0f} Python calls for an inline call")
    assert count <= 50, profile.counts.most_common()


def test_a_queued_call_takes_at_most_75(make, profile, capsys):
    server = make()
    server.expose(lambda number: number, name="echo")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    eventually(lambda: server.running)
    with Client(server) as client:
        count = profile.per_call(client)
    server.stop()
    thread.join(TIMEOUT)

    with capsys.disabled():
        print(f"\n{count:.0f} Python calls for a queued call")
    assert count <= 75, profile.counts.most_common()
