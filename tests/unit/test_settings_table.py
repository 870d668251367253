"""Every setting of the table can be set in each place, and means the same in each."""

import dataclasses
from pathlib import Path

import pytest
from support import COOKIE, NAME

from beam_bpy import BeamServer, Limits, SettingsError
from beam_bpy.cli.main import _parser
from beam_bpy.cli.setting_options import given_settings
from beam_bpy.settings import (
    SETTINGS,
    TABLE,
    GivenOptions,
    TlsFiles,
    arguments,
    from_environment,
    merged,
    overridden,
    resolve,
    resolve_network,
)

TEXTS = {
    "node_name": ("crate@10.0.0.5", "crate@10.0.0.5"),
    "host": ("10.0.0.7", "10.0.0.7"),
    "port": ("4711", 4711),
    "epmd": ("none", "none"),
    "tick_time": ("8", 8.0),
    "cookie": ("a-secret", "a-secret"),
    "cookie_file": ("/etc/cookie", Path("/etc/cookie")),
    "allow": ("app@*, render?@10.0.0.*", ("app@*", "render?@10.0.0.*")),
    "allow_python": ("yes", True),
    "tls_certificate": ("/etc/node.pem", Path("/etc/node.pem")),
    "tls_key": ("~/node.key", Path("~/node.key").expanduser()),
    "tls_authority": ("ca.pem", Path("ca.pem")),
    "tls_password": ("a passphrase", "a passphrase"),
    "max_frame": ("1000", 1000),
    "max_connections": ("7", 7),
    "max_half_open": ("8", 8),
    "max_half_open_per_address": ("9", 9),
    "max_queued": ("10", 10),
    "max_in_flight": ("11", 11),
    "max_unsent": ("12", 12),
    "stalled_peer_timeout": ("13.5", 13.5),
}
"""A text for each setting, and the value that it means."""

WRONG = {
    "port": ("many", "-1", "1.5", "4_711"),
    "epmd": ("embedded", "Embed"),
    "tick_time": ("long", "0", "-1", "nan", "inf"),
    "allow": (",", " ", "app@*,", "two words"),
    "allow_python": ("perhaps", "2", "y", "-1"),
    "max_queued": ("0", "-1", "many", "1e3"),
    "stalled_peer_timeout": ("0", "nan"),
}
"""Texts that cannot be used."""

NAMES = [setting.name for setting in TABLE]


def command_line(*words):
    return given_settings(_parser().parse_args(["serve", *words]))


def test_the_tests_know_all_of_them():
    assert set(TEXTS) == set(NAMES)


@pytest.mark.parametrize("setting", TABLE, ids=NAMES)
class TestEachSetting:
    def test_it_is_an_argument_of_the_server(self, setting):
        assert setting.argument in {field.name for field in dataclasses.fields(GivenOptions)}
        _text, value = TEXTS[setting.name]
        given = arguments({setting.name: value})
        options = BeamServer(**given).options

        present = getattr(options, setting.argument)
        assert (getattr(present, setting.name) if setting.part_of else present) == value

    def test_it_is_an_environment_variable(self, setting):
        text, value = TEXTS[setting.name]

        assert from_environment({setting.variable: text}) == {setting.name: value}
        assert overridden({setting.variable: text}) == {setting.name}
        assert from_environment({}) == {}

    def test_it_is_an_option_of_the_command(self, setting):
        text, value = TEXTS[setting.name]

        assert command_line(setting.option, text) == {setting.name: value}
        assert command_line() == {}

    def test_it_has_a_help_text(self, setting):
        assert len(setting.help) > 20
        assert not setting.help.endswith(".")
        assert setting.label

    def test_a_wrong_text_is_refused_everywhere(self, setting, capsys):
        for text in WRONG.get(setting.name, ()):
            with pytest.raises(SettingsError, match=setting.variable):
                from_environment({setting.variable: text})
            with pytest.raises(SystemExit) as caught:
                command_line(f"{setting.option}={text}")
            assert caught.value.code == 2
            assert setting.option in capsys.readouterr().err


def test_every_argument_of_the_server_but_daemon_is_in_the_table():
    assert {setting.argument for setting in TABLE} == {field.name for field in dataclasses.fields(GivenOptions)} - {
        "daemon"
    }


def test_every_limit_is_in_the_table():
    assert {setting.name for setting in TABLE if setting.part_of == "limits"} == set(Limits.__slots__)


def test_the_environment_reaches_the_connections():
    environment = {SETTINGS[name].variable: TEXTS[name][0] for name in NAMES if not name.startswith("tls_")}
    network = resolve_network(GivenOptions(), environment)

    assert (network.tick_time, network.epmd) == (8.0, "none")
    assert network.allow == ("app@*", "render?@10.0.0.*")
    assert network.limits == Limits(1000, 7, 8, 9, 10, 11, 12, 13.5)
    assert network.tls is None


def test_an_argument_wins_over_the_environment():
    environment = {SETTINGS[name].variable: TEXTS[name][0] for name in NAMES}
    limits = Limits(max_queued=5)
    given = GivenOptions(tick_time=30.0, epmd="host", allow=("web@*",), limits=limits, tls=None)
    environment = {name: text for name, text in environment.items() if "TLS" not in name}

    network = resolve_network(given, environment)
    assert (network.tick_time, network.epmd, network.allow, network.limits) == (30.0, "host", ("web@*",), limits)


