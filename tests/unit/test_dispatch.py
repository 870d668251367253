"""Queues, the worker and the host's queue. What takes time is asserted by events, never by a clock."""

import threading

import pytest

from beam_bpy.dispatch import CallQueue, Worker, host_queue, install_host_queue, remove_host_queue

LONG = 30.0
"""A time that no test waits for; it only ends one that would hang."""


class Note:
    """A Runnable that notes that it ran, and on which thread; `then` is done while it runs."""

    def __init__(self, log, name="note", then=lambda: None):
        self.log, self.name, self.then = log, name, then
        self.done = threading.Event()

    def run(self):
        self.log.append(self.name)
        self.thread = threading.current_thread()
        self.then()
        self.done.set()


@pytest.fixture
def calls():
    return CallQueue()


@pytest.fixture
def log():
    return []


def fill(calls, log, count):
    for number in range(count):
        calls.put(Note(log, number))


def test_nothing_queued_nothing_run(calls):
    assert calls.drain(LONG, LONG) == 0


def test_all_that_is_queued_is_run_in_its_order(calls, log):
    fill(calls, log, 5)

    assert calls.drain(LONG) == 5
    assert log == [0, 1, 2, 3, 4]
    assert len(calls) == 0


def test_without_a_budget_one_call_is_run(calls, log):
    fill(calls, log, 3)

    assert calls.drain(0.0) == 1
    assert len(calls) == 2


def test_no_call_is_begun_after_the_budget(calls, log, monkeypatch):
    clock = iter([100.0, 100.9, 101.1])
    monkeypatch.setattr("beam_bpy.dispatch.time.perf_counter", lambda: next(clock))
    fill(calls, log, 5)

    assert calls.drain(1.0) == 2
    assert log == [0, 1]


def test_linger_waits_for_a_call_that_comes_after_the_answer(calls, log, monkeypatch):
    # As a sequential caller does: it sends its next call from another thread once it has the answer to the first.
    clock = iter([0.0, 1.0, LONG])
    monkeypatch.setattr("beam_bpy.dispatch.time.perf_counter", lambda: next(clock))
    answered = threading.Event()
    caller = threading.Thread(target=lambda: (answered.wait(LONG), calls.put(Note(log, "second"))))
    caller.start()
    calls.put(Note(log, "first", then=answered.set))

    assert calls.drain(LONG, linger=LONG) == 2
    caller.join()
    assert log == ["first", "second"]


def test_without_linger_a_later_call_waits_for_the_next_drain(calls, log):
    calls.put(Note(log, "first"))

    assert calls.drain(LONG) == 1
    calls.put(Note(log, "second"))
    assert calls.drain(LONG) == 1


def test_a_call_that_queues_another_has_it_run_in_the_same_drain(calls, log):
    calls.put(Note(log, "first", then=lambda: calls.put(Note(log, "second"))))

    assert calls.drain(LONG) == 2


def test_wait_says_whether_there_is_a_call(calls, log):
    assert calls.wait(0.0) is False
    calls.put(Note(log))
    assert calls.wait(0.0) is True
    assert calls.wait(None) is True


def test_what_wait_has_found_is_still_counted_and_run_first(calls, log):
    fill(calls, log, 2)

    calls.wait(None)

    assert len(calls) == 2
    assert calls.drain(LONG) == 2
    assert log == [0, 1]


def test_wait_is_ended_by_a_call_of_another_thread(calls, log):
    threading.Thread(target=lambda: calls.put(Note(log))).start()

    assert calls.wait(LONG) is True


def test_wake_ends_a_wait(calls):
    threading.Thread(target=calls.wake).start()

    assert calls.wait(LONG) is False


def test_a_wake_that_nobody_waited_for_hides_no_call(calls, log):
    calls.wake()
    fill(calls, log, 1)

    assert calls.drain(0.0) == 1


def test_a_worker_runs_calls_on_one_thread_of_its_own(calls, log):
    notes = [Note(log, number) for number in range(3)]
    worker = Worker(calls, daemon=False)
    try:
        for note in notes:
            calls.put(note)
        assert all(note.done.wait(LONG) for note in notes)
    finally:
        worker.stop()

    assert log == [0, 1, 2]
    assert len({note.thread for note in notes}) == 1
    assert notes[0].thread is not threading.current_thread()


def test_an_idle_worker_ends(calls):
    worker = Worker(calls, daemon=False)

    worker.stop()

    assert "beam_bpy worker" not in [thread.name for thread in threading.enumerate()]


def test_a_worker_that_is_stopped_waits_for_its_call_and_leaves_the_rest(calls, log):
    entered, leave = threading.Event(), threading.Event()
    first = Note(log, "first", then=lambda: (entered.set(), leave.wait(LONG)))
    calls.put(first)
    calls.put(Note(log, "second"))
    worker = Worker(calls, daemon=False)
    entered.wait(LONG)

    stopper = threading.Thread(target=worker.stop)
    stopper.start()
    worker._stopping.wait(LONG)
    leave.set()
    stopper.join(LONG)

    assert first.done.is_set()
    assert log == ["first"]


def test_a_worker_may_be_stopped_from_its_own_thread(calls, log):
    box = []
    note = Note(log, then=lambda: box[0].stop())
    box.append(Worker(calls, daemon=False))

    calls.put(note)

    assert note.done.wait(LONG)
    note.thread.join(LONG)
    assert not note.thread.is_alive()


def test_a_host_queue_is_installed_once_and_removed_by_its_owner(calls):
    other = CallQueue()
    install_host_queue(calls)
    try:
        with pytest.raises(RuntimeError, match="remove it first"):
            install_host_queue(other)
        remove_host_queue(other)
        assert host_queue() is calls
    finally:
        remove_host_queue(calls)
    assert host_queue() is None
    remove_host_queue(calls)
