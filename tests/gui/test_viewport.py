"""Processes watch a 3D view of a Blender with a window, and the frames that it renders."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import install, new_environment, new_folder, started
from window import PICTURES, System, Window

from tests.blender.erlang import erl

HEAD = """
    Call = fun(Function, Arguments) -> erpc:call('{node}', gui, Function, Arguments, 60000) end,
    Subscribe = fun(Topic) -> ok = Call(subscribe, [Topic]), Topic end,
    Watch = fun(Options) -> Subscribe(Call(watch_viewport, [Options])) end,
    Picture = fun(Topic) ->
        receive {{beam_bpy_event, '{node}', Topic, Payload}} -> Payload
        after 60000 -> exit({{no_picture, Topic}}) end
    end,
    Another = fun Again(Topic, #{{<<"data">> := Data}} = Old) ->
        case Picture(Topic) of #{{<<"data">> := Data}} -> Again(Topic, Old); New -> New end
    end,
    Flush = fun Again() -> receive {{beam_bpy_event, _, _, _}} -> Again() after 0 -> ok end end,
    Move = fun(X) -> Call(set_transform, [<<"Cube">>, #{{location => [X, 0.0, 0.0]}}]) end,
    %% Blender draws the view again, and the timer of the pictures has looked.
    Drawn = fun() ->
        #{{<<"views">> := Before}} = Call(drawn, []),
        Move(rand:uniform()),
        fun Again() ->
            case Call(drawn, []) of
                #{{<<"views">> := Views}} when Views > Before -> timer:sleep(500), Call(drawn, []);
                _ -> timer:sleep(20), Again()
            end
        end()
    end,
"""


class Watched:
    """A Blender with Scene Handlers whose node runs."""

    def __init__(self, window: Window, system: System, folder: Path, environment: dict[str, str]) -> None:
        self.window = window
        self._system = system
        self._folder = folder
        self._environment = environment

    def run(self, code: str) -> Any:
        """Run Erlang code with the functions of `HEAD`."""
        node = f"{self._environment['BPY_BEAM_NODE']}@127.0.0.1"
        head = HEAD.format(node=node)
        return erl(f"{head} {code.replace('{node}', node)}", self._environment)

    def pixels(self, name: str, picture: dict[str, Any]) -> Any:
        """The pixels of a picture, from top to bottom. A file is out/gui/NAME.FORMAT then."""
        width, height, data = picture["width"], picture["height"], picture["data"]
        if picture["format"] == "raw":
            assert len(data) == width * height * 4
            return np.frombuffer(data, np.uint8).reshape(height, width, 4)[::-1, :, :3]
        PICTURES.mkdir(parents=True, exist_ok=True)
        (PICTURES / f"{name}.{picture['format']}").write_bytes(data)
        file = self._folder / f"{name}.{picture['format']}"
        file.write_bytes(data)
        seen = self._system.seen(file)
        told = self.window.screen.run("identify", "-format", "%m %w %h", seen).decode()
        assert told == f"{picture['format'].upper()} {width} {height}"
        raw = self.window.screen.run("convert", seen, "-alpha", "off", "-depth", "8", "rgb:-")
        return np.frombuffer(raw, np.uint8).reshape(height, width, 3)


@pytest.fixture(scope="module")
def watched(system: System, request: pytest.FixtureRequest) -> Iterator[Watched]:
    with new_folder(system) as folder:
        environment = new_environment(system, folder)
        install(system, folder, environment)
        install(system, folder, environment, "scene_handlers")
        with started(Window(system, folder, environment, "viewport.py"), request.node) as window:
            window.wait(lambda report: report["state"] == "running", "the node runs")
            yield Watched(window, system, folder, environment)


def test_each_subscriber_gets_its_size_and_format_and_each_change(watched: Watched) -> None:
    before, after = watched.run(
        """
        Move(0.0),
        Topics = [Watch(#{width => 320, height => 180}),
                  Watch(#{width => 320, height => 180, format => png}),
                  Watch(#{width => 96, height => 120, format => raw, rate => 60}),
                  Watch(#{width => 97, height => 55, quality => 100, camera => 'Camera'})],
        First = [{Topic, Picture(Topic)} || Topic <- Topics],
        Move(3.0),
        Second = [Another(Topic, Old) || {Topic, Old} <- First],
        [Call(unsubscribe, [Topic]) || Topic <- Topics],
        {[Old || {_, Old} <- First], Second}
        """
    )
    formats = [("jpeg", 320, 180), ("png", 320, 180), ("raw", 96, 120), ("jpeg", 97, 55)]
    assert [(each["format"], each["width"], each["height"]) for each in before] == formats
    first = [watched.pixels(f"viewport_{number}", each) for number, each in enumerate(before)]
    second = [watched.pixels(f"viewport_moved_{number}", each) for number, each in enumerate(after)]
    for old, new in zip(first, second, strict=True):
        assert old.std() > 5
        assert np.abs(old.astype(int) - new).max() > 50
    # Both formats show the same.
    assert np.abs(first[0].astype(int) - first[1]).mean() < 4


def test_each_cast_of_the_live_handlers_draws_the_view(watched: Watched) -> None:
    found = watched.run(
        """
        Views = fun() -> #{<<"views">> := Count} = Call(drawn, []), Count end,
        Still = fun Again(Before) ->
            timer:sleep(1000),
            case Views() of Before -> Before; More -> Again(More) end
        end,
        Redrawn = fun Again(Before) ->
            timer:sleep(20),
            case Views() of Before -> Again(Before); _ -> drawn end
        end,
        Row = fun(Numbers) -> << <<Number:32/float-little>> || Number <- Numbers >> end,
        Cast = fun(Request) ->
            Before = Still(Views()),
            gen_server:cast({beam_bpy, '{node}'}, Request),
            Redrawn(Before)
        end,
        Sides = [0.9, -0.9],
        Cube = [Number || X <- Sides, Y <- Sides, Z <- Sides, Number <- [X, Y, Z]],
        Call(add_rig, []),
        [Cast({set_pose, <<"Rig">>, Row([0, 0.5, 0, 1, 0, 0, 0])}),
         Cast({set_transforms, [<<"Cube">>], Row([0, 0.5, 0, 1, 0, 0, 0])}),
         Cast({set_shape_keys, <<"Cube">>, Row([1])}),
         Cast({move_vertices, <<"Cube">>, Row(Cube)})]
        """
    )
    assert found == ["drawn"] * 4


def test_one_draw_serves_all_subscribers_of_the_same_options(watched: Watched) -> None:
    mine, other, same = watched.run(
        """
        Options = #{width => 64, height => 64, rate => 5.0},
        Topic = Watch(Options),
        Test = self(),
        spawn_link(fun() -> Watch(Options), Test ! {other, Topic, Picture(Topic)}, receive stop -> ok end end),
        Other = receive {other, Topic, Payload} -> Payload end,
        Mine = fun Again() -> case Picture(Topic) of Other -> Other; _ -> Again() end end(),
        Call(unsubscribe, [Topic]),
        {Mine, Other, Call(watch_viewport, [[{rate, 5}, {height, 64}, {width, 64.0}]]) =:= Topic}
        """
    )
    assert mine == other
    assert same


def test_nothing_is_drawn_without_a_change_or_a_subscriber(watched: Watched) -> None:
    still, unsubscribed, died, again = watched.run(
        """
        Count = fun(#{<<"pictures">> := Pictures}) -> Pictures end,
        Topic = Watch(#{width => 50, height => 40, rate => 60}),
        Old = Picture(Topic),
        Drawn(), Flush(),
        Before = Count(Call(drawn, [])), timer:sleep(2000), Still = Count(Call(drawn, [])) - Before,
        Call(unsubscribe, [Topic]),
        Drawn(),
        Start = Count(Call(drawn, [])), Unsubscribed = Count(Drawn()) - Start,
        Test = self(),
        {Pid, Ref} = spawn_monitor(fun() ->
            Picture(Watch(#{width => 50, height => 40, rate => 60})), Test ! ready,
            receive after infinity -> ok end
        end),
        receive ready -> ok end,
        exit(Pid, kill), receive {'DOWN', Ref, process, Pid, killed} -> ok end,
        Drawn(),
        Then = Count(Call(drawn, [])), Died = Count(Drawn()) - Then,
        Flush(), Subscribe(Topic), Picture(Topic), Call(unsubscribe, [Topic]),
        {Still, Unsubscribed, Died, Count(Call(drawn, [])) - Then}
        """
    )
    # A view that does not change is drawn again, but seldom.
    assert still <= 1
    assert unsubscribed == 0
    assert died == 0
    assert again >= 1


def test_a_wrong_option_is_a_sentence(watched: Watched) -> None:
    answers = watched.run(
        """
        Refused = fun(Options) ->
            try Call(watch_viewport, [Options]) of Topic -> {no_error, Topic}
            catch error:{exception, {python_error, #{message := Message}}, _} -> Message end
        end,
        [Refused(Options) || Options <- [#{window => 7}, #{camera => 'Cube'}, #{camera => 'No such'}]]
        """
    )
    assert all(isinstance(answer, str) for answer in answers), answers


def test_a_render_in_the_background_sends_each_frame(watched: Watched) -> None:
    frames = watched.run(
        """
        Topic = Subscribe(Call(watch_render, [#{largest_side => 32, format => png}])),
        Call(render_in_the_background, [3]),
        [Picture(Topic) || _ <- lists:seq(1, 3)]
        """
    )
    assert [(each["frame"], each["width"], each["height"]) for each in frames] == [
        (1, 32, 24),
        (2, 32, 24),
        (3, 32, 24),
    ]
    assert all(watched.pixels(f"render_{each['frame']}", each).std() > 5 for each in frames)


def test_pictures_come_again_after_another_file_was_opened(watched: Watched) -> None:
    before, after = watched.run(
        """
        Topic = Watch(#{width => 80, height => 60, format => raw}),
        Move(0.0), Before = Picture(Topic),
        Call(new_file, [#{discard => true}]),
        Call(create_cube, [<<"Other">>, #{size => 5.0}]),
        After = Another(Topic, Before),
        Call(unsubscribe, [Topic]),
        {Before, After}
        """
    )
    first, second = watched.pixels("before", before), watched.pixels("after", after)
    assert np.abs(first.astype(int) - second).max() > 20