def test_the_defaults_are_those_of_the_table():
    network = resolve_network(GivenOptions(), {})
    settings = resolve(environment={})

    found = dataclasses.asdict(network) | {"cookie": settings.cookie, "port": settings.port}
    for setting in TABLE:
        if setting.name in found:
            assert found[setting.name] == setting.default
    assert network.limits == Limits(**{s.name: s.default for s in TABLE if s.part_of == "limits"})


class TestLayers:
    def test_a_later_layer_wins(self):
        assert merged({"port": 1, "epmd": "none"}, {"port": 2}, {}) == {"port": 2, "epmd": "none"}

    def test_a_cookie_replaces_a_cookie_file_and_the_other_way_round(self):
        assert merged({"cookie": "x"}, {"cookie_file": Path("y")}) == {"cookie_file": Path("y")}
        assert merged({"cookie_file": Path("y")}, {"cookie": "x"}) == {"cookie": "x"}

    def test_both_in_one_place_are_refused(self):
        with pytest.raises(SettingsError, match="only one"):
            merged({"cookie": "x", "cookie_file": Path("y")})

    def test_parts_come_from_several_layers(self):
        values = merged({"tls_key": Path("k")}, {"tls_certificate": Path("c")}, {"max_queued": 5})

        assert arguments(values) == {"tls": TlsFiles(Path("c"), Path("k")), "limits": Limits(max_queued=5)}


class TestTlsFiles:
    @pytest.mark.parametrize(
        ("values", "missing"),
        [
            ({"tls_certificate": Path("c")}, "tls_authority"),
            ({"tls_authority": Path("a")}, "tls_certificate"),
            ({"tls_password": "p"}, "tls_certificate"),
        ],
    )
    def test_a_missing_setting_is_named(self, values, missing):
        server = BeamServer(NAME, COOKIE, **arguments(values))

        assert server.start() is False
        for name in (SETTINGS[missing].option, SETTINGS[missing].variable, SETTINGS[missing].label):
            assert name in server.last_error

    def test_a_variable_alone_does_not_start_a_node_without_tls(self, monkeypatch):
        monkeypatch.setenv("BPY_BEAM_TLS_CERTIFICATE", "/nowhere/node.pem")
        monkeypatch.setenv("BPY_BEAM_TLS_AUTHORITY", "/nowhere/ca.pem")
        server = BeamServer(NAME, COOKIE)

        assert server.start() is False
        assert "/nowhere/node.pem" in server.last_error

    def test_no_repr_shows_the_passphrase(self):
        server = BeamServer(NAME, **arguments({"tls_password": "a-passphrase"}))

        assert "a-passphrase" not in repr(server.options)


class TestAllAddresses:
    @pytest.mark.parametrize(("host", "colon"), [("0.0.0.0", False), ("::", True)])
    def test_a_bare_name_gets_a_host_that_others_can_call(self, host, colon, monkeypatch):
        monkeypatch.setattr("socket.getfqdn", lambda: "localhost")
        monkeypatch.setattr("beam_bpy.settings.outgoing_address", lambda like: "2001:db8::5" if colon else "10.1.2.3")

        assert (
            resolve("crate", "x", host, environment={}).node_name == f"crate@{'2001:db8::5' if colon else '10.1.2.3'}"
        )

    def test_the_full_host_name_if_there_is_one(self, monkeypatch):
        monkeypatch.setattr("socket.getfqdn", lambda: "render1.studio.example")

        assert resolve("crate", "x", "0.0.0.0", environment={}).node_name == "crate@render1.studio.example"

    @pytest.mark.parametrize("name", ["localhost", "localhost.localdomain", "1.0.0.127.in-addr.arpa", "vm"])
    def test_without_both_it_is_refused(self, monkeypatch, name):
        monkeypatch.setattr("socket.getfqdn", lambda: name)
        monkeypatch.setattr("beam_bpy.settings.outgoing_address", lambda like: None)
        with pytest.raises(SettingsError, match="full name"):
            resolve("crate", "x", "0.0.0.0", environment={})

    @pytest.fixture
    def loopback_is_all(self, monkeypatch):
        """So that the test listens on this computer only."""
        monkeypatch.setattr("beam_bpy.settings.ALL_ADDRESSES", ("127.0.0.1",))
        monkeypatch.setattr("socket.getfqdn", lambda: "render1.studio.example")

    def test_the_name_that_it_gets_is_logged(self, make, caplog, loopback_is_all):
        server = make(host="127.0.0.1")
        assert server.start(), server.last_error

        assert server.node_name == f"{NAME}@render1.studio.example"
        assert f"have to call it {server.node_name}" in caplog.text

    def test_a_whole_name_is_taken_as_it_is(self, make, caplog, loopback_is_all):
        server = make(f"{NAME}@127.0.0.1", host="127.0.0.1")
        assert server.start(), server.last_error

        assert server.node_name == f"{NAME}@127.0.0.1"
        assert "have to call it" not in caplog.text


class TestTheSameNameTwice:
    def test_in_one_program(self, make, server):
        twice = make()

        assert twice.start() is False
        assert "runs in this program" in twice.last_error
        server.stop()
        assert twice.start(), twice.last_error

    def test_the_same_server_is_started_once(self, server):
        assert server.start() is True

    def test_with_another_host(self, make, server):
        twice = make(f"{NAME}@localhost")

        assert twice.start() is False
        assert "runs in this program" in twice.last_error

    def test_nodes_that_do_not_register_may_share_a_name(self, make, server):
        assert make(epmd="none").start()
