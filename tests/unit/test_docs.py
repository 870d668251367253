"""What the documents name has to exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"


def test_every_test_that_the_protocol_page_names_exists():
    names = set(re.findall(r"`(?:test_\w+::)?(test_\w+)`", (ROOT / "docs" / "protocol.md").read_text()))
    sources = "\n".join(path.read_text() for path in TESTS.rglob("test_*.py"))
    files = {path.stem for path in TESTS.rglob("test_*.py")}

    assert len(names) > 20
    assert [name for name in sorted(names) if name not in files and f"def {name}(" not in sources] == []


@pytest.mark.parametrize(
    "page", ["README.md", "AGENTS.md", "docs/protocol.md", "docs/names.md", "docs/terms.md", "docs/codec.md"]
)
def test_every_local_link_leads_somewhere(page):
    path = ROOT / page
    links = [link for link in re.findall(r"\]\(([^)#]+)", path.read_text()) if "://" not in link]

    assert [link for link in links if not (path.parent / link).exists()] == []


@pytest.mark.parametrize(
    "command", sorted(set(re.findall(r"\bmake ([a-z][a-z0-9-]*)", (ROOT / "README.md").read_text())))
)
def test_every_make_command_of_the_readme_exists(command):
    assert re.search(rf"^{command}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
