"""Handlers from files and modules, as both `serve` commands load them."""

import pickle
import sys

import pytest

from beam_bpy import BeamServer
from beam_bpy.cli.load_handlers import HandlersError, load_handlers

REGISTER = """
def register(server):
    server.register_handler("answer", lambda args: 42)
"""


@pytest.fixture(autouse=True)
def _modules(monkeypatch):
    """Undo what loading a file changes in this process."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = dict(sys.modules)
    yield
    for name in [name for name in sys.modules if name not in before]:
        del sys.modules[name]


@pytest.fixture
def load(tmp_path):
    """Write files (path: text), load those with these paths, and return the functions of the handlers by name."""

    def write_and_load(files, *names):
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        server = BeamServer()
        load_handlers([str(tmp_path / name) for name in names or files], server)
        return {handler.name: handler.function for handler in server.handlers}

    return write_and_load


def register(*functions):
    """The text of a `register` that registers these functions of the file."""
    return "\ndef register(server):\n" + "".join(f"    server.expose({name})\n" for name in functions)


class TestAFileIsLoadedAsAScript:
    def test_a_dataclass_with_annotations_as_text(self, load):
        text = (
            "from __future__ import annotations\nfrom dataclasses import dataclass\n"
            "@dataclass\nclass Crate:\n    size: int\ndef size(): return Crate(3).size\n"
        )

        assert load({"job.py": text + register("size")})["size"]() == 3

    def test_instances_of_its_classes_can_be_pickled(self, load):
        text = "class Crate: pass\ndef make(): return Crate()\n"

        crate = load({"job.py": text + register("make")})["make"]()

        assert type(pickle.loads(pickle.dumps(crate))) is type(crate)

    def test_modules_in_its_folder_can_be_imported(self, load):
        files = {
            "job.py": "import crate_tools\ndef size(): return crate_tools.SIZE\n" + register("size"),
            "crate_tools.py": "SIZE = 7\n",
        }

        assert load(files, "job.py")["size"]() == 7

    def test_modules_in_its_folder_can_be_imported_by_its_handlers(self, load):
        files = {
            "job.py": "def size():\n    import crate_tools\n    return crate_tools.SIZE\n" + register("size"),
            "crate_tools.py": "SIZE = 7\n",
        }

        assert load(files, "job.py")["size"]() == 7

    def test_its_file_is_an_absolute_path(self, load, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "job.py").write_text("def file(): return __file__\n" + register("file"))
        server = BeamServer()

        load_handlers(["job.py"], server)

        assert server.handlers[0].function() == str(tmp_path / "job.py")

    def test_the_part_for_a_main_program_does_not_run(self, load):
        assert "answer" in load({"job.py": REGISTER + '\nif __name__ == "__main__":\n    raise ValueError\n'})

    @pytest.mark.parametrize("name", ["queue.py", "json.py", "this.py", "pytest.py", "sys.py", "__main__.py"])
    def test_a_file_with_the_name_of_another_module(self, load, name):
        module = name.removesuffix(".py")
        before = sys.modules.get(module)
        text = f"import {module} as other\ndef names(): return __name__, other.__name__\n"

        own, other = load({name: text + register("names")})["names"]()

        assert other == module != own
        assert before is None or sys.modules[module] is before

    @pytest.mark.parametrize("name", ["my-job.py", "job.v2.py", "größe.py", "a b.py"])
    def test_a_file_whose_name_is_no_identifier(self, load, name):
        text = "class Crate: pass\ndef make(): return Crate()\n"

        crate = load({name: text + register("make")})["make"]()

        assert type(pickle.loads(pickle.dumps(crate))) is type(crate)


class TestSeveral:
    def test_all_are_loaded(self, load):
        files = {f"{name}.py": f"def {name}(): return {name!r}\n" + register(name) for name in ("job_a", "job_b")}

        assert {name: function() for name, function in load(files).items()} == {"job_a": "job_a", "job_b": "job_b"}

    def test_two_files_of_one_name(self, load):
        files = {
            f"{folder}/job.py": f"class Crate: pass\ndef {folder}(): return Crate()\n" + register(folder)
            for folder in ("left", "right")
        }

        crates = [function() for function in load(files).values()]

        assert [type(pickle.loads(pickle.dumps(crate))) for crate in crates] == [type(crate) for crate in crates]

    def test_a_file_that_another_has_imported_runs_once(self, load):
        files = {
            "job_a.py": "import job_b\ndef a(): return job_b.made\n" + register("a"),
            "job_b.py": "made = object()\ndef b(): return made\n" + register("b"),
        }

        handlers = load(files)

        assert handlers["a"]() is handlers["b"]()

    def test_a_module_by_name(self, load, tmp_path, monkeypatch):
        monkeypatch.syspath_prepend(tmp_path)
        load({"crates/__init__.py": "", "crates/serving.py": REGISTER}, "crates/serving.py")
        server = BeamServer()

        load_handlers(["crates.serving"], server)

        assert [handler.name for handler in server.handlers] == ["answer"]


class TestErrors:
    @pytest.mark.parametrize(
        ("text", "line", "words"),
        [
            ("x = 1\nundefined_name\n", 2, "NameError"),
            ("\n\ndef register(:\n", 3, "SyntaxError"),
            ("def register(server):\n\tif True:\n        pass\n", 3, "TabError"),
            ("import no_such_module_at_all\n", 1, "no_such_module_at_all"),
            ("x = 'a\0b'\n", None, "null"),
            ("raise SystemExit\n", 1, "SystemExit"),
            ("import sys\nsys.exit('no licence')\n", 2, "no licence"),
            ("class Own(BaseException): pass\nraise Own('deep')\n", 2, "deep"),
            ("import json\njson.loads('{')\n", 2, "JSONDecodeError"),
            ("class Bad(Exception):\n    def __str__(self): return 1/0\nraise Bad\n", 3, "Bad"),
            ("def f(): f()\nf()\n", 1, "RecursionError"),
            ("raise ValueError('two\\nlines')\n", 1, "two lines"),
            ("def register(server):\n    {}['size']\n", 2, "KeyError"),
            ("def register(server):\n    exit(3)\n", 2, "SystemExit"),
            ("def register(server):\n    server.register_handler('', max)\n", 2, "ValueError"),
            ("def register(): pass\n", None, "TypeError"),
            ("import asyncio\nraise asyncio.CancelledError\n", 2, "CancelledError"),
        ],
    )
    def test_an_exception_is_one_line_with_file_and_line(self, load, tmp_path, text, line, words):
        with pytest.raises(HandlersError) as caught:
            load({"job.py": text})

        sentence = str(caught.value)
        assert words in sentence
        assert line is None or f"{tmp_path / 'job.py'}, line {line}" in sentence
        assert len(sentence.splitlines()) == 1

    def test_an_exception_in_a_module_that_the_file_imports(self, load, tmp_path):
        with pytest.raises(HandlersError, match="line 2") as caught:
            load({"job.py": "import broken_tools\n", "broken_tools.py": "\n1 / 0\n"}, "job.py")

        assert str(tmp_path / "broken_tools.py") in str(caught.value)

    @pytest.mark.parametrize("text", ["", "register = 5\n", "async def register(server): pass\n"])
    def test_no_function_register(self, load, text):
        with pytest.raises(HandlersError, match="register\\(server\\)"):
            load({"job.py": text})

    @pytest.mark.parametrize("name", ["no_such_module_at_all", "", ".relative", "no-such-file.py", "/", "a/b", "json"])
    def test_a_name_that_cannot_be_loaded(self, name):
        with pytest.raises(HandlersError) as caught:
            load_handlers([name], BeamServer())

        assert repr(name) in str(caught.value)

    def test_a_module_name_where_a_file_was_meant(self, tmp_path, monkeypatch):
        (tmp_path / "unit_job.py").write_text(REGISTER)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in ("", ".")])

        with pytest.raises(HandlersError, match=r"write unit_job\.py"):
            load_handlers(["unit_job"], BeamServer())

    def test_ctrl_c_is_no_error_of_the_file(self, load):
        with pytest.raises(KeyboardInterrupt):
            load({"job.py": "raise KeyboardInterrupt\n"})

    def test_a_file_that_failed_is_no_module(self, load):
        before = set(sys.modules)
        with pytest.raises(HandlersError):
            load({"job.py": "1 / 0\n"})

        assert "job" not in set(sys.modules) - before
