"""Queues, the worker and the host's queue. What takes time is asserted by events, never by a clock."""

import threading

import pytest

from beam_bpy.dispatch.call_queue import CallQueue
from beam_bpy.dispatch.host_queue import host_queue, install_host_queue, remove_host_queue
from beam_bpy.dispatch.runnable import Runnable
from beam_bpy.dispatch.worker import Worker
from beam_bpy.distribution.load import Load

LONG = 30.0
"""A time that no test waits for; it only ends one that would hang."""


class Note(Runnable):
    """A Runnable that notes that it ran, and on which thread; `then` is done while it runs."""

    def __init__(self, log, name="note", then=lambda: None):
        self.log, self.label, self.then = log, name, then
        self.done = threading.Event()

    def run(self):
        self.log.append(self.label)
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
    monkeypatch.setattr("beam_bpy.dispatch.call_queue.time.perf_counter", lambda: next(clock))
    fill(calls, log, 5)

    assert calls.drain(1.0) == 2
    assert log == [0, 1]


def test_linger_waits_for_a_call_that_comes_after_the_answer(calls, log, monkeypatch):
    # As a sequential caller does: it sends its next call from another thread once it has the answer to the first.
    clock = iter([0.0, 1.0, LONG])
    monkeypatch.setattr("beam_bpy.dispatch.call_queue.time.perf_counter", lambda: next(clock))
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
    worker = Worker(calls)
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
    worker = Worker(calls)

    worker.stop()

    assert "beam_bpy worker" not in [thread.name for thread in threading.enumerate()]


def test_a_worker_that_is_stopped_waits_for_its_call_and_leaves_the_rest(calls, log):
    entered, leave = threading.Event(), threading.Event()
    first = Note(log, "first", then=lambda: (entered.set(), leave.wait(LONG)))
    calls.put(first)
    calls.put(Note(log, "second"))
    worker = Worker(calls)
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
    box.append(Worker(calls))

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


class Slices(Runnable):
    """A Runnable that wants to be run so many times; it notes each time, and that it was closed."""

    def __init__(self, log, name, count):
        self.log, self.label, self.left = log, name, count
        self.closed = threading.Event()

    def run(self):
        self.log.append(self.label)
        self.left -= 1
        return self.left > 0

    def close(self):
        self.log.append(f"{self.label} closed")
        self.closed.set()


class TestSlices:
    def test_what_wants_to_be_run_again_is_run_again(self, calls, log):
        calls.put(Slices(log, "long", 3))

        assert calls.drain(LONG) == 3
        assert (log, len(calls)) == (["long"] * 3, 0)

    def test_what_has_begun_is_counted_and_wakes_who_waits(self, calls, log):
        calls.put(Slices(log, "long", 2))
        calls.drain(0.0)

        assert len(calls) == 1
        assert calls.wait(None) is True
        assert calls.drain(0.0) == 1
        assert (len(calls), calls.wait(0.0)) == (0, False)

    def test_all_that_is_queued_comes_before_a_second_slice(self, calls, log):
        calls.put(Slices(log, "long", 2))
        fill(calls, log, 3)

        assert calls.drain(LONG) == 5
        assert log == ["long", 0, 1, 2, "long"]

    def test_a_drain_begins_with_a_slice_when_a_call_ran_last(self, calls, log):
        calls.put(Slices(log, "long", 2))
        calls.drain(0.0)
        fill(calls, log, 2)

        assert calls.drain(LONG) == 3
        assert log == ["long", "long", 0, 1]

    def test_without_a_budget_slices_and_calls_take_turns(self, calls, log):
        calls.put(Slices(log, "long", 10))
        calls.drain(0.0)
        fill(calls, log, 3)

        for _ in range(6):
            assert calls.drain(0.0) == 1

        assert log == ["long", "long", 0, "long", 1, "long", 2]

    def test_a_call_that_comes_after_a_slice_is_next(self, calls, log):
        calls.put(Slices(log, "long", 10))
        for _ in range(4):
            calls.drain(0.0)
        calls.put(Note(log, "call"))

        calls.drain(0.0)

        assert log[-1] == "call"

    def test_several_take_turns(self, calls, log):
        for name in "abc":
            calls.put(Slices(log, name, 3))

        calls.drain(LONG)

        assert log == list("abcabcabc")

    def test_one_that_has_begun_does_not_linger(self, calls, log):
        calls.put(Slices(log, "long", 2))

        assert calls.drain(LONG, linger=0.0) == 2

    def test_no_slice_is_begun_after_the_budget(self, calls, log, monkeypatch):
        clock = iter([100.0, 100.9, 101.1])
        monkeypatch.setattr("beam_bpy.dispatch.call_queue.time.perf_counter", lambda: next(clock))
        calls.put(Slices(log, "long", 5))

        assert calls.drain(1.0) == 2
        assert len(calls) == 1

    def test_close_closes_what_has_begun_and_leaves_the_rest(self, calls, log):
        calls.put(Slices(log, "a", 3))
        calls.put(Slices(log, "b", 3))
        calls.drain(0.0)
        calls.drain(0.0)
        calls.put(Note(log, "queued"))
        log.clear()

        calls.close()

        assert len(calls) + len(log) == 3
        assert "a closed" in log

    def test_a_wake_hides_no_slice(self, calls, log):
        calls.put(Slices(log, "long", 3))
        calls.drain(0.0)
        calls.wake()

        assert calls.drain(LONG) == 2
        assert log == ["long"] * 3


