"""`beam-bpy` against real nodes: the reasons that it gives, and terms as Elixir reads them."""

import base64
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable

import pytest
from beam import COOKIE, REPOSITORY, Erl, beam_program, unique
from ports import free_port

from beam_bpy import BeamServer
from beam_bpy.cli.main import main
from beam_bpy.cli.term_text import parse
from vendor_term_codec import decode, encode

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command; returns the exit code, standard output and standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


class TestReasons:
    def test_a_node_that_answers(self, run: Run, erl: Erl) -> None:
        assert run("ping", erl.node, "--cookie", COOKIE) == (0, "pong\n", "")

    @pytest.mark.parametrize("command", [["ping"], ["health"], ["call", "erlang", "node"]], ids=lambda words: words[0])
    def test_what_is_wrong_is_said(
        self, run: Run, erl: Erl, command: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        name, *rest = command

        def fails(node: str, cookie: str = COOKIE) -> str:
            code, out, err = run(name, node, *rest, "--cookie", cookie)
            assert (code, out) == (1, "pang\n" if name == "ping" else "")
            return err

        other_cookie = fails(erl.node, "another")
        missing = fails(f"{unique('missing')}@127.0.0.1")
        unknown_host = fails("app@no-such-host.invalid")
        no_name = fails("app")
        too_long = fails(f"{'a' * 300}@127.0.0.1")
        monkeypatch.setenv("ERL_EPMD_PORT", str(free_port()))
        no_epmd = fails(erl.node)
        with socket.create_server(("127.0.0.1", 0)) as closed:
            monkeypatch.setenv("ERL_DIST_PORT", str(closed.getsockname()[1]))
        dead = fails(erl.node)

        assert "cookie" in other_cookie
        assert "no-such-host.invalid" in unknown_host
        assert "name@host" in no_name
        assert "255" in too_long
        assert "epmd" in no_epmd
        reasons = [other_cookie, missing, unknown_host, no_name, too_long, no_epmd, dead]
        assert len({reason.splitlines()[0] for reason in reasons}) == len(reasons)

    def test_a_node_that_the_allow_list_refuses(self, run: Run, start_server: Callable[..., BeamServer]) -> None:
        server = start_server(allow=("app@*",))
        assert server.start(), server.last_error

        code, out, err = run("ping", server.node_name, "--cookie", COOKIE)

        assert (code, out) == (1, "pang\n")
        assert "not allow" in err

    def test_health_of_a_node_of_the_beam(self, run: Run, erl: Erl) -> None:
        code, out, err = run("health", erl.node, "--cookie", COOKIE)

        assert (code, out) == (1, "")
        assert erl.node in err

    def test_nodes_of_a_program_that_is_no_epmd(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        command = [sys.executable, "-c", _CLOSES_AT_ONCE]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            monkeypatch.setenv("ERL_EPMD_PORT", process.stdout.readline().strip())
            code, out, err = run("nodes")
            process.kill()

        assert (code, out) == (1, "")
        assert "epmd" in err


_CLOSES_AT_ONCE = """
import socket
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
while True:
    server.accept()[0].close()
"""


class TestHealth:
    def test_a_node_that_is_ready(self, run: Run, server: BeamServer) -> None:
        code, out, err = run("health", server.node_name, "--cookie", COOKIE, "--json")

        assert (code, err) == (0, "")
        assert json.loads(out)["ready"] is True

    def test_a_node_that_is_stuck(self, run: Run, server: BeamServer, erl: Erl, gate: object) -> None:
        answer = erl.later("erpc:call(N, m, gate, [])")
        while server.health is None or server.health.running is None:
            pass

        code, out, err = run("health", server.node_name, "--cookie", COOKIE, "--json", "--stuck-after", "1e-9")

        assert code == 3
        assert json.loads(out)["running"]["handler"] == "gate"
        assert "gate" in err
        assert run("health", server.node_name, "--cookie", COOKIE, "--stuck-after", "inf")[0] == 0
        gate.opened.set()  # type: ignore[attr-defined]
        answer.result(30)

    def test_the_beam_asks(self, server: BeamServer, erl: Erl) -> None:
        assert erl.eval("maps:get(ready, erpc:call(N, beam_bpy, health, []))") is True
        assert erl.eval("erpc:call(N, erlang, node, [])") == server.node_name
        assert erl.eval("rpc:call(N, erlang, system_info, [otp_release])") == [*b"25"]


class TestIntegers:
    @pytest.mark.parametrize("sign", ["", "-"])
    def test_an_integer_of_five_thousand_digits(self, run: Run, server: BeamServer, sign: str) -> None:
        number = sign + "9" * 5_000

        for json_option in ([], ["--json"]):
            code, out, err = run("call", *json_option, "--cookie", COOKIE, server.node_name, "m", "echo", number)
            assert (code, out, err) == (0, f"[{number}]\n", "")


@pytest.mark.parametrize("ending", [signal.SIGINT])
def test_ctrl_c_while_a_call_waits(
    server: BeamServer, gate: object, child_environment: Callable[..., dict[str, str]], ending: int
) -> None:
    command = [sys.executable, "-m", "beam_bpy.cli", "call", server.node_name, "m", "gate", "--timeout", "inf"]
    environment = child_environment(BPY_BEAM_COOKIE=COOKIE)
    with subprocess.Popen(command, env=environment, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True) as process:
        while server.health is None or server.health.running is None:
            pass
        process.send_signal(ending)
        _out, err = process.communicate(timeout=30)

    assert process.returncode == 130
    assert len(err.splitlines()) == 1


ELIXIR = [
    *(":ok", ':"quoted atom"', ":Upper", ":valid?", "nil", "true", ":nil", "%{}", "%{a: 1}", '%{"a" => 1}'),
    *('%{"b c": 1, d: %{e: nil}}', "%{1 => :one, {2, 3} => [a: 1]}", "%{nil: 1, true: 2}", "[a: 1, b: [c: 2]]"),
    *('["some key": 1]', "[1, a: 2]", "{:ok, [1 | 2]}", '"text"', '"größe"', r'"tab\t \u00e9 \u{1F600} \"q\""'),
    *("'charlist'", '~c"charlist"', '~s"text"', "''", "Enum", "Mod.Sub", "Elixir.Mod", "1_000_000", "0x1F", "-0xff"),
    *("0b101", "0o17", "-5", "1.5e3", "1_0.2_5", "?a", r"?\n", "<<>>", "<<1, 2>>", '<<"hi">>', '<<"hi", 0>>'),
    *("<<1::4>>", "<<258::16>>", '<<"é"::utf8>>', "<<0xFF, ?a>>", " [ 1 , 2 ] ", r'"\\ \x41 \x{e9} \a\e\s"'),
    *("[nil, true, false]", "{}", "[]", "[[], [[]]]", '%{"k" => {:a, "b", [1.0]}}', "-1.0", "[{:a, 1}, {:b, 2}]"),
]


def test_terms_are_those_that_elixir_reads(child_environment: Callable[..., dict[str, str]]) -> None:
    script = (
        "for text <- System.argv() do\n"
        "  {value, _} = Code.eval_string(text)\n"
        "  IO.puts(Base.encode64(:erlang.term_to_binary(value)))\n"
        "end"
    )
    command = [*beam_program("elixir"), "-e", script, "--", *ELIXIR]
    done = subprocess.run(command, env=child_environment(), capture_output=True, text=True, timeout=60, check=True)
    lines = done.stdout.split()

    ours = [decode(encode(parse(text, elixir=True))) for text in ELIXIR]
    theirs = [decode(base64.b64decode(line)) for line in lines]
    assert len(theirs) == len(ELIXIR)
    for text, mine, its in zip(ELIXIR, ours, theirs, strict=True):
        assert (text, exact(mine)) == (text, exact(its))


def exact(value: object) -> object:
    """A form in which 1 differs from 1.0, and the order of a map's keys, which depends on the release, is no matter."""
    if isinstance(value, dict):
        return ["map", *sorted(([exact(key), exact(item)] for key, item in value.items()), key=repr)]
    if isinstance(value, tuple | list) and type(value) in (tuple, list):
        return [type(value).__name__, *map(exact, value)]
    return encode(value)
