"""The extension in the window of a real Blender, by mouse and keyboard. The photographs are in out/gui."""

import os
import socket
from pathlib import Path

from window import Report, System, Window, eventually, region

from tests.blender.erlang import erl

EXTENSION = "bl_ext.user_default.beam_bpy"
SCENE_HANDLERS = "bl_ext.user_default.scene_handlers"

PREFERENCES = "^Preferences$"

# Widgets of Blender's own, in pixels: of the screen, or from the corners of the dialog.
CONTINUE = (638, 607)
EDIT, EDIT_PREFERENCES = (83, 14), (136, 283)
GET_EXTENSIONS, ADD_ONS = (58, 164), (58, 198)
EXTENSIONS_MENU, INSTALL_FROM_DISK = (-15, 18), (-127, 141)
FILE_NAME, CONFIRM = (448, -21), (-73, -21)
FIRST_ADD_ON, FIRST_ENABLED, FIRST_NODE_NAME = (188, 55), (210, 55), (687, 330)
# From the sidebar's upper left corner.
BEAM_TAB, START = (278, 168), (130, 74)


def node() -> str:
    """The name of the Blender that the fixture `installed` starts."""
    return f"gui_{os.getpid()}@127.0.0.1"


def open_preferences(window: Window) -> None:
    def act() -> None:
        window.click(*EDIT)
        window.click(*EDIT_PREFERENCES)

    window.until(act, lambda report: len(report["windows"]) == 2, "the preferences open")
    window.place_dialog(PREFERENCES)


def open_section(window: Window, button: tuple[int, int], name: str) -> None:
    window.until(
        lambda: window.click(*window.in_dialog(*button)),
        lambda report: report["section"] == name,
        f"the section {name}",
    )


def install_from_disk(window: Window, package: Path, module: str) -> None:
    open_section(window, GET_EXTENSIONS, "EXTENSIONS")

    def act() -> None:
        window.click(*window.in_dialog(*EXTENSIONS_MENU))
        window.click(*window.in_dialog(*INSTALL_FROM_DISK))

    window.until(act, lambda report: len(report["windows"]) == 3, "the file browser opens")
    # It begins in the home folder, where the zips are.
    window.place_dialog("Blender File")
    window.click(*window.in_dialog(*FILE_NAME), times=2)
    window.press("ctrl+a")
    window.type(package.name)
    window.press("Return")
    window.picture(f"install_{package.stem}")
    window.click(*window.in_dialog(*CONFIRM))
    window.wait(lambda report: module in report["addons"], f"{module} is enabled", timeout=60)
    window.wait(lambda report: len(report["windows"]) == 2, "the file browser closes")


def sidebar(report: Report) -> dict[str, int] | None:
    return region(report, "VIEW_3D", "UI")


def open_sidebar(window: Window) -> None:
    if sidebar(window.report()):
        return

    def act() -> None:
        window.hover(400, 500)
        window.press("n")

    window.until(act, lambda report: (sidebar(report) or {"width": 0})["width"] > 200, "the sidebar opens")
    window.settle()


def click_start(window: Window) -> None:
    open_sidebar(window)
    at = sidebar(window.report())
    assert at is not None

    def act() -> None:
        window.click(at["left"] + BEAM_TAB[0], at["top"] + BEAM_TAB[1])
        window.click(at["left"] + START[0], at["top"] + START[1])

    window.until(act, lambda report: report["state"] == "running", "the server runs")


def answers(port: str) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", int(port))) == 0


def test_from_the_zip_to_the_first_call(fresh: Window, folder: Path, environment: dict[str, str]) -> None:
    name = f"clicked_{os.getpid()}"
    fresh.picture("1_first_start")
    fresh.click(*CONTINUE)
    fresh.wait(lambda report: (folder / "blender" / "config" / "userpref.blend").exists(), "the quick setup is saved")
    open_preferences(fresh)
    for package, module in (("beam_bpy", EXTENSION), ("scene_handlers", SCENE_HANDLERS)):
        (path,) = folder.glob(f"{package}-*.zip")
        install_from_disk(fresh, path, module)
    fresh.settle()
    fresh.picture("2_installed")
    open_section(fresh, ADD_ONS, "ADDONS")
    fresh.click(*fresh.in_dialog(*FIRST_ADD_ON))

    def rename() -> None:
        fresh.click(*fresh.in_dialog(*FIRST_NODE_NAME), times=2)
        fresh.press("ctrl+a")
        fresh.type(name)
        fresh.press("Return")

    fresh.until(rename, lambda report: report["node_name"] == name, "the node has the name that was typed")
    fresh.picture("3_preferences")
    fresh.put_away(PREFERENCES)
    assert not answers(environment["ERL_EPMD_PORT"])
    click_start(fresh)
    fresh.picture("4_running")
    code = f"erpc:call('{name}@127.0.0.1', 'Elixir.Scene', create_cube, [<<\"Clicked\">>, #{{location => [3, 0, 0]}}])"
    assert erl(code, environment) == "Clicked"
    fresh.settle()
    fresh.picture("5_called")
    code = f"erpc:call('{name}@127.0.0.1', 'Elixir.Scene', list_objects, [])"
    assert "Clicked" in erl(code, environment)


