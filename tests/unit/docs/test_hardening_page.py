"""Each test that the page on attacks and faults names has to exist, and each row has to name one."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]
PAGE = (TESTS.parent / "docs" / "hardening.md").read_text()
HEADER = ["attack or fault", "what happens", "test"]


def tables():
    """The rows of each table, header first, without the line under it."""
    blocks = re.findall(r"(?:^\|.*\|\n)+", PAGE, re.MULTILINE)
    split = [[[cell.strip() for cell in line[1:-1].split("|")] for line in block.splitlines()] for block in blocks]
    return [[table[0], *table[2:]] for table in split]


ROWS = [row for table in tables() for row in table[1:]]


@cache
def functions_in(file):
    """The names of the test functions and methods in a file below tests/."""
    tree = ast.parse((TESTS / file).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_every_table_has_the_same_header_and_every_row_its_cells():
    assert len(tables()) >= 4
    assert [table[0] for table in tables()] == [HEADER] * len(tables())
    assert [row for row in ROWS if len(row) != len(HEADER) or not all(row)] == []


@pytest.mark.parametrize("row", ROWS, ids=[row[0][:40] for row in ROWS])
def test_every_row_names_tests_that_exist(row):
    named = re.findall(r"`([\w/]+\.py)::(test_\w+)`", row[2])

    assert ", ".join(f"`{file}::{test}`" for file, test in named) == row[2]
    assert [f"{file}::{test}" for file, test in named if test not in functions_in(file)] == []


def test_no_attack_stands_there_twice():
    attacks = [row[0] for row in ROWS]

    assert len(set(attacks)) == len(attacks)
