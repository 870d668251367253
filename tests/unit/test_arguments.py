"""Arguments are checked at the call that receives them, with a sentence."""

import math
from pathlib import Path

import pytest
from support import COOKIE, NAME

from beam_bpy import BeamServer, Limits

NAN, INFINITE = math.nan, math.inf


class TestOptionsOfAServer:
    @pytest.mark.parametrize(
        ("option", "values"),
        [
            ("node_name", (5, b"x", True, ["x"], Path("x"))),
            ("cookie", (5, b"x", True, ["x"], bytearray(b"x"))),
            ("host", (5, b"x", True, ("127.0.0.1",))),
            ("port", ("9100", 9100.0, True, False, b"1", [1], "")),
            ("tick_time", ("60", True, b"1", [60], 1j)),
            ("epmd", (True, 1, b"embed", ["embed"])),
            ("tls", (True, ("a.pem", "b.pem"), "a.pem", {"certificate": "a.pem"})),
            ("allow", (True, 5, b"app@*", [b"app@*"], ("app@*", None), {"app@*": 1})),
            ("limits", (True, 5, {"max_queued": 5}, (1, 2))),
            ("cookie_file", (True, 5, b"x", ["x"])),
            ("daemon", (None, 1, 0, "yes", "")),
        ],
    )
    def test_a_wrong_type(self, option, values):
        for value in values:
            for call in (lambda given: BeamServer(**given), lambda given: BeamServer(NAME).configure(**given)):
                with pytest.raises(TypeError, match=option) as caught:
                    call({option: value})
                assert repr(value) not in str(caught.value) or option == "daemon"

    @pytest.mark.parametrize(
        ("option", "values"),
        [
            ("tick_time", (0, -5, 0.0, NAN, INFINITE, -INFINITE)),
            ("epmd", ("embedded", "", "Embed", "no")),
            ("allow", ("", ("app@*", ""), (" ",), "app@*, web@*", ("a\n",))),
        ],
    )
    def test_a_value_that_can_never_be_used(self, option, values):
        for value in values:
            for call in (lambda given: BeamServer(**given), lambda given: BeamServer(NAME).configure(**given)):
                with pytest.raises(ValueError, match=option):
                    call({option: value})

    @pytest.mark.parametrize(
        "given",
        [
            {"node_name": "a b"},
            {"node_name": "x" * 300},
            {"node_name": "x@" + "h" * 254},
            {"cookie": ""},
            {"cookie": " \t"},
            {"cookie": "snow\u2603"},
            {"cookie_file": "/nowhere/cookie"},
            {"host": "no host"},
            {"host": "localhost:9000"},
            {"node_name": "x@localhost:9000"},
            {"port": 70000},
            {"port": -1},
        ],
        ids=str,
    )
    def test_what_users_type_is_reported_by_start(self, given):
        server = BeamServer(**{"node_name": NAME, "cookie": COOKIE, **given} if "cookie_file" not in given else given)

        assert server.start() is False
        assert len(server.last_error) > 20

    def test_the_longest_name(self, make):
        server = make("n" * (255 - len("@127.0.0.1")))
        assert server.start(), server.last_error
        longer = BeamServer("n" * (256 - len("@127.0.0.1")), COOKIE)

        assert longer.start() is False
        assert "255" in longer.last_error

    def test_none_is_the_environment_or_the_default(self, monkeypatch):
        monkeypatch.setenv("BPY_BEAM_NODE", "from_the_environment")
        nothing = dict.fromkeys(
            ("node_name", "cookie", "host", "port", "tick_time", "epmd", "tls", "allow", "limits", "cookie_file")
        )

        assert BeamServer(**nothing).node_name == "from_the_environment@127.0.0.1"

    def test_a_refused_option_changes_nothing(self):
        server = BeamServer(NAME, COOKIE)
        before = server.options
        with pytest.raises(TypeError):
            server.configure("other", port="9100")

        assert server.options == before

    def test_a_cookie_and_a_cookie_file_replace_each_other(self, tmp_path):
        server = BeamServer(NAME, COOKIE)
        server.configure(cookie_file=tmp_path / "cookie")
        assert (server.options.cookie, server.options.cookie_file) == (None, tmp_path / "cookie")
        server.configure(cookie="other")

        assert (server.options.cookie, server.options.cookie_file) == ("other", None)

    def test_numbers_of_other_libraries(self):
        class Index:
            def __index__(self):
                return 9100

        assert BeamServer(port=Index()).options.port == 9100


class TestLimits:
    @pytest.mark.parametrize("name", Limits.__slots__)
    def test_a_wrong_type(self, name):
        for value in ("5", True, None, [5], b"5"):
            with pytest.raises(TypeError, match=name):
                Limits(**{name: value})

    @pytest.mark.parametrize("name", Limits.__slots__)
    def test_a_value_that_can_never_be_used(self, name):
        for value in (0, -1):
            with pytest.raises(ValueError, match=name):
                Limits(**{name: value})

    @pytest.mark.parametrize("value", [NAN, INFINITE, -0.5])
    def test_seconds(self, value):
        with pytest.raises(ValueError, match="stalled_peer_timeout"):
            Limits(stalled_peer_timeout=value)
