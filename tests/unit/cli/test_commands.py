"""The commands, run in this process: what they print, and their exit codes."""

import json
import socket
import time

import pytest
from ports import free_port
from support import COOKIE, NAME, TIMEOUT, Client, eventually, in_thread, nodes_of

from beam_bpy import Atom, BeamServer, ErlangError, ErlangExit, ErlangThrow
from beam_bpy.cli.main import _parser, main
from beam_bpy.epmd.client import ask_and_wait
from beam_bpy.protocol import epmd

NODE = f"{NAME}@127.0.0.1"

HANDLERS = """
import threading

def register(server):
    server.register_handler("thread", lambda args: threading.current_thread() is threading.main_thread())
    server.register_handler("threads", lambda args: [thread.name for thread in threading.enumerate()])
    server.register_handler("double", lambda args: [2 * number for number in args])
    server.register_handler("stop", lambda args: server.stop())
"""


def run(capsys, *arguments):
    """The exit code, and what was printed to each of the two streams."""
    code = main(arguments)
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def exits(capsys, *arguments):
    """As `run`, for what the command line's parser ends itself."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    printed = capsys.readouterr()
    return caught.value.code, printed.out, printed.err


def assert_last_line(err, reason):
    """Check the last line on standard error, which a supervisor reads."""
    last = err.splitlines()[-1]
    assert last.startswith("beam-bpy: ")
    assert reason in last


def raises(error):
    def fail(args):
        raise error

    return fail


class TestPing:
    def test_a_node_that_answers(self, server, capsys):
        assert run(capsys, "ping", NODE, "--cookie", COOKIE) == (0, "pong\n", "")

    def test_the_cookie_may_come_from_the_environment(self, server, capsys, monkeypatch):
        monkeypatch.setenv("BPY_BEAM_COOKIE", COOKIE)

        assert run(capsys, "ping", NODE) == (0, "pong\n", "")

    def test_the_settings_of_a_server_in_the_environment_do_not_hinder(self, server, capsys, monkeypatch):
        # As in the shell in which `beam-bpy serve` was started.
        monkeypatch.setenv("BPY_BEAM_PORT", str(server.port))
        monkeypatch.setenv("BPY_BEAM_NODE", NAME)
        monkeypatch.setenv("BPY_BEAM_HOST", "127.0.0.1")

        assert run(capsys, "ping", NODE, "--cookie", COOKIE) == (0, "pong\n", "")

    @pytest.mark.parametrize("node", ["nobody@127.0.0.1", "nobody@no-such-host.invalid", "nobody"])
    def test_a_node_that_does_not(self, capsys, node):
        code, out, err = run(capsys, "ping", node)

        assert (code, out) == (1, "pang\n")
        assert node in err

    def test_a_node_with_another_cookie(self, server, capsys):
        code, out, err = run(capsys, "ping", NODE, "--cookie", "another")

        assert (code, out) == (1, "pang\n")
        assert "cookie" in err

    def test_a_port_where_nothing_speaks(self, capsys, monkeypatch):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            monkeypatch.setenv("ERL_DIST_PORT", str(silent.getsockname()[1]))

            code, out, err = run(capsys, "ping", "silent@127.0.0.1", "--timeout", "0.1")

        assert (code, out) == (1, "pang\n")
        assert "silent@127.0.0.1" in err


class TestCall:
    @pytest.fixture(autouse=True)
    def _handlers(self, server, monkeypatch):
        monkeypatch.setenv("BPY_BEAM_COOKIE", COOKIE)
        server.register_handler("type", lambda args: type(args[0]).__name__)
        server.register_handler("elixir", lambda args: "elixir", module="Elixir.Crates")

    def test_terms_there_and_back(self, capsys):
        arguments = ["{move, 1.5}", '<<"größe">>', "#{a => [1|2]}", '"ab"', "[]"]

        code, out, err = run(capsys, "call", NODE, "m", "echo", *arguments)

        assert (code, err) == (0, "")
        assert out == '[{move,1.5},<<"größe"/utf8>>,#{a => [1|2]},[97,98],[]]\n'

    def test_no_arguments(self, capsys):
        assert run(capsys, "call", NODE, "m", "echo") == (0, "[]\n", "")

    def test_a_module_with_a_capital_letter_is_elixirs(self, capsys):
        assert run(capsys, "call", NODE, "Crates", "elixir") == (0, '<<"elixir">>\n', "")
        assert run(capsys, "call", NODE, "Elixir.Crates", "elixir") == (0, '<<"elixir">>\n', "")

    def test_json_there_and_back(self, capsys):
        value = [1, 2.5, "größe", None, True, [1, {"a": []}]]

        code, out, err = run(capsys, "call", "--json", NODE, "m", "echo", *map(json.dumps, value))

        assert (code, err) == (0, "")
        assert json.loads(out) == value
        assert "größe" in out

    @pytest.mark.parametrize(
        ("value", "shown"),
        [
            ((Atom("ok"), [Atom("a")]), ["ok", ["a"]]),
            ({Atom("a"): {"b": 1}}, {"a": {"b": 1}}),
            (b"\xff", "<<255>>"),
            ({(1, 2): "tuple"}, {"{1,2}": "tuple"}),
            ({b"\xff": "bytes", 1: "integer"}, {"<<255>>": "bytes", "1": "integer"}),
        ],
    )
    def test_what_json_has_no_type_for_is_shown_all_the_same(self, capsys, server, value, shown):
        server.register_handler("make", lambda args: value)

        code, out, _err = run(capsys, "call", "--json", NODE, "m", "make")

        assert (code, json.loads(out)) == (0, shown)

    @pytest.mark.parametrize(
        ("error", "sentence"),
        [
            (ErlangError((Atom("no_crate"), "x")), '{no_crate,<<"x">>}'),
            (ErlangExit(Atom("shutdown")), "shutdown"),
            (ErlangThrow(1), "1"),
        ],
    )
    def test_a_failure_is_shown_with_its_class(self, capsys, server, error, sentence):
        server.register_handler("fail", raises(error))
        kind = type(error).__name__.removeprefix("Erlang").lower()

        assert run(capsys, "call", NODE, "m", "fail") == (1, "", f"beam-bpy: {kind}: {sentence}\n")

    def test_undef(self, capsys):
        assert run(capsys, "call", NODE, "m", "missing") == (1, "", "beam-bpy: error: undef\n")

    def test_a_node_that_cannot_be_reached(self, capsys):
        code, out, err = run(capsys, "call", "nobody@127.0.0.1", "m", "f")

        assert (code, out) == (1, "")
        assert err.startswith("beam-bpy: nobody@127.0.0.1 cannot be reached")

    def test_no_answer_in_time(self, capsys, monkeypatch):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            monkeypatch.setenv("ERL_DIST_PORT", str(silent.getsockname()[1]))

            assert run(capsys, "call", "silent@127.0.0.1", "m", "f", "--timeout", "0.1") == (
                1,
                "",
                "beam-bpy: no answer within 0.1 seconds\n",
            )

    @pytest.mark.parametrize("argument", ["{", "Variable", "", "[" * 10_000])
    def test_an_argument_that_is_no_term(self, capsys, argument):
        code, out, err = run(capsys, "call", NODE, "m", "echo", argument)

        assert (code, out) == (2, "")
        assert err.startswith("beam-bpy: ")

    @pytest.mark.parametrize("argument", ["{", "ok", ""])
    def test_an_argument_that_is_no_json(self, capsys, argument):
        code, out, err = run(capsys, "call", "--json", NODE, "m", "echo", argument)

        assert (code, out) == (2, "")
        assert err.startswith("beam-bpy: ")

    def test_a_name_that_no_atom_can_have(self, capsys):
        code, out, err = run(capsys, "call", NODE, "m" * 300, "f")

        assert (code, out) == (2, "")
        assert err.startswith("beam-bpy: ")

    def test_it_leaves_no_node_behind(self, capsys, server):
        code, _out, err = run(capsys, "call", NODE, "m", "echo")

        assert (code, err) == (0, "")
        assert server.activity.calls == 1
        eventually(lambda: nodes_of(server) == ())


class TestNodes:
    def test_what_epmd_knows(self, server, capsys):
        assert run(capsys, "nodes") == (0, f"{NAME}\t{server.port}\n", "")
        assert run(capsys, "nodes", "--host", "localhost") == (0, f"{NAME}\t{server.port}\n", "")

    def test_no_epmd(self, capsys, port):
        code, out, err = run(capsys, "nodes")

        assert (code, out) == (1, "")
        assert err.startswith(f"beam-bpy: no epmd answers at 127.0.0.1, port {port}")

    def test_a_host_that_is_not_known(self, capsys):
        code, out, err = run(capsys, "nodes", "--host", "no-such-host.invalid")

        assert (code, out) == (1, "")
        assert "no-such-host.invalid" in err


class TestServe:
    @pytest.fixture
    def handlers(self, tmp_path):
        file = tmp_path / "handlers.py"
        file.write_text(HANDLERS)
        return str(file)

    def call_and_stop(self, port):
        """Wait for the node to be registered, call it, and stop it."""
        found = []

        def registered():
            try:
                names = epmd.take_names(ask_and_wait("127.0.0.1", epmd.list_names()))
            except OSError:
                return False
            found[:] = [number for name, number in names if name == NAME]
            return bool(found)

        eventually(registered)

        class Server:
            port = found[0]

        with Client(Server) as client:
            client.socket.settimeout(TIMEOUT)
            self.threads = client.call("threads")
            self.on_main_thread = client.call("thread")
            self.answer = client.call("double", 21)
            client.ask("stop", [])
            client.closed()
        self.port = found[0]

    def test_a_file_of_handlers_is_served_until_one_stops_it(self, capsys, port, handlers):
        caller = in_thread(lambda: self.call_and_stop(port))

        code, out, _err = run(capsys, "serve", "--node", NAME, "--cookie", COOKIE, "--handlers", handlers)
        caller.join(TIMEOUT)

        assert (code, out) == (0, f"{NODE}:{self.port} is ready\n")
        assert self.answer == [42]

    def test_only_the_main_thread_runs_handlers_also_before_the_node_is_ready(
        self, capsys, port, handlers, monkeypatch
    ):
        serve_forever = BeamServer.serve_forever

        def later(server, on_ready):
            time.sleep(0.5)
            serve_forever(server, on_ready)

        monkeypatch.setattr(BeamServer, "serve_forever", later)
        caller = in_thread(lambda: self.call_and_stop(port))

        code, _out, _err = run(capsys, "serve", "--node", NAME, "--cookie", COOKIE, "--handlers", handlers)
        caller.join(TIMEOUT)

        assert (code, self.answer, self.on_main_thread) == (0, [42], True)
        assert not [name for name in self.threads if "worker" in name]

    def test_a_module_of_handlers(self, capsys, port, handlers, tmp_path, monkeypatch):
        (tmp_path / "unit_handlers_module.py").write_text(HANDLERS)
        monkeypatch.syspath_prepend(tmp_path)
        caller = in_thread(lambda: self.call_and_stop(port))

        command = ("serve", "--node", NAME, "--cookie", COOKIE, "--handlers", "unit_handlers_module")
        code, _out, _err = run(capsys, *command)
        caller.join(TIMEOUT)

        assert (code, self.answer) == (0, [42])

    def test_the_port_may_be_chosen(self, capsys, port, handlers):
        number = free_port()
        caller = in_thread(lambda: self.call_and_stop(port))

        run(capsys, "serve", "--node", NAME, "--cookie", COOKIE, "--port", str(number), "--handlers", handlers)
        caller.join(TIMEOUT)

        assert self.port == number

    @pytest.mark.parametrize("handlers", ["no_such_module_at_all", "no-such-file.py"])
    def test_handlers_that_are_not_there(self, capsys, handlers):
        code, out, err = run(capsys, "serve", "--handlers", handlers)

        assert (code, out) == (2, "")
        assert err.startswith(f"beam-bpy: the handlers {handlers!r} cannot be loaded: ")

    @pytest.mark.parametrize("text", ["x = 1\n", "def register(:\n"], ids=["no-register", "syntax-error"])
    def test_handlers_that_cannot_be_used(self, capsys, tmp_path, text):
        file = tmp_path / "handlers.py"
        file.write_text(text)

        code, out, err = run(capsys, "serve", "--handlers", str(file))

        assert (code, out) == (2, "")
        assert err.startswith(f"beam-bpy: the handlers {str(file)!r} ")

    def test_a_port_that_is_taken(self, capsys, caplog):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            code, out, err = run(capsys, "serve", "--node", NAME, "--port", str(taken.getsockname()[1]))

        assert (code, out) == (1, "")
        assert "is taken by another program" in caplog.text
        assert_last_line(err, "is taken by another program")

    def test_a_name_that_is_taken(self, server, capsys):
        code, out, err = run(capsys, "serve", "--node", NAME)

        assert (code, out) == (1, "")
        assert_last_line(err, f"the name {NAME!r} is taken")

    def test_no_epmd_when_only_the_hosts_will_do(self, capsys, caplog):
        code, out, err = run(capsys, "serve", "--node", NAME, "--epmd", "host")

        assert (code, out) == (1, "")
        assert "epmd does not answer" in caplog.text
        assert_last_line(err, "epmd does not answer")

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("def register(server):\n    x = = 1\n", "cannot be loaded: SyntaxError in {file}, line 2: invalid syntax"),
            ("\nraise OSError('no disk')\n", "cannot be loaded: OSError in {file}, line 2: no disk"),
            ("import sys\nsys.exit('no licence')\n", "cannot be loaded: SystemExit in {file}, line 2: no licence"),
            (
                "def register(server):\n    raise RuntimeError('first\\nsecond')\n",
                "cannot be registered: RuntimeError in {file}, line 2: first second",
            ),
            ("register = 1\n", "have no function register(server)"),
            (None, "cannot be loaded: FileNotFoundError: [Errno 2] No such file or directory: {file!r}"),
        ],
        ids=["syntax", "raises", "exits", "register-raises", "no-register", "missing"],
    )
    def test_why_handlers_cannot_be_used(self, capsys, tmp_path, text, reason):
        file = tmp_path / "broken_handlers.py"
        if text is not None:
            file.write_text(text)

        code, out, err = run(capsys, "serve", "--handlers", str(file))

        assert (code, out) == (2, "")
        assert err == f"beam-bpy: the handlers {str(file)!r} {reason.format(file=str(file))}\n"

    @pytest.mark.parametrize("time", ["nan", "-1", "-0.1", "inf", "soon", "", "1e300"])
    def test_a_time_to_kill_after_that_is_no_time(self, capsys, time):
        code, _out, err = exits(capsys, "serve", f"--kill-after={time}")

        assert code == 2
        assert f"{time!r} is not a time" in err.splitlines()[-1]


class TestOptions:
    @pytest.mark.parametrize("time", ["nan", "-1", "0", "-inf", "soon", "", "1e-400"])
    @pytest.mark.parametrize(
        "command", [["ping", NODE], ["call", NODE, "m", "f"], ["health", NODE]], ids=lambda c: c[0]
    )
    def test_a_timeout_that_is_no_time(self, capsys, command, time):
        code, out, err = exits(capsys, *command, f"--timeout={time}")

        assert (code, out) == (2, "")
        assert "a number of seconds above 0" in err

    @pytest.mark.parametrize("time", ["inf", "1e30", "1e308", "5e0", "60"])
    def test_a_long_timeout(self, server, capsys, time):
        assert run(capsys, "ping", NODE, "--cookie", COOKIE, "--timeout", time) == (0, "pong\n", "")
        assert run(capsys, "call", "--cookie", COOKIE, "--timeout", time, NODE, "m", "echo")[0] == 0

    @pytest.mark.parametrize("command", [("-v", "ping"), ("ping", "-v"), ("ping", "--verbose"), ("-v", "ping", "-v")])
    def test_verbose_before_and_after_the_command(self, server, command):
        options = _parser().parse_args([*command, NODE])

        assert options.log_level == "debug"

    def test_not_verbose(self):
        assert _parser().parse_args(["ping", NODE]).log_level is None

    def test_version(self, capsys):
        code, out, err = exits(capsys, "--version")

        assert (code, err) == (0, "")
        assert out.startswith("beam-bpy ")

    @pytest.mark.parametrize("variable", ["ERL_DIST_PORT", "ERL_EPMD_PORT"])
    @pytest.mark.parametrize("value", ["abc", "0", "-1", "65536", "1.5", "٣", "9" * 5000])
    @pytest.mark.parametrize("command", [["ping", NODE], ["nodes"], ["serve"]], ids=lambda c: c[0])
    def test_a_variable_that_is_no_port(self, capsys, monkeypatch, command, variable, value):
        monkeypatch.setenv(variable, value)

        code, out, err = run(capsys, *command)

        assert (code, out) == (2, "")
        assert variable in err

    def test_a_cookie_from_a_file(self, server, capsys, tmp_path):
        (tmp_path / "cookie").write_text(COOKIE + "\n")

        assert run(capsys, "ping", NODE, "--cookie-file", str(tmp_path / "cookie")) == (0, "pong\n", "")

    @pytest.mark.parametrize("text", [None, "", "\n", "\0"])
    def test_a_file_without_a_cookie(self, server, capsys, tmp_path, text):
        file = tmp_path / "cookie"
        if text is not None:
            file.write_text(text)

        code, out, err = run(capsys, "call", "--cookie-file", str(file), NODE, "m", "f")

        assert (code, out) == (2, "")
        assert str(file) in err

    def test_two_cookies(self, capsys):
        assert exits(capsys, "ping", NODE, "--cookie", "a", "--cookie-file", "b")[0] == 2


class TestShownFailures:
    def test_an_exception_of_python_has_its_traceback(self, server, capsys):
        server.register_handler("fail", lambda args: 1 / 0)

        code, out, err = run(capsys, "call", "--cookie", COOKIE, NODE, "m", "fail")

        assert (code, out) == (1, "")
        assert err.splitlines()[0] == "beam-bpy: error: ZeroDivisionError: division by zero"
        assert err.splitlines()[-1] == "ZeroDivisionError: division by zero"

    def test_keys_that_would_be_the_same_in_json(self, server, capsys):
        server.register_handler("make", lambda args: {1: "a", "1": "b"})

        code, out, _err = run(capsys, "call", "--json", "--cookie", COOKIE, NODE, "m", "make")

        assert (code, json.loads(out)) == (0, {"1": "a", '<<"1">>': "b"})


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("dance",),
        ("ping",),
        ("ping", "a@b", "c@d"),
        ("ping", "a@b", "--timeout", "soon"),
        ("call", "a@b", "m"),
        ("serve", "--port", "many"),
        ("serve", "--epmd", "perhaps"),
        ("serve", "now"),
        ("nodes", "--no-such-option"),
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_is_a_2_with_the_usage(capsys, arguments):
    code, out, err = exits(capsys, *arguments)

    assert (code, out) == (2, "")
    assert err.startswith("usage: beam-bpy")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ((), ["serve", "ping", "call", "nodes", "BPY_BEAM_COOKIE"]),
        (("serve",), ["--node", "--cookie", "--host", "--port", "--handlers", "--epmd", "BPY_BEAM_PORT"]),
        (("ping",), ["NODE", "--timeout", "--cookie", "pong"]),
        (("call",), ["NODE", "MODULE", "FUNCTION", "ARG", "--json", "lists sum '[1, 2, 3]'"]),
        (("nodes",), ["--host", "epmd"]),
    ],
    ids=["beam-bpy", "serve", "ping", "call", "nodes"],
)
def test_help(capsys, command, words):
    code, out, err = exits(capsys, *command, "--help")

    assert (code, err) == (0, "")
    assert out.startswith("usage: beam-bpy")
    assert [word for word in words if word not in out] == []
