"""Output and log events of BEAM processes that calls from Python start: the Python program is their group leader."""

import contextlib
import io
import logging
import sys

import pytest
from beam import TIMEOUT, eventually

from beam_bpy import Atom, ErlangError

ENOTSUP = (Atom("error"), Atom("enotsup"))

PRINTS = {
    'io:put_chars(<<"h\\x{e9}\\x{20ac}"/utf8>>)': "hé€",
    "io:put_chars([104, 16#20ac])": "h€",
    'io:put_chars([[<<"a">>, [98]], 99])': "abc",
    "io:request(group_leader(), {put_chars, latin1, <<255>>})": "ÿ",
    'io:fwrite("plain")': "plain",
    'io:format("~p ~w ~5.2f ~-4s| ~ts~n", [{a, 1}, "x", 1.5, "ab", [16#20ac]])': "{a,1} [120]  1.50 ab  | €\n",
    'io:format("~p", [lists:seq(1, 60)])': None,
    'io:write({a, "b"})': "{a,[98]}",
    "io:nl()": "\n",
    'io:requests([{put_chars, unicode, <<"a">>}, nl, {format, "~p", [q]}, {put_chars, unicode, "z"}])': "a\nqz",
    'io:requests([{requests, [{put_chars, unicode, "a"}, {format, "~p", [b]}]}, nl])': "ab\n",
    'file:write(group_leader(), <<"bytes">>)': "bytes",
    "'Elixir.IO':puts(<<\"h\\x{e9}\"/utf8>>)": "hé\n",
    "'Elixir.IO':write(<<\"w\">>)": "w",
    "'Elixir.IO':binwrite(<<\"raw\">>)": "raw",
    '\'Elixir.IO\':puts([<<"io">>, [100, <<"ata">>]])': "iodata\n",
}
"""Expressions that print, and what; None where the node of the expression says what."""

REFUSED = [
    'io:get_line("> ")',
    'io:get_chars("> ", 3)',
    'io:read("> ")',
    'io:fread("> ", "~d")',
    "io:columns()",
    "io:rows()",
    "io:getopts()",
    "io:setopts([binary])",
    "io:get_password()",
    "'Elixir.IO':gets(<<\"> \">>)",
    "'Elixir.IO':read(line)",
    "io:request(group_leader(), nonsense)",
    'io:requests([{put_chars, unicode, ""}, {get_line, unicode, "> "}, {put_chars, unicode, "never"}])',
]


@pytest.fixture
def beam(start_erl, server, elixir_ebin):
    """A node with Elixir's modules."""
    return start_erl("-pa", elixir_ebin).call(server)


@pytest.fixture
def run(server, beam):
    """Evaluates an expression in a process that a call from Python starts."""

    def evaluate(code, timeout=TIMEOUT):
        tokens = server.call(beam.node, "erl_scan", "string", [[ord(character) for character in code + "."]])[1]
        expressions = server.call(beam.node, "erl_parse", "parse_exprs", [tokens])[1]
        value = server.call(beam.node, "erl_eval", "exprs", [expressions, []], timeout)
        return value[1]

    return evaluate


@pytest.fixture
def records():
    """The log records of the package."""

    class Records(logging.Handler):
        def __init__(self):
            super().__init__()
            self.lines = []

        def emit(self, record):
            self.lines.append((record.levelname, record.getMessage()))

    handler = Records()
    log = logging.getLogger("beam_bpy")
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    yield handler.lines
    log.setLevel(level)
    log.removeHandler(handler)


@pytest.mark.parametrize("code", PRINTS)
def test_what_a_called_function_prints_is_on_standard_output_before_it_returns(code, run, beam, capsys):
    expected = PRINTS[code]
    if expected is None:
        expected = beam.eval('unicode:characters_to_binary(io_lib:format("~p", [lists:seq(1, 60)]))')
    capsys.readouterr()

    assert run(code) == Atom("ok")
    assert capsys.readouterr().out == expected


@pytest.mark.parametrize("code", REFUSED)
def test_anything_else_is_refused_at_once(code, run, capsys):
    assert run(code) in (ENOTSUP, [ENOTSUP, ENOTSUP])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("code", ['io:format("~q", [1])', 'io:format("~p", [])', "io:put_chars([an_atom])"])