class TestRun:
    def test_a_host_wraps_each_run_and_each_slice(self, log):
        def run(call):
            log.append("before")
            again = call.run()
            log.append("after")
            return again

        calls = CallQueue(run)
        calls.put(Slices(log, "long", 2))
        calls.put(Note(log, "call"))

        assert calls.drain(LONG) == 3
        assert log == ["before", "long", "after", "before", "call", "after", "before", "long", "after"]

    def test_what_says_nothing_of_itself(self):
        class Plain(Runnable):
            pass

        plain = Plain()

        assert (plain.progress, plain.caller, plain.undo, plain.close()) == (None, None, None, None)
        with pytest.raises(NotImplementedError):
            plain.run()


class TestWorkerAndSlices:
    def test_a_worker_serves_calls_between_slices(self, calls, log):
        long, note = Slices(log, "long", 10**9), Note(log)
        calls.put(long)
        worker = Worker(calls)
        try:
            calls.put(note)
            assert note.done.wait(10.0)
        finally:
            worker.stop()

    def test_a_worker_that_is_stopped_closes_what_has_begun(self, calls, log):
        long, note = Slices(log, "long", 10**9), Note(log)
        calls.put(long)
        calls.put(note)
        worker = Worker(calls)
        try:
            assert note.done.wait(10.0)
        finally:
            worker.stop()

        assert long.closed.is_set()
        assert len(calls._unfinished) == 0


class Change(Note):
    """A call that a busy host lets wait."""

    changes_scene = True
    wanted = True
    refused = None
    max_wait = None

    def refuse(self, sentence):
        self.refused = sentence


