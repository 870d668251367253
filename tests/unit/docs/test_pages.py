"""Files, commands and names in the documents exist."""

import ast
import dataclasses
import re
from pathlib import Path

import pytest

from beam_bpy.limits import Limits
from beam_bpy.settings import TABLE

ROOT = Path(__file__).parents[3]
TESTS = ROOT / "tests"


PAGES = ["README.md", "AGENTS.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]
ADD_ON = sorted((ROOT / "beam_bpy_addon").glob("*.py"))


def rows(page, header):
    """The cells of the table with this header."""
    table = (ROOT / "docs" / page).read_text().split(f"\n{header}\n", 1)[1].split("\n\n", 1)[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[1:]]


@pytest.mark.parametrize(("page", "least"), [("protocol.md", 20), ("guidelines.md", 15)])
def test_every_test_that_a_page_names_exists(page, least):
    names = set(re.findall(r"`(?:test_\w+::)?(test_\w+)`", (ROOT / "docs" / page).read_text()))
    sources = "\n".join(path.read_text() for path in TESTS.rglob("test_*.py"))
    files = {path.stem for path in TESTS.rglob("test_*.py")}

    assert len(names) >= least
    assert [name for name in sorted(names) if name not in files and f"def {name}(" not in sources] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_local_link_leads_somewhere(page):
    path = ROOT / page
    links = [link for link in re.findall(r"\]\(([^)#]+)", path.read_text()) if "://" not in link]

    assert [link for link in links if not (path.parent / link).exists()] == []


@pytest.mark.parametrize(
    "command", sorted(set(re.findall(r"\bmake ([a-z][a-z0-9-]*)", (ROOT / "README.md").read_text())))
)
def test_every_make_command_of_the_readme_exists(command):
    assert re.search(rf"^{command}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_every_error_sentence_of_the_troubleshooting_table_is_one_that_the_code_has():
    folders = ("beam_bpy", "beam_bpy_addon", "scene_handlers", "python_handlers")
    sources = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    # A sentence may stand on several lines, each a string of its own.
    code = re.sub(r'["\']\s*\n\s*f?["\']', "", "\n".join(path.read_text() for path in sources))
    sentences = [cells[0].strip("`") for cells in rows("blender.md", "| what it says | what to do |")]

    assert len(sentences) > 10
    parts = [part.strip() for sentence in sentences for part in sentence.split("…")]
    assert [part for part in parts if part not in code] == []


def test_the_limits_of_the_page_are_those_of_the_code():
    table = rows("operating.md", "| limit | default | what |")
    defaults = {
        field.name: f"{field.default:g}" if field.name == "stalled_peer_timeout" else str(field.default)
        for field in dataclasses.fields(Limits)
    }

    assert {cells[0].strip("`"): cells[1] for cells in table} == defaults


def test_the_settings_of_the_page_are_those_of_the_code():
    cells = rows("operating.md", "| option | environment | argument | default |")
    found = [(option.strip("`"), variable.strip("`")) for option, variable, _argument, _default in cells]

    assert found == [(setting.option, setting.variable) for setting in TABLE]
    defaults = ["" if setting.default is None else f"`{setting.default}`".replace(".0`", "`") for setting in TABLE]
    assert [default for *_cells, default in cells] == defaults


def test_the_preferences_of_the_page_are_those_of_the_add_on():
    labels = [cells[0] for cells in rows("blender.md", "| | default | |")]
    preferences = (ROOT / "beam_bpy_addon" / "preferences.py").read_text()

    assert len(labels) == len(re.findall(r"^    \w+: \w+Property\(", preferences, re.MULTILINE))
    assert [label for label in labels if f'"{label}"' not in preferences] == []


@pytest.mark.parametrize("path", ADD_ON, ids=lambda path: path.name)
def test_the_add_on_knows_no_module_name(path):
    tree = ast.parse(path.read_text())
    absolute = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level]

    assert "bl_ext" not in ast.unparse(tree)
    assert [name for name in absolute if name.startswith("beam_bpy_addon")] == []


@pytest.mark.parametrize("path", ADD_ON, ids=lambda path: path.name)
def test_the_add_on_leaves_paths_and_modules_alone(path):
    found = {ast.unparse(node) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.expr)}

    assert found & {"sys.path", "sys.modules", "__file__", "open", "Path"} == set()


def test_the_classes_have_names_by_convention():
    kinds = {"Operator": "OT", "Panel": "PT", "UIList": "UL", "AddonPreferences": "AP", "PropertyGroup": "PG"}
    found = [
        (node.name, ast.unparse(base).rpartition(".")[2])
        for path in ADD_ON
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
        for base in node.bases
        if ast.unparse(base).startswith("bpy.types.")
    ]

    assert len(found) > 15
    assert [name for name, base in found if not re.match(rf"BEAMBPY_{kinds[base]}_[a-z_]+$", name)] == []


def test_one_pytest_can_run_all_tests():
    """The README runs `pytest tests/`, which needs another name for each file. Those of inside/ run inside Blender."""
    names = [path.name for path in TESTS.rglob("test_*.py") if "inside" not in path.parts]
    assert sorted(names) == sorted(set(names))