def test_characters_that_are_none_are_a_badarg_as_on_a_beam_node(code, run, capsys):
    with pytest.raises(ErlangError) as caught:
        run(code)
    assert caught.value.reason == Atom("badarg")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "wrong",
    ["{put_chars, unicode, {}}", "{put_chars, unicode, no_module, no_function, []}", "{put_chars, unicode, 1, 2, []}"],
)
def test_a_request_of_the_protocol_that_fails_is_answered(wrong, run):
    code = (
        f"G = group_leader(), R = monitor(process, G), G ! {{io_request, self(), R, {wrong}}}, "
        "receive {io_reply, R, Reply} -> element(1, Reply) end"
    )
    assert run(code) == Atom("error")


def test_the_forms_of_old_nodes_are_understood(run, capsys):
    ask = "Ask = fun(Q) -> G ! {io_request, self(), q, Q}, receive {io_reply, q, Reply} -> Reply end end"
    requests = '{put_chars, <<233>>}, {put_chars, "!"}, {put_chars, io_lib, format, ["~w", [a]]}'
    assert run(f"G = group_leader(), {ask}, [Ask(Q) || Q <- [{requests}]]") == [Atom("ok")] * 3
    assert capsys.readouterr().out == "é!a"


def test_a_process_that_outlives_the_call_prints_too(server, run, capsys):
    assert isinstance(run('spawn(fun() -> timer:sleep(50), io:format("~p", [later]) end)'), object)
    out = []
    eventually(lambda: out.append(capsys.readouterr().out) or "later" in "".join(out), "it prints")


def test_a_cast_prints(server, beam, capsys):
    server.cast(beam.node, "io", "format", [[126, 112], [Atom("cast")]])
    out = []
    eventually(lambda: out.append(capsys.readouterr().out) or "cast" in "".join(out), "it prints")


@pytest.mark.parametrize("inline", [False, True])
def test_a_handler_whose_call_prints_is_answered(inline, server, erl, capsys):
    """The thread that runs handlers waits for the call; a future of an inline handler is waited for by nobody."""
    futures = []

    def handler(node):
        if inline:
            futures.append(server.call_async(node, "io", "format", [[126, 112], [Atom("x")]]))
            return None
        return server.call(node, "io", "format", [[126, 112], [Atom("x")]])

    server.expose(handler, name="printing", inline=inline)
    assert erl.eval("erpc:call(N, m, printing, [node()])") == (None if inline else Atom("ok"))
    for future in futures:
        assert future.result(TIMEOUT) == Atom("ok")
    server.unregister_handler("printing")
    assert capsys.readouterr().out == "x"


@pytest.mark.parametrize("stream", [None, io.TextIOWrapper(io.BytesIO())], ids=["none", "closed"])
def test_without_a_standard_output_the_function_returns(stream, server, erl, monkeypatch):
    if stream is not None:
        stream.close()
    with contextlib.suppress(ValueError):
        monkeypatch.setattr(sys, "stdout", stream)
    assert server.call(erl.node, "io", "format", [[126, 112], [Atom("x")]]) == Atom("ok")


@pytest.mark.parametrize(
    ("code", "level", "text"),
    [
        ('logger:error("bad ~p", [x])', "ERROR", "bad x"),
        ('logger:warning("careful")', "WARNING", "careful"),
        ('logger:notice(<<"h\\x{e9}"/utf8>>)', "INFO", "hé"),
        ("logger:critical(#{a => 1})", "CRITICAL", "a: 1"),
        ("logger:alert([{a, 1}])", "CRITICAL", "a: 1"),
        ('logger:error(#{a => 1}, #{report_cb => fun(#{a := A}) -> {"own ~p", [A]} end})', "ERROR", "own 1"),
        ('error_logger:error_msg("old ~p~n", [y])', "ERROR", "old y"),
    ],
)
def test_log_events_go_to_logging(code, level, text, run, beam, records):
    run(code)
    eventually(lambda: (level, f"{beam.node} logs: {text}") in records, f"{text!r} is logged, only {records}")


def test_a_process_that_crashes_is_one_line(run, beam, records):
    run("spawn(fun() -> error(boom) end)")
    [line] = eventually(
        lambda: [text for level, text in records if level == "ERROR" and "boom" in text], "it is logged"
    )
    assert line.startswith(f"{beam.node} logs: ")
    assert "\n" not in line


def test_levels_below_pythons_are_not_formatted(run, records):
    logging.getLogger("beam_bpy").setLevel(logging.ERROR)
    run('logger:notice("not seen")')
    run('logger:error("seen")')
    eventually(lambda: [text for _level, text in records if text.endswith("logs: seen")], "the error is logged")
    assert not [text for _level, text in records if "not seen" in text]