class TestBusyHost:
    """A host says which calls have to wait; it asks again at each drain."""

    @pytest.fixture
    def host(self):
        class Host:
            tool = "Move"

            def busy_with(self, call):
                return self.tool if call.changes_scene else None

        return Host()

    @pytest.fixture
    def calls(self, host):
        return CallQueue(busy_with=host.busy_with)

    def test_waiting_calls_keep_their_order_and_others_pass(self, calls, host, log):
        for call in (Change(log, "first"), Note(log, "reads"), Change(log, "second")):
            calls.put(call)

        assert calls.drain(LONG) == 1
        assert [(entry.call.label, entry.reason) for entry in calls.waiting] == [("first", "Move"), ("second", "Move")]
        assert len(calls) == 2
        host.tool = None
        assert calls.drain(LONG) == 2
        assert log == ["reads", "first", "second"]
        assert calls.waiting == ()

    def test_the_reason_follows_the_host(self, calls, host, log):
        calls.put(Change(log))
        calls.drain(LONG)
        host.tool = "a render"
        calls.drain(LONG)

        assert [entry.reason for entry in calls.waiting] == ["a render"]

    def test_a_call_that_nobody_wants_any_more_does_not_wait(self, calls, log):
        call = Change(log, "given up")
        calls.put(call)
        calls.drain(LONG)
        call.wanted = False

        assert calls.drain(LONG) == 1
        assert log == ["given up"]  # A call that runs notices the end itself: see `Call.run`.

    def test_a_call_that_has_waited_too_long_is_refused(self, calls, log):
        call = Change(log)
        call.max_wait = 0.0
        calls.put(call)
        calls.drain(LONG)
        calls.drain(LONG)

        assert call.refused == "busy with Move for more than 0 seconds: call again later"
        assert (log, calls.waiting, len(calls)) == ([], (), 0)

    def test_a_waiting_call_counts_as_in_flight_until_it_is_refused(self, calls, log):
        call = Change(log)
        call.max_wait, call.load = 0.0, Load()
        calls.put(call)
        calls.drain(LONG)
        assert call.load.in_flight == 1
        calls.drain(LONG)
        assert call.load.in_flight == 0

    def test_close_closes_waiting_calls(self, calls, log):
        closed = []
        call = Change(log)
        call.close = lambda: closed.append(call)
        calls.put(call)
        calls.drain(LONG)
        calls.close()

        assert (closed, len(calls)) == ([call], 0)


class WithTick(Note):
    """A call whose tick ends with some functions."""

    def __init__(self, log, name, *functions):
        super().__init__(log, name)
        self.functions = functions

    @property
    def after_tick(self):
        return self.functions


class TestAfterTick:
    def test_a_function_runs_once_for_all_calls_of_a_drain(self, calls, log, monkeypatch):
        monkeypatch.setattr("beam_bpy.dispatch.call_queue.TICK", LONG)

        def update():
            log.append("update")

        for number in range(3):
            calls.put(WithTick(log, number, update))

        assert calls.drain(LONG) == 3
        assert log == [0, 1, 2, "update"]

    def test_each_drain_has_its_own(self, calls, log):
        def update():
            log.append("update")

        for number in range(2):
            calls.put(WithTick(log, number, update))
            calls.drain(0.0)

        assert log == [0, "update", 1, "update"]

    def test_a_long_drain_runs_it_in_between(self, calls, log, monkeypatch):
        monkeypatch.setattr("beam_bpy.dispatch.call_queue.TICK", 0.0)
        calls.put(WithTick(log, "first", lambda: log.append("update")))
        calls.put(Note(log, "second"))

        calls.drain(LONG)

        assert log == ["first", "update", "second"]

    def test_it_runs_while_the_drain_waits_for_calls(self, calls, log):
        """The second call comes when the function has run, so the drain has not waited for it before."""
        calls.put(WithTick(log, "first", lambda: calls.put(Note(log, "second"))))

        assert calls.drain(LONG, linger=1.0) == 2
        assert log == ["first", "second"]

    def test_several_functions_run_in_the_order_of_the_calls(self, calls, log, monkeypatch):
        monkeypatch.setattr("beam_bpy.dispatch.call_queue.TICK", LONG)
        functions = [lambda name=name: log.append(name) for name in "abc"]
        calls.put(WithTick(log, 1, functions[1], functions[0]))
        calls.put(WithTick(log, 2, functions[2], functions[1]))

        calls.drain(LONG)

        assert log == [1, 2, "b", "a", "c"]

    @pytest.mark.parametrize("error", [ValueError("no"), SystemExit(1), KeyboardInterrupt()])
    def test_a_function_that_fails_is_logged_and_hinders_no_other(self, calls, log, caplog, error):
        def fail():
            raise error

        calls.put(WithTick(log, 1, fail, lambda: log.append("update")))

        assert calls.drain(LONG) == 1
        assert log == [1, "update"]
        assert "after_tick" in caplog.text

    def test_without_calls_nothing_runs(self, calls, log):
        calls.put(Note(log))

        calls.drain(LONG)
        calls.drain(LONG)

        assert log == ["note"]

    def test_a_call_that_closes_the_queue_ends_the_tick(self, calls, log):
        call = WithTick(log, 1, lambda: log.append("update"))
        call.then = calls.close
        calls.put(call)

        calls.drain(LONG)

        assert log == [1]
