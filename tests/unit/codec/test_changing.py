"""Containers that change while they are encoded, by a converter or by another thread: the result stays a valid term."""

import contextlib
import sys
import threading
from collections import OrderedDict, deque

import numpy as np
import pytest

from vendor_term_codec import EncodeError, ImproperList, PairsMap, decode, encode


class Trigger:
    """A value whose conversion changes its container."""


class Words(list):
    pass


LISTS = [
    lambda value: value.append("more"),
    lambda value: value.extend("more"),
    lambda value: value.clear(),
    lambda value: value.pop(),
    lambda value: value.insert(0, "more"),
    lambda value: value.__delitem__(slice(None, None, 2)),
]


@pytest.mark.parametrize("at", [0, 2, 4])
@pytest.mark.parametrize("change", LISTS)
@pytest.mark.parametrize("kind", [list, Words])
def test_a_list(kind, change, at):
    value = kind("abcd")
    value.insert(at, Trigger())
    plain = ["!" if type(item) is Trigger else item for item in value]

    def convert(_trigger):
        change(value)
        return "!"

    assert decode(encode((value, "end"), converters={Trigger: convert})) == (plain, "end")


@pytest.mark.parametrize("at", range(3))
@pytest.mark.parametrize(
    "change",
    [
        lambda value: value.update(more=1),
        lambda value: value.clear(),
        lambda value: value.popitem(),
        lambda value: value.update({str(number): number for number in range(1000)}),
        lambda value: (value.pop("a"), value.update(more=1)),
    ],
)
@pytest.mark.parametrize("kind", [dict, OrderedDict])
def test_a_dict(kind, change, at):
    value = kind({"a": 0, "b": 1, "c": 2})
    value["abc"[at]] = Trigger()
    plain = {key: "!" if type(item) is Trigger else item for key, item in value.items()}

    def convert(_trigger):
        change(value)
        return "!"

    assert decode(encode((value, "end"), converters={Trigger: convert})) == (plain, "end")


@pytest.mark.parametrize("keys", [["a", "b"], ["a", 1], [(1,), "b"]])
def test_a_dict_that_changes_while_its_keys_are_compared(keys):
    value = dict.fromkeys(keys, 0) | {Trigger(): 1}

    def convert(_trigger):
        value.clear()
        return "!"

    assert decode(encode(value, converters={Trigger: convert})) == dict.fromkeys(keys, 0) | {"!": 1}


def test_other_collections():
    values = deque([Trigger(), 1, 2])

    def convert(_trigger):
        values.clear()
        return 0

    assert decode(encode((values, "end"), converters={Trigger: convert})) == ([0, 1, 2], "end")


def test_what_is_inside_an_immutable_value():
    inner = [Trigger(), 1]

    def convert(_trigger):
        inner.append(2)
        return 0

    for value in (ImproperList([inner], 5), PairsMap([(1, inner)])):
        inner[:] = [Trigger(), 1]
        decoded = decode(encode(value, converters={Trigger: convert}))
        assert decoded in (ImproperList([[0, 1]], 5), {1: [0, 1]})


@pytest.mark.parametrize("number", [7, 70000, 1.5, 2**40, "x"], ids=str)
def test_another_thread_that_changes_everything_meanwhile(number):
    values, mapping, array = [number] * 300, dict.fromkeys(range(50), number), np.full(300, 1.5)
    stopped = threading.Event()

    def work():
        step = 0
        while not stopped.is_set():
            step += 1
            values[:] = [[number, 300, 1.5, None][step % 4]] + [number] * (step % 300)
            mapping[step] = number
            del mapping[next(iter(mapping))]
            mapping.pop(step - 10, None)
            mapping.setdefault(-step, number)
            mapping.pop(10 - step, None)
            array[step % 300] = np.nan if step % 2 else 1.5

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(300):
            first, second, third = decode(encode((values, mapping, "end")))
            assert (type(first), type(second), third) == (list, dict, "end")
            with contextlib.suppress(EncodeError):
                decode(encode(array))
    finally:
        stopped.set()
        thread.join()
        sys.setswitchinterval(interval)
