"""Code is run as in a notebook, and whatever it does ends with its call."""

import linecache
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from beam_bpy import Atom, ErlangError, ErlangVariantEncoder
from python_handlers import execution
from python_handlers.arguments import MAX_OUTPUT

ENCODER = ErlangVariantEncoder()


def run(code, arguments=None, options=None):
    """The result and the output."""
    answer = execution.run(code, arguments, options, ENCODER)
    assert set(answer) == {"result", "output"}
    assert all(type(key) is Atom for key in answer)
    return answer["result"], answer["output"]


def failure(code, arguments=None, options=None):
    """The details of the error."""
    with pytest.raises(ErlangError) as caught:
        execution.run(code, arguments, options, ENCODER)
    word, details = caught.value.reason
    assert word == "python_error"
    assert set(details) == {"type", "message", "traceback", "output"}
    assert all(type(key) is Atom and type(text) is str for key, text in details.items())
    ENCODER.encode(caught.value.reason)
    return details


@pytest.mark.parametrize(
    ("code", "result"),
    [
        ("1 + 1", 2),
        ("x = 20\nx + 1", 21),
        ("x = 20", None),
        ("", None),
        ("# only a comment", None),
        ("'a text'", "a text"),
        ("pass", None),
        ("for i in range(3):\n    i", None),
        ("(y := 5)", 5),
        ("1; 2; 3", 3),
        ("from __future__ import annotations\nlen('abc')", 3),
        ("def f(n):\n    return 1 if n == 0 else n * f(n - 1)\nf(5)", 120),
        ("k = 3\n[k * n for n in range(3)]", [0, 3, 6]),
        ("__name__", "__main__"),
        ("result = 1\noutput = 2\nresult + output", 3),
        ("'grün 🎉'", "grün 🎉"),
        ("if __name__ == '__main__':\n    seen = True\nseen", True),
    ],
)
def test_the_value_of_the_last_expression_is_the_result(code, result):
    assert run(code) == (result, "")


def test_dataclasses_find_their_module():
    code = "from dataclasses import dataclass\n@dataclass\nclass A:\n    x: 'int'\nA(3).x"
    assert run(code) == (3, "")


def test_arguments_are_variables():
    assert run("x + y['z']", {Atom("x"): 1, "y": {"z": 2}}) == (3, "")
    assert run("x", [(Atom("x"), 1)]) == (1, "")
    assert run("1", []) == (1, "")
    assert run("größe", {"größe": 4}) == (4, "")


def test_nothing_remains_in_the_namespace():
    assert run("left_behind = 1\nleft_behind") == (1, "")
    assert failure("left_behind")["type"] == "NameError"


def test_the_interpreter_is_as_before():
    def state():
        return (sys.modules["__main__"], sys.stdin, sys.stdout, sys.stderr, sys.getrecursionlimit())

    before = state()
    run("import sys\nsys.stdout = sys.stderr = sys.stdin = None\nsys.setrecursionlimit(2000)")
    run("import sys\ndel sys.modules['__main__']")
    failure("import sys\nsys.stdout = None\nraise SystemExit(3)")
    assert state() == before
    assert execution.FILE not in linecache.cache


