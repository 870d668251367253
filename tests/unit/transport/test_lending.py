"""A thread that waits for calls runs the network loop meanwhile; the loop's own thread takes it back when it has to."""

import concurrent.futures
import threading
import time

import pytest
from support import TIMEOUT, Client, eventually

from beam_bpy.dispatch.call_queue import CallQueue
from beam_bpy.transport.loop import Loop


@pytest.fixture
def loop():
    loop = Loop("borrowed network")
    loop.start()
    yield loop
    loop.stop()
    loop.join()


def thread_of(loop):
    """The name of the thread that runs the loop's callbacks now."""
    future = concurrent.futures.Future()
    loop.call_soon(lambda: future.set_result(threading.current_thread().name))
    return future


def never():
    return False


def test_its_own_thread_runs_it(loop):
    assert thread_of(loop).result(TIMEOUT) == "borrowed network"
    assert not loop.borrowed


def test_who_runs_it_here_is_the_network_thread_meanwhile(loop):
    seen = []
    loop.call_soon(lambda: seen.append((threading.current_thread(), loop.on_thread())))
    eventually(lambda: seen)
    loop.call_soon(lambda: seen.append((threading.current_thread(), loop.on_thread())))
    future = thread_of(loop)

    assert loop.run_here(TIMEOUT, future.done) is True
    assert not loop.on_thread()
    assert future.result() in ("MainThread", "borrowed network")
    future = thread_of(loop)
    assert loop.run_here(TIMEOUT, future.done) is True
    assert [on_thread for _, on_thread in seen] == [True, True]


def test_a_callback_runs_here_while_it_is_lent(loop):
    names = []

    def note():
        names.append(threading.current_thread().name)
        if names[-1] != "MainThread":
            loop.call_later(0.001, note)

    loop.call_soon(note)
    loop.run_here(TIMEOUT, lambda: "MainThread" in names)

    assert names[-1] == "MainThread"


def test_it_waits_no_longer_than_it_is_told(loop):
    assert loop.run_here(0.0, never) is True
    assert loop.run_here(0.01, never) is True


def test_it_waits_for_what_has_come_already_not_at_all(loop):
    assert loop.run_here(None, lambda: True) is True


def test_its_own_thread_takes_it_back_from_a_guest_that_stays_away(loop):
    loop.run_here(0.0, never)

    eventually(lambda: not loop.borrowed)
    assert thread_of(loop).result(TIMEOUT) == "borrowed network"


def test_and_at_once_when_the_guest_calls_it_back(loop):
    loop.run_here(0.0, never)
    loop.reclaim()

    assert thread_of(loop).result(TIMEOUT) == "borrowed network"


def test_a_loop_that_stops_ends_the_wait_of_a_guest(loop):
    timer = threading.Timer(0.05, loop.stop)
    timer.start()

    assert loop.run_here(None, never) is False
    timer.join()
    assert loop.run_here(None, never) is False


def test_a_guest_may_stop_it(loop):
    loop.run_here(0.0, never)
    loop.stop()
    loop.join()

    assert loop.run_here(0.0, never) is False


def test_wake_makes_a_guest_look_around(loop):
    done = threading.Event()
    timer = threading.Timer(0.05, lambda: (done.set(), loop.wake()))
    timer.start()

    assert loop.run_here(None, done.is_set) is True
    timer.join()


class SlowToTake:
    """A lock; who has to wait for it gets no processor for a while when it is free, as on a busy machine."""

    def __init__(self, lock):
        self._lock = lock

    def acquire(self, blocking=True):
        if blocking:
            time.sleep(0.05)
        return self._lock.acquire(blocking)

    def release(self):
        self._lock.release()

    def __enter__(self):
        return self._lock.acquire()

    def __exit__(self, *_exception):
        self._lock.release()


def test_it_is_not_taken_back_from_a_guest_that_stands_at_the_door(loop):
    """Its own thread would wait for events, and nobody would wake it for the guest's sake."""
    loop._lending.running = SlowToTake(loop._lending.running)
    came = []
    guest = threading.Thread(target=lambda: came.append(loop.run_here(0.0, never)), daemon=True)
    guest.start()
    guest.join(TIMEOUT)

    assert came == [True]


@pytest.mark.parametrize("pause", [0.0, 0.0005, 0.003])
def test_nothing_is_lost_while_it_goes_to_and_fro(loop, pause):
    count, seen, queue = 2000 if not pause else 300, [], CallQueue()
    queue.attach(loop)

    def feed():
        for number in range(count):
            loop.call_soon(lambda number=number: seen.append(number))
            if pause and number % 10 == 0:
                time.sleep(pause)

    feeder = threading.Thread(target=feed)
    feeder.start()
    deadline = time.monotonic() + TIMEOUT
    while len(seen) < count and time.monotonic() < deadline:
        queue.wait(0.001)
        time.sleep(pause)
    feeder.join()
    queue.detach(loop)

    assert seen == list(range(count))


class TestServer:
    def test_a_slow_handler_leaves_the_network_to_others(self, server):
        leave = threading.Event()
        server.register_handler("slow", lambda args: leave.wait(TIMEOUT))
        server.register_handler("inline", lambda args: args[0], inline=True)
        with Client(server) as client:
            for number in range(20):
                assert client.call("echo", number) == [number]
            client.ask("slow", [])
            assert client.call("inline", 7) == 7
            leave.set()
            assert client.answer() is True

    def test_a_handler_may_wait_for_what_the_network_brings(self, server):
        server.register_handler("ask", lambda args: server.call(server.node_name, "m", "inline", [5], timeout=TIMEOUT))
        server.register_handler("inline", lambda args: args[0], inline=True)
        with Client(server) as client:
            assert client.call("echo", 1) == [1]
            assert client.call("ask") == 5

    def test_many_threads_get_their_answers(self, server):
        def ask(base):
            with Client(server, f"caller{base}@127.0.0.1") as client:
                return [client.call("echo", base + number) for number in range(200)]

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for base, answers in zip(range(0, 8000, 1000), pool.map(ask, range(0, 8000, 1000)), strict=True):
                assert answers == [[base + number] for number in range(200)]