# Each caller counts its answers, and ends otherwise when one is not what it has asked for.
TEN_THOUSAND = """
    N = '{node}', Callers = 8, Each = 1250, Middle = Each div 2,
    Ask = fun(Function, Argument) -> erpc:call(N, 'Elixir.Gui', Function, [Argument], 240000) end,
    true = Ask(save, <<"{path}">>),
    Call = fun(Caller, I) ->
        (Caller =:= 1) andalso (I =:= Middle) andalso (true = Ask(load, <<"{path}">>)),
        Number = Caller * Each + I,
        Number = Ask(move, Number)
    end,
    Work = fun(Caller) -> exit({{answered, length([Call(Caller, I) || I <- lists:seq(1, Each)])}}) end,
    Started = [spawn_monitor(fun() -> Work(Caller) end) || Caller <- lists:seq(1, Callers)],
    lists:sum([receive {{'DOWN', Ref, process, _, {{answered, Count}}}} -> Count;
                       {{'DOWN', Ref, process, _, Reason}} -> error(Reason) end || {{_, Ref}} <- Started])
"""


def test_ten_thousand_calls_while_a_file_is_loaded(
    installed: Window, system: System, folder: Path, environment: dict[str, str]
) -> None:
    click_start(installed)
    before = installed.report()
    assert before["file"] == ""
    path = system.seen(folder / "middle.blend")
    assert erl(TEN_THOUSAND.format(node=node(), path=path), environment) == 10_000
    after = installed.settle()
    installed.picture("ten_thousand_calls")
    assert after["file"] == path
    assert after["frames"] > before["frames"] + 10


TEN_SECONDS = """
    Me = self(),
    Call = fun() -> exit({{value, erpc:call('{node}', gui, call_with_progress, [Me, long, [10.0]], 60000)}}) end,
    {{_, Ref}} = spawn_monitor(Call),
    Value = receive {{'DOWN', Ref, process, _, {{value, Returned}}}} -> Returned end,
    Shares = fun Next() -> receive {{progress, <<"long">>, Share}} -> [Share | Next()] after 0 -> [] end end,
    {{Value, Shares()}}
"""

KILLED = """
    Caller = spawn(fun() -> erpc:call('{node}', 'Elixir.Gui', long, [600.0], infinity) end),
    timer:sleep(1000),
    exit(Caller, kill)
"""


def test_a_long_handler_leaves_the_window_alive(installed: Window, folder: Path, environment: dict[str, str]) -> None:
    click_start(installed)
    reports, shares = erl(TEN_SECONDS.format(node=node()), environment)
    assert len(shares) > 1
    assert shares == sorted(shares)
    # The window's main loop has reported while the handler ran, between its first and its last slice.
    assert len(set(reports)) > 1

    (folder / "ended").unlink()
    (folder / "began").unlink()
    assert erl(KILLED.format(node=node()), environment) is True
    assert (folder / "began").exists()
    eventually((folder / "ended").exists, "the handler of a caller that was killed is closed")


# Many calls: several are answered in one tick, and the main loop is kept awake from the end of the first tick on.
AWAKE = """
    Ask = fun(Function, Arguments) -> erpc:call('{node}', gui, Function, Arguments, 60000) end,
    Awake = fun() -> lists:member(true, [Ask(awake, []) || _ <- lists:seq(1, 400)]) end,
    Called = Awake(),
    timer:sleep(1000),
    Rested = Ask(awake, []),
    Ask(stay_awake, [0.0]),
    timer:sleep(1000),
    {{Called, Rested, Awake()}}
"""


def test_the_main_loop_is_kept_awake_by_calls_unless_the_user_forbids_it(
    installed: Window, environment: dict[str, str]
) -> None:
    click_start(installed)
    # The message that a node has connected is a modal operator for as long as nobody moves the mouse.
    assert erl(AWAKE.format(node=node()), environment) == (True, False, False)


# Far more than Blender has time for before it is gone.
IN_FLIGHT = """
    Call = fun() -> exit({{called, try erpc:call('{node}', 'Elixir.Gui', slow, [0.2], 240000)
                                   catch error:{{erpc, noconnection}} -> noconnection end}}) end,
    Started = [spawn_monitor(Call) || _ <- lists:seq(1, 1000)],
    [receive {{'DOWN', Ref, process, _, {{called, Answer}}}} -> Answer end || {{_, Ref}} <- Started]
"""


def test_quit_with_calls_in_flight(installed: Window, folder: Path, environment: dict[str, str]) -> None:
    click_start(installed)

    def quit_meanwhile(_process: object) -> None:
        eventually((folder / "entered").exists, "the first call runs")
        installed.hover(400, 500)
        installed.screen.run("xdotool", "key", "ctrl+q")
        installed.process.wait(60)

    found = erl(IN_FLIGHT.format(node=node()), environment, meanwhile=quit_meanwhile)
    assert installed.process.returncode == 0, installed.printed()
    assert len(found) == 1000
    assert set(found) == {"slow", "noconnection"}


def test_disable_and_enable_by_click_while_it_runs(installed: Window, environment: dict[str, str]) -> None:
    click_start(installed)
    open_preferences(installed)
    open_section(installed, ADD_ONS, "ADDONS")

    def switch() -> None:
        installed.click(*installed.in_dialog(*FIRST_ENABLED))

    def disable_meanwhile(_process: object) -> None:
        installed.wait(lambda report: report["nodes"], "the node is connected")
        installed.until(switch, lambda report: EXTENSION not in report["addons"], "the extension is disabled")

    watch = f"N = '{node()}', pong = net_adm:ping(N), monitor_node(N, true), receive {{nodedown, N}} -> noticed end"
    assert erl(watch, environment, meanwhile=disable_meanwhile) == "noticed"
    installed.picture("disabled")
    assert not answers(environment["ERL_EPMD_PORT"])

    installed.until(switch, lambda report: EXTENSION in report["addons"], "the extension is enabled")
    installed.put_away(PREFERENCES)
    click_start(installed)
    # The handlers of the script stayed registered.
    assert erl(f"erpc:call('{node()}', 'Elixir.Gui', move, [7])", environment) == 7