@pytest.mark.parametrize(
    ("code", "type_", "in_message"),
    [
        ("1 / 0", "ZeroDivisionError", "division by zero"),
        ("raise SystemExit(3)", "SystemExit", "3"),
        ("exit()", "SystemExit", ""),
        ("import sys\nsys.exit('a reason')", "SystemExit", "a reason"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt", ""),
        ("raise GeneratorExit", "GeneratorExit", ""),
        ("raise BaseException('base')", "BaseException", "base"),
        ("1 +", "SyntaxError", "invalid syntax"),
        ("if True:\nx", "IndentationError", "expected an indented block"),
        ("return 1", "SyntaxError", "outside function"),
        ("yield 1", "SyntaxError", "outside function"),
        ("await x", "SyntaxError", "outside function"),
        ("(" * 300, "SyntaxError", "parentheses"),
        ("a\0b", "SyntaxError", "null bytes"),
        ("def f():\n    return f()\nf()", "RecursionError", ""),
        ("import sys\nsys.setrecursionlimit(60)\ndef f():\n    return f()\nf()", "RecursionError", ""),
        ("raise MemoryError", "MemoryError", ""),
        ("input()", "EOFError", ""),
        ("import sys\nsys.stdin.read()\nmissing", "NameError", "missing"),
        ("class E(Exception):\n    def __str__(self):\n        raise SystemExit\nraise E", "E", ""),
        ("raise ErlangError", "NameError", "ErlangError"),
        ("raise Exception('\\ud800')", "Exception", "?"),
        ("raise ExceptionGroup('several', [ValueError('inner')])", "ExceptionGroup", "several"),
    ],
)
def test_every_exception_is_an_error_of_this_call(code, type_, in_message):
    details = failure(f"print('before')\n{code}" if "SyntaxError" not in type_ and "Indent" not in type_ else code)

    assert details["type"] == type_
    assert in_message in details["message"]
    assert details["output"] == ("" if type_ in ("SyntaxError", "IndentationError") else "before\n")
    assert run("1") == (1, "")


def test_an_error_that_the_code_chooses_for_the_beam_keeps_its_output():
    details = failure("from beam_bpy import ErlangError\nprint('before')\nraise ErlangError('mine')")

    assert (details["type"], details["message"], details["output"]) == ("ErlangError", "mine", "before\n")


def test_a_traceback_shows_the_lines_of_the_code_and_begins_there():
    code = "def half(n):\n    return n / 0\n\nhalf(4)"
    trace = failure(code)["traceback"]

    assert trace.startswith(
        'Traceback (most recent call last):\n  File "<run_python>", line 4, in <module>\n    half(4)'
    )
    assert 'File "<run_python>", line 2, in half\n    return n / 0' in trace
    assert trace.endswith("ZeroDivisionError: division by zero\n")
    assert "execution.py" not in trace


def test_a_traceback_shows_the_cause():
    trace = failure("try:\n    1 / 0\nexcept ArithmeticError as error:\n    raise ValueError('no') from error")[
        "traceback"
    ]

    assert trace.index("ZeroDivisionError") < trace.index("ValueError: no")


def test_the_traceback_of_a_syntax_error_shows_the_line():
    trace = failure("x = 1\ny = = 2")["traceback"]

    assert 'File "<run_python>", line 2' in trace
    assert "y = = 2" in trace
    assert "ast.py" not in trace


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("object()", "object"),
        ("class Crate:\n    pass\n[1, Crate()]", "Crate"),
        ("(n for n in range(3))", "generator"),
        ("lambda: 1", "function"),
        ("import sys\nsys", "module"),
        ("'\\ud800'", "surrogate"),
        ("x = []\nx.append(x)\nx", ""),
        ("from decimal import Decimal\nDecimal(1)", "decimal.Decimal"),
    ],
)
def test_a_result_without_a_term_is_an_error_that_names_its_type_and_keeps_the_output(code, names):
    details = failure(f"print('before')\n{code}")

    assert details["message"].startswith("the value of the last expression has no Erlang term (")
    assert names in details["message"]
    assert details["output"] == "before\n"
    assert "File" not in details["traceback"]


