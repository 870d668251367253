"""docs/terms.md against a real BEAM: each row of its tables, and its Elixir examples as one script."""

import array
import base64
import collections
import datetime
import pathlib
import re
import subprocess
import types
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
from beam import COOKIE, REPOSITORY, beam_program, seen, unique

import vendor_term_codec
from beam_bpy import BeamServer, ErlangVariantEncoder
from vendor_term_codec.types import exact

PAGE = (REPOSITORY / "docs" / "terms.md").read_text()
MODULES = (array, collections, datetime, numpy, pathlib, types, uuid)
NAMES = {
    **{name: getattr(vendor_term_codec, name) for name in vendor_term_codec.__all__},
    **{module.__name__: module for module in MODULES},
}
FINISHED = "the script came to its end"

# Echoes each pair of an Elixir and an Erlang expression, and says whether what came back is the same term.
ECHO_ROWS = """
erlang = fn text ->
  {:ok, tokens, _} = :erl_scan.string(String.to_charlist(text <> "."))
  {:ok, expressions} = :erl_parse.parse_exprs(tokens)
  {:value, value, _} = :erl_eval.exprs(expressions, [])
  value
end

for text <- rows do
  [elixir, in_erlang] = String.split(text, "\\n")
  {value, _} = Code.eval_string(elixir)

  for value <- [value, erlang.(in_erlang)] do
    IO.puts("#{call.(:echo, [value]) === value} #{elixir}")
  end
end
"""

COMPARE_ROWS = """
for text <- rows do
  [elixir, encoded] = String.split(text, "\\n")
  {value, _} = Code.eval_string(elixir)
  IO.puts("#{:erlang.binary_to_term(Base.decode64!(encoded)) === value} #{elixir}")
end
"""


def blocks(language: str) -> list[str]:
    """The examples in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def rows(header: str) -> list[list[str]]:
    """The cells of the table with this header, without the marks around code."""
    table = PAGE.split(f"\n{header}\n", 1)[1].split("\n\n", 1)[0]
    lines = table.splitlines()[1:]
    return [[cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def code(cell: str) -> str:
    """The code of a table cell that contains only code."""
    assert re.fullmatch(r"`[^`]+`", cell), cell
    return cell[1:-1]


class Echo:
    """The handler `echo` of the page, which keeps what it was called with."""

    def __init__(self) -> None:
        self.values: list[Any] = []

    def __call__(self, value: Any) -> Any:
        self.values.append(value)
        return value


@pytest.fixture
def server(start_server: Callable[..., BeamServer]) -> BeamServer:
    """A server with the handlers of the page, under the name that its examples call."""
    server = start_server(node_name="beam_bpy")
    namespace: dict[str, Any] = {"server": server}
    for block in blocks("python"):
        exec(block, namespace)
    assert server.start(), server.last_error
    return server


@pytest.fixture
def run(
    server: BeamServer, beam_folder: Path, child_environment: Callable[..., dict[str, str]]
) -> Iterator[Callable[[str], str]]:
    """Runs an Elixir script, on a node that may call the server, up to its end; returns what it prints."""
    script = beam_folder / f"{unique('docs')}.exs"

    def run(source: str) -> str:
        script.write_text(f'{source}\nIO.puts("{FINISHED}")\n')
        command = [*beam_program("elixir"), "--name", f"{unique('docs')}@127.0.0.1", "--cookie", COOKIE, seen(script)]
        done = subprocess.run(command, env=child_environment(), capture_output=True, text=True, timeout=90)
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.endswith(f"{FINISHED}\n")
        return done.stdout.removesuffix(f"{FINISHED}\n")

    yield run
    script.unlink(missing_ok=True)


def with_rows(pairs: list[tuple[str, str]], script: str) -> str:
    """The page's line that says what `call` is, and a script that finds pairs of texts in `rows`."""
    encoded = [base64.b64encode("\n".join(pair).encode()).decode() for pair in pairs]
    return (
        f"{blocks('elixir')[0].splitlines()[0]}\nrows = Enum.map(~w({' '.join(encoded)}), &Base.decode64!/1)\n{script}"
    )


def test_the_examples_in_elixir(run: Callable[[str], str]) -> None:
    examples = blocks("elixir")
    assert len(examples) > 5
    assert all(re.search(r"^\S.* =(?: |$)", example, re.MULTILINE) for example in examples), "a match is what can fail"
    run("\n".join(examples))


def test_each_value_arrives_as_the_table_says_and_goes_back_the_same(
    server: BeamServer, run: Callable[[str], str]
) -> None:
    table = rows("| Elixir | Erlang | in Python |")
    assert len(table) > 30
    echo = Echo()
    server.expose(echo, name="echo")
    printed = run(with_rows([(code(elixir), code(erlang)) for elixir, erlang, _python in table], ECHO_ROWS))
    assert printed.splitlines() == [f"true {code(elixir)}" for elixir, _erlang, _python in table for _ in range(2)]

    expected = [cell for _elixir, _erlang, cell in table for _ in range(2)]
    for cell, value in zip(expected, echo.values, strict=True):
        if cell.startswith("a "):
            assert type(value).__name__ == code(cell.removeprefix("a "))
            continue
        wanted = eval(code(cell), dict(NAMES))
        assert type(value) is type(wanted), cell
        assert exact(value) == exact(wanted), cell


def test_each_value_of_python_is_the_term_that_the_table_says(run: Callable[[str], str]) -> None:
    table = rows("| Python | Elixir |")
    assert len(table) > 10
    encoder = ErlangVariantEncoder()
    names: dict[str, Any] = dict(NAMES)
    (classes,) = [block for block in blocks("python") if "class Crate" in block]
    exec(classes, names)
    pairs = []
    for python, elixir in table:
        encoded = encoder.encode(eval(code(python), names))
        pairs.append((code(elixir), base64.b64encode(encoded).decode()))
    assert run(with_rows(pairs, COMPARE_ROWS)).splitlines() == [f"true {elixir}" for elixir, _encoded in pairs]
