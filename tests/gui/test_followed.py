"""A program follows a Blender with a window: an object that a user drags, and one that the program moves itself."""

import itertools
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import install, started
from user import CENTRE
from window import System, Window

from tests.blender.erlang import erl

FOLLOW = """
    Call = fun(Function, Arguments) -> erpc:call('{node}', gui, Function, Arguments, 60000) end,
    ok = Call(subscribe, [<<"transforms">>]),
    Call(current_values, [[transforms]]),
    Collect = fun Again(Name, X) ->
        receive {{beam_bpy_event, '{node}', <<"transforms">>, #{{<<"origin">> := Origin, <<"objects">> := Objects}}}} ->
            Who = case Origin of nil -> nil; _ when Origin =:= node() -> self; _ -> other end,
            Event = {{Who, maps:map(fun(_, #{{<<"location">> := Location}}) -> Location end, Objects)}},
            case Objects of
                #{{Name := #{{<<"location">> := [Found | _]}}}} when abs(Found - X) < 1.0e-4 -> [Event];
                _ -> [Event | Again(Name, X)]
            end
        after 100000 -> exit({{no_event_of, Name}}) end
    end,
    Call(shift, [<<"Camera">>, 9.0]),
    First = Collect(<<"Camera">>, 9.0),
    Drag = Collect(<<"Cube">>, 4.0),
    Call(call_with_token, [mine, shift, [<<"Light">>, 5.0]]),
    {{First, Drag, Collect(<<"Light">>, 5.0)}}
"""


@pytest.fixture
def followed(
    system: System, folder: Path, environment: dict[str, str], request: pytest.FixtureRequest
) -> Iterator[Window]:
    """A Blender with both extensions whose node runs."""
    install(system, folder, environment)
    (package,) = folder.glob("scene_handlers-*.zip")
    command = [system.blender, "--command", "extension", "install-file", "-r", "user_default", "-e"]
    subprocess.run(system.command(*command, system.seen(package)), env=environment, cwd="/", check=True, timeout=120)
    with started(Window(system, folder, environment, "followed.py"), request.node) as window:
        window.wait(lambda report: report["state"] == "running", "the node runs")
        yield window


def test_a_drag_has_no_origin_and_a_call_has_its_node(followed: Window, environment: dict[str, str]) -> None:
    x, y = CENTRE

    def drag(_process: object) -> None:
        followed.wait(lambda report: report["objects"]["Camera"][0] == 9.0, "the program follows")
        followed.hover(x, y)
        followed.press("g")
        followed.wait(lambda report: report["tools"], "the drag has begun")
        followed.hover(x + 40, y + 10)
        followed.hover(x + 80, y + 20)
        followed.press("x", "4", "Return")

    code = FOLLOW.format(node=f"{environment['BPY_BEAM_NODE']}@127.0.0.1")
    first, dragged, last = erl(code, environment, meanwhile=drag)

    assert [(who, objects.keys()) for who, objects in first] == [("self", {"Camera"})]
    assert [(who, objects.keys()) for who, objects in last] == [("self", {"Light"})]
    # The mouse moves the cube before the user types the number, and each event is another place.
    assert {(who, *objects) for who, objects in dragged} == {(None, "Cube")}
    places = [tuple(objects["Cube"]) for _, objects in dragged]
    assert len(places) >= 2
    assert all(place != after for place, after in itertools.pairwise(places))
    assert places[-1] == pytest.approx((4.0, 0.0, 0.0), abs=1e-4)