class TestOutput:
    def test_both_streams_in_the_order_of_writing(self):
        code = "import sys\nprint('one')\nprint('two', file=sys.stderr)\nsys.stdout.write('three')\n"
        code += "sys.stdout.buffer.write('vier ü'.encode())\nsys.stdout.flush()\nprint(end='!')"
        assert run(code) == (None, "one\ntwo\nthreevier ü!")

    def test_redirected_output_is_not_part_of_it(self):
        code = (
            "import contextlib, io\nwith contextlib.redirect_stdout(io.StringIO()) as to:\n    print(1)\nto.getvalue()"
        )
        assert run(code) == ("1\n", "")

    def test_what_has_no_utf_8(self):
        assert run("print('\\ud800')\nimport sys\nsys.stdout.buffer.write(b'\\xff')\nNone") == (None, "?\n\ufffd")

    @pytest.mark.parametrize("limit", [0, 1, 5, 9])
    def test_its_end_is_cut_with_a_note(self, limit):
        code = "import sys\nfor part in ('one', 'two', 'four'):\n    sys.stdout.write(part)\nNone"
        result, output = run(code, None, {Atom("max_output"): limit})

        assert result is None
        assert output.startswith("onetwofour"[:limit] + "\n[")
        assert f"[{10 - limit} more characters are missing: the limit is max_output, {limit}]" in output

    def test_a_text_as_long_as_the_limit_is_not_cut(self):
        assert run("print(end='x' * 10)", None, {"max_output": 10}) == (None, "x" * 10)

    def test_the_default_limit(self):
        output = run("for n in range(20):\n    print(end='x' * 100_000)")[1]

        assert output.startswith("x" * MAX_OUTPUT + "\n[")
        assert len(output) < MAX_OUTPUT + 100

    def test_the_error_of_a_call_has_only_the_allowed_output(self):
        assert failure("print('abc')\n1 / 0", None, {"max_output": 2})["output"].startswith("ab\n[2 more")

    def test_a_thread_of_the_code_is_part_of_it(self):
        code = (
            "import threading\nthread = threading.Thread(target=print, args=('hello',))\nthread.start()\nthread.join()"
        )
        assert run(code) == (None, "hello\n")

    def test_another_thread_writes_where_it_wrote_before(self, capsys):
        begun, done = threading.Event(), threading.Event()

        def other():
            begun.wait(10)
            print("of the other thread")
            done.set()

        thread = threading.Thread(target=other)
        thread.start()
        result = run("print('mine')\nbegun.set()\ndone.wait(10)", _Both(begun=begun, done=done))
        thread.join()

        assert result == (True, "mine\n")
        assert capsys.readouterr().out == "of the other thread\n"

    def test_what_is_written_after_the_call_goes_where_it_would_have_gone(self, capsys):
        kept = []
        run("import sys\nkept.append(sys.stdout)\nNone", _Both(kept=kept))
        kept[0].write("later")

        assert capsys.readouterr().out == "later"

    @pytest.mark.parametrize(
        ("code", "type_"),
        [
            ("sys.stdout.fileno()", "UnsupportedOperation"),
            ("sys.stdout.write(1)", "TypeError"),
            ("sys.stdout.read()", "UnsupportedOperation"),
        ],
    )
    def test_what_a_stream_cannot_do_is_an_error_of_the_code(self, code, type_):
        assert failure(f"import sys\n{code}")["type"] == type_
        assert run("print(1)") == (None, "1\n")

    def test_calls_of_several_servers_do_not_mix(self):
        code = "import sys, time\nfor _ in range(20):\n    print(end=name)\n    time.sleep(0.001)\n"
        code += "sys.modules['__main__'].name"
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda name: run(code, {"name": name}), "abcdefgh"))

        assert found == [(name, name * 20) for name in "abcdefgh"]


class _Both(dict):
    """Arguments that no term can have, such as a threading.Event."""


class TestArguments:
    @pytest.mark.parametrize("code", [None, 1, [49, 43, 49], {"a": 1}, b"\xff", ("1",), True])
    def test_code_that_is_no_text(self, code):
        with pytest.raises(ValueError, match="the code has to be a binary"):
            run(code)

    @pytest.mark.parametrize(
        "name", ["class", "None", "two words", "1a", "", "a-b", "__builtins__", "__name__", "x.y", "ok?"]
    )
    def test_a_name_that_no_variable_has(self, name):
        with pytest.raises(ValueError, match="cannot be the name of an argument"):
            run("1", {name: 1})

    @pytest.mark.parametrize("given", [1, "text", [1], [("a", 1, 2)], {1: 2}, {("a",): 2}, True, b"ab"])
    def test_arguments_and_options_that_are_no_map(self, given):
        with pytest.raises(ValueError, match="the arguments are a map whose keys are names"):
            run("1", given)
        with pytest.raises(ValueError, match="the options are a map whose keys are names"):
            run("1", None, given)

    @pytest.mark.parametrize("value", [-1, 1.5, True, None, "many", 10**9 + 0.5])
    def test_a_limit_that_is_no_number_of_characters(self, value):
        with pytest.raises(ValueError, match="max_output has to be"):
            run("1", None, {"max_output": value})

    def test_unknown_options_are_named(self):
        with pytest.raises(ValueError, match="no option 'other' and no option 'session'; there is: max_output"):
            run("1", None, {"session": "a", "other": 1})
