"""Waiting for a future."""

import concurrent.futures
import threading

import pytest

from beam_bpy import futures


class Recording(concurrent.futures.Future):
    """A future that records how long each wait for it may take."""

    def __init__(self):
        super().__init__()
        self.waits = []

    def result(self, timeout=None):
        self.waits.append(timeout)
        return super().result(timeout)


@pytest.fixture
def future():
    return Recording()


@pytest.mark.parametrize("timeout", [None, 0.0, 5.0, threading.TIMEOUT_MAX])
def test_a_result_that_is_there(future, timeout):
    future.set_result("value")
    assert futures.wait_for(future, timeout) == "value"


@pytest.mark.parametrize("error", [ValueError("x"), TimeoutError("of the call itself")])
def test_an_exception(future, error):
    future.set_exception(error)
    with pytest.raises(type(error)) as raised:
        futures.wait_for(future, 5.0)
    assert raised.value is error


def test_no_result_in_time(future):
    with pytest.raises(TimeoutError):
        futures.wait_for(future, 0.01)


@pytest.mark.parametrize("timeout", [None, threading.TIMEOUT_MAX])
def test_a_long_wait_has_breaks_for_signals(future, timeout, monkeypatch):
    monkeypatch.setattr(futures, "_LONGEST_WAIT", 0.01)
    timer = threading.Timer(0.1, future.set_result, ["value"])
    timer.start()
    assert futures.wait_for(future, timeout) == "value"
    assert len(future.waits) > 1
    assert max(future.waits) <= 0.01
    timer.join()
