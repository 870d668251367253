"""Access: the cookie, the default cookie, the allow-list of nodes, and the handlers that a node may call."""

import logging
import socket
import threading

import pytest
from support import COOKIE, NAME, Client, eventually

from beam_bpy import BeamServer
from beam_bpy.calls.handlers import Handler
from beam_bpy.cli.main import main
from beam_bpy.cookies import DEFAULT_COOKIE, check_public_cookie, generate_cookie
from beam_bpy.errors import SettingsError
from beam_bpy.protocol.flags import OURS, Flag


class TestCookie:
    @pytest.mark.parametrize("cookie", [None, "", DEFAULT_COOKIE])
    @pytest.mark.parametrize("host", ["0.0.0.0", "::"])
    def test_a_known_one_opens_nothing_that_other_computers_reach(self, cookie, host, caplog):
        server = BeamServer(f"{NAME}@127.0.0.1", cookie, host=host)

        assert server.start() is False
        assert server.state == "failed"
        assert "choose another cookie" in server.last_error
        assert "beam-bpy cookie" in server.last_error
        assert DEFAULT_COOKIE not in caplog.text

    def test_the_port_is_free_again_after_that(self):
        server = BeamServer(f"{NAME}@127.0.0.1", host="0.0.0.0")

        assert server.start() is False

        assert server._running is None

    @pytest.mark.parametrize("address", ["127.0.0.1", "127.1.2.3", "::1", "::1%lo"])
    def test_a_known_one_is_enough_on_this_computer(self, address):
        check_public_cookie(address, DEFAULT_COOKIE)

    @pytest.mark.parametrize("address", ["10.0.0.1", "fe80::1%eth0", "::", "0.0.0.0"])
    def test_one_of_its_own_is_needed_elsewhere(self, address):
        check_public_cookie(address, generate_cookie())
        with pytest.raises(SettingsError, match="publicly known"):
            check_public_cookie(address, DEFAULT_COOKIE)

    def test_the_command_line_prints_one(self, capsys):
        assert main(["cookie"]) == 0
        first = capsys.readouterr().out.strip()
        assert main(["cookie"]) == 0

        assert len(first) == 32
        assert first.isalnum()
        assert first != capsys.readouterr().out.strip()

    def test_no_repr_shows_it(self, server):
        parts = (server, server._options, server._running.settings, server._running.connections)

        assert all(COOKIE not in repr(part) for part in parts)


class TestAllowed:
    @pytest.mark.parametrize("allow", ["caller@*", ("other@*", "call*@127.0.0.?")])
    def test_a_node_of_a_pattern_connects(self, make, allow):
        server = make(allow=allow)
        assert server.start(), server.last_error

        with Client(server) as client:
            assert client.call("echo", 1) == [1]

    @pytest.mark.parametrize("allow", ["other@*", (), ["CALLER@*"]])
    def test_another_is_told_so_and_one_line_is_logged(self, make, allow, caplog):
        server = make(allow=allow)
        assert server.start(), server.last_error

        with Client(server) as client:
            assert client.status == "not_allowed"
            assert client.closed()

        eventually(lambda: "was refused" in caplog.text)
        assert caplog.text.count("was refused") == 1
        assert "not_allowed" in caplog.text

    def test_the_server_remembers_the_last_refusal(self, make):
        server = make(allow=())
        assert server.last_refusal is None
        assert server.start(), server.last_error
        assert server.last_refusal is None

        for number in (1, 2):
            with Client(server) as client:
                assert client.closed()
            eventually(lambda number=number: server.last_refusal and server.last_refusal.number == number)
        assert server.last_refusal.address == "127.0.0.1"
        assert "not_allowed" in server.last_refusal.reason

    def test_a_node_that_asks_for_a_name_is_judged_by_the_name_it_would_get(self, make):
        server = make(allow="*@render.example")
        assert server.start(), server.last_error

        with Client(server, "127.0.0.1", flags=int(OURS | Flag.NAME_ME)) as client:
            assert client.status == "not_allowed"
        with Client(server, "render.example", flags=int(OURS | Flag.NAME_ME)) as client:
            assert client.status == "named"


class TestPermit:
    def test_it_is_asked_with_the_name_of_the_callers_node(self):
        asked = []
        handler = Handler("h", print, True, permit=lambda name: asked.append(name) or name == "a@b")

        assert handler.permits("a@b")
        assert not handler.permits("c@d")
        assert asked == ["a@b", "c@d"]

    def test_one_that_fails_permits_nothing(self, caplog):
        caplog.set_level(logging.ERROR, logger="beam_bpy")

        assert Handler("h", print, True, permit=lambda name: 1 / 0).permits("a@b") is False
        assert "may not call it" in caplog.text

    def test_without_one_everybody_may(self):
        assert Handler("h", print, True).permits("a@b")

    def test_both_ways_to_register_take_it(self, make):
        server = make()
        server.register_handler("one", len, permit=lambda name: False)
        server.expose(len, name="two", permit=lambda name: False)

        assert [handler.permits("a@b") for handler in server.handlers] == [True, False, False]


@pytest.mark.parametrize("last", ["beam_bpy network", "beam_bpy worker"])
def test_a_system_without_threads_is_a_sentence(make, monkeypatch, last):
    start = threading.Thread.start

    def refuse(thread):
        if thread.name == last:
            raise RuntimeError("can't start new thread")
        start(thread)

    server = make()
    with monkeypatch.context() as patch:
        patch.setattr("threading.Thread.start", refuse)
        assert server.start() is False
        assert "cannot start another thread" in server.last_error
    assert server.start(), server.last_error
    with socket.create_connection(("127.0.0.1", server.port)):
        pass
