"""The messages in the status bar and the Info editor."""

from typing import Any

import addon
import pytest


def shown(*names: str, state: str = "running", refused: tuple[str, str, int] | None = None) -> Any:
    state_module = addon.panel_state
    rows = tuple(state_module.NodeRow(name, "", 0) for name in names)
    return state_module.Shown(state=state, nodes=rows, refused=refused and state_module.RefusedRow(*refused))


@pytest.fixture
def reports() -> Any:
    """Reports without a past."""
    return addon.reports.Reports()


def told(reports: Any, looks: list[tuple[float, Any]]) -> list[str]:
    """All messages, in the order of the looks."""
    return [message.text for now, data in looks for message in reports.messages(data, now)]


def test_a_node_that_stays_connects_and_disconnects(reports: Any) -> None:
    looks = [(0.0, shown("a@h")), (1.0, shown("a@h")), (100.0, shown())]
    assert told(reports, looks) == ["a@h has connected", "a@h has disconnected"]


@pytest.mark.parametrize("count", [1, 2, 50])
def test_short_lived_nodes_are_reported_once(reports: Any, count: int) -> None:
    looks = []
    for number in range(count):
        looks += [(number * 2.0, shown(f"call_{number}@h")), (number * 2.0 + 1.0, shown())]
    messages = told(reports, looks)
    assert messages[0] == "call_0@h has connected"
    assert messages[1].startswith("call_0@h has disconnected.")
    assert len(messages) == 2


def test_a_lasting_node_is_reported_among_short_lived_ones(reports: Any) -> None:
    told(reports, [(0.0, shown("call@h")), (1.0, shown())])
    looks = [(2.0, shown("a@h")), (3.0, shown("a@h", "b@h")), (4.0, shown("a@h")), (8.0, shown("a@h")), (50.0, shown())]
    assert told(reports, looks) == ["a@h has connected", "a@h has disconnected"]


def test_a_stop_is_not_reported_and_the_next_start_begins_anew(reports: Any) -> None:
    looks = [(0.0, shown("a@h")), (1.0, shown(state="stopped")), (2.0, shown("a@h"))]
    assert told(reports, looks) == ["a@h has connected", "a@h has connected"]


def test_each_kind_of_refusal_is_reported_once_as_a_warning(reports: Any) -> None:
    wrong = "{} was refused: its cookie is not this node's cookie"
    looks = [
        ("10.0.0.5", wrong.format("one@h"), 1),
        ("10.0.0.5", wrong.format("two@h"), 2),
        ("10.0.0.6", wrong.format("one@h"), 3),
        ("10.0.0.5", "it sent no handshake", 4),
    ]
    messages = [message for row in looks for message in reports.messages(shown(refused=row), 0.0)]
    assert [message.text.split(":")[0] for message in messages] == [
        "Refused a connection from 10.0.0.5",
        "Refused a connection from 10.0.0.6",
        "Refused a connection from 10.0.0.5",
    ]
    assert all(message.warning for message in messages)


def test_a_scan_does_not_fill_the_info_editor(reports: Any) -> None:
    looks = [(0.0, shown(refused=(f"10.0.{number // 250}.{number % 250}", "no", number))) for number in range(1000)]
    assert len(told(reports, looks)) == 100
