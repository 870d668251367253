"""Python Handlers in Blender: the checkbox, and code that uses bpy."""

import gc
import logging
import os
from pathlib import Path
from typing import Any

import bpy
import erlang
import in_blender
import pytest
from code_blocks import code_blocks
from test_docs_examples import elixir


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the preference counts."""
    monkeypatch.delenv("BPY_BEAM_ALLOW_PYTHON", raising=False)


@pytest.fixture
def allowed(python_handlers: Any) -> Any:
    """Python Handlers, with the checkbox on, and a running server."""
    python_handlers.allow_python = True
    assert bpy.ops.beam_bpy.start_server() == {"FINISHED"}
    return python_handlers


def run(code: str, arguments: str = "#{}", options: str = "#{}") -> Any:
    """The answer of a call of run_python from a real Erlang node: `{"result": …, "output": …}`."""
    return in_blender.call("run_python", f'[<<"{code}"/utf8>>, {arguments}, {options}]')


def reason(code: str, arguments: str = "#{}") -> Any:
    """The reason with which a call of run_python fails."""
    call = f"erpc:call(N, 'Elixir.Blender', run_python, [<<\"{code}\"/utf8>>, {arguments}])"
    return in_blender.erl(f"try {call} of _ -> nothing catch error:{{exception, Why, _}} -> Why end")


class TestThePreference:
    def test_it_is_off_and_explains_itself(self, python_handlers: Any) -> None:
        prop = python_handlers.bl_rna.properties["allow_python"]

        assert python_handlers.allow_python is False
        assert prop.name == "Allow BEAM Nodes to Run Python"
        for words in ("knows the cookie", "read and delete files", "start programs", "Use it only if you trust"):
            assert words in prop.description
        assert not prop.description.endswith(".")

    def test_without_it_no_code_runs(self, python_handlers: Any) -> None:
        assert bpy.ops.beam_bpy.start_server() == {"FINISHED"}

        word, sentence = reason("import bpy; bpy.data.objects['Cube'].name = 'Ran'")
        assert word == "not_allowed"
        assert "Preferences, Add-ons, Python Handlers" in sentence
        assert "Cube" in bpy.data.objects

    def test_a_change_applies_at_once(self, allowed: Any) -> None:
        assert run("1 + 1") == {"result": 2, "output": ""}
        allowed.allow_python = False
        assert reason("1 + 1")[0] == "not_allowed"

    def test_each_switching_on_is_one_warning(self, python_handlers: Any, caplog: pytest.LogCaptureFixture) -> None:
        python_handlers.allow_python = True
        python_handlers.allow_python = False

        found = [record.levelno for record in caplog.records if "every node that knows the cookie" in record.message]
        assert found == [logging.WARNING]

    @pytest.mark.parametrize(("text", "allows"), [("yes", True), ("no", False)])
    def test_the_environment_variable_has_precedence(
        self, python_handlers: Any, monkeypatch: pytest.MonkeyPatch, text: str, allows: bool
    ) -> None:
        monkeypatch.setenv("BPY_BEAM_ALLOW_PYTHON", text)
        python_handlers.allow_python = not allows
        assert bpy.ops.beam_bpy.start_server() == {"FINISHED"}

        if allows:
            assert run("2") == {"result": 2, "output": ""}
        else:
            assert reason("2")[0] == "not_allowed"

    def test_a_disabled_extension_has_no_handler(self, allowed: Any) -> None:
        assert run("2")["result"] == 2
        in_blender.disable(in_blender.PYTHON_HANDLERS)

        assert reason("2") == "undef"
        assert not hasattr(bpy.types, "BEAMBPY_AP_python_handlers")

    def test_it_is_off_after_the_extension_was_enabled_again(self, allowed: Any) -> None:
        in_blender.disable(in_blender.PYTHON_HANDLERS)
        assert in_blender.enable(in_blender.PYTHON_HANDLERS)

        assert reason("2")[0] == "not_allowed"

    def test_no_scene_handler_can_switch_it_on(self, python_handlers: Any, scene_handlers: None) -> None:
        paths = [
            f"preferences.addons['{in_blender.PYTHON_HANDLERS}'].preferences.allow_python",
            "allow_python",
            "['allow_python']",
        ]
        owners = ["Cube", "scene", "preferences", "context", "window_manager", in_blender.PYTHON_HANDLERS]
        assert bpy.ops.beam_bpy.start_server() == {"FINISHED"}
        lists = ", ".join("[" + ", ".join(f'<<"{text}">>' for text in texts) + "]" for texts in (owners, paths))
        in_blender.erl(
            f"{{Owners, Paths}} = {{{lists}}}, "
            "[catch erpc:call(N, 'Elixir.Scene', set_property, [O, P, true]) || O <- Owners, P <- Paths], ok"
        )

        assert python_handlers.allow_python is False
        assert reason("2")[0] == "not_allowed"

    def test_another_handler_of_that_name_changes_nothing(self, python_handlers: Any, server: Any) -> None:
        server.expose(name="allow_python", owner="another")(lambda *_args: True)
        assert bpy.ops.beam_bpy.start_server() == {"FINISHED"}
        assert in_blender.call("allow_python") is True

        assert reason("2")[0] == "not_allowed"


class TestCode:
    def test_it_has_bpy_and_works_on_the_scene(self, allowed: Any) -> None:
        code = "bpy.ops.mesh.primitive_cube_add(location=at)\\nbpy.context.object.name = name"
        code += "\\nprint(len(bpy.data.objects))"
        answer = run(f"{code}\\nlist(bpy.context.object.location)", '#{at => [1, 2, 3], name => <<"Crate">>}')

        assert answer == {"result": [1.0, 2.0, 3.0], "output": "4\n"}
        assert "Crate" in bpy.data.objects

    def test_types_of_blender_are_terms(self, allowed: Any) -> None:
        assert run("bpy.data.objects['Cube'].location")["result"] == [0.0, 0.0, 0.0]
        assert run("import mathutils\\nmathutils.Color((1, 0, 0))")["result"] == [1.0, 0.0, 0.0]

    @pytest.mark.parametrize(
        ("code", "type_"),
        [
            ("bpy.data.objects['Cube']", "Object"),
            ("bpy.context", "Context"),
            ("bpy.data", "BlendData"),
            ("bpy", "module"),
        ],
    )
    def test_a_result_without_a_term_is_named(self, allowed: Any, code: str, type_: str) -> None:
        word, details = reason(f"print(1)\\n{code}")

        assert word == "python_error"
        assert "the value of the last expression has no Erlang term" in details["message"]
        assert type_ in details["message"]
        assert details["output"] == "1\n"

    def test_errors_of_operators_are_errors_of_the_call(self, allowed: Any) -> None:
        _word, details = reason("print(1)\\nbpy.ops.object.join()\\nbpy.ops.wm.no_such_operator()")

        assert details["type"] in ("RuntimeError", "AttributeError")
        assert 'File "<run_python>"' in details["traceback"]
        assert details["output"].startswith("1\n")

    @pytest.mark.parametrize("code", ["exit()", "raise SystemExit(1)", "raise KeyboardInterrupt", "1 +"])
    def test_nothing_ends_blender(self, allowed: Any, server: Any, code: str) -> None:
        assert reason(code)[0] == "python_error"
        assert run("3")["result"] == 3
        assert server.running

    def test_nothing_remains_but_the_scene(self, allowed: Any) -> None:
        run("x = 1\\nbpy.context.scene['kept'] = x")

        assert reason("x")[1]["type"] == "NameError"
        assert run("bpy.context.scene['kept']")["result"] == 1

    def test_a_timer_of_the_code_outlives_the_call(self, allowed: Any) -> None:
        code = "def later():\\n    bpy.context.scene['later'] = value\\nbpy.app.timers.register(later)\\nlater"
        # A function has no term, but the code has run.
        assert reason(code, "#{value => 5}")[0] == "python_error"
        assert run("import gc\\ngc.collect()\\nNone")["result"] is None
        (found,) = [one for one in _objects() if getattr(one, "__name__", None) == "later"]
        found()
        assert bpy.context.scene["later"] == 5
        bpy.app.timers.unregister(found)

    def test_a_file_that_is_loaded_meanwhile(self, allowed: Any) -> None:
        code = "bpy.ops.wm.read_homefile(use_factory_startup=True)\\nsorted(bpy.data.objects.keys())"
        assert run(code)["result"] == ["Camera", "Cube", "Light"]

    def test_it_can_be_undone(self, allowed: Any, server: Any) -> None:
        (handler,) = [one for one in server.handlers if one.name == "run_python"]

        assert handler.undo
        assert handler.owner == in_blender.PYTHON_HANDLERS


def test_no_error_shows_the_cookie(allowed: Any) -> None:
    codes = ["1 / 0", "object()", "1 +", "raise SystemExit", "import traceback\\ntraceback.print_stack()\\n1 / 0"]
    for code in codes:
        assert erlang.COOKIE not in repr(reason(code))


def _objects() -> list[Any]:
    return gc.get_objects()


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> str:
    """The page about the handler, whose node has the default name."""
    monkeypatch.setenv("BPY_BEAM_NODE", "beam_bpy")
    return Path(os.environ["DOCS"], "run_python.md").read_text(encoding="utf-8")


def test_the_examples_of_the_page(page: str, allowed: Any, tmp_path: Path) -> None:
    script = tmp_path / "examples.exs"
    script.write_text("\n".join([*code_blocks(page, "elixir"), 'IO.puts("the script came to its end")']))

    name = f"run_python_{os.getpid()}@127.0.0.1"
    printed = elixir("--erl", "-start_epmd false", "--name", name, "--cookie", erlang.COOKIE, str(script))
    assert printed.endswith("the script came to its end\n")
    (example,) = code_blocks(page, "erlang")
    assert in_blender.erl(f"Node = N, {example.strip().removesuffix('.')}, done") == "done"
