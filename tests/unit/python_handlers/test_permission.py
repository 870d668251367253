"""Without the permission of the user no code runs, and the sentence says how to give it."""

import contextlib
import logging

import pytest
from support import COOKIE, NAME

from beam_bpy import BeamServer, ErlangError
from python_handlers import permission

TEXTS = {"yes": True, "true": True, "on": True, "1": True, "YES": True, "no": False, "off": False, "0": False}


@pytest.fixture
def started():
    """Starts a server with these options."""
    made = []

    def start(**options):
        server = BeamServer(NAME, COOKIE, **options)
        made.append(server)
        assert server.start(), server.last_error
        return server

    yield start
    for server in made:
        server.stop()


def allowed(server):
    with contextlib.suppress(ErlangError):
        permission.check(server)
        return True
    with pytest.raises(ErlangError) as caught:
        permission.check(server)
    assert caught.value.reason == ("not_allowed", permission.SENTENCE)
    return False


def warnings(caplog):
    return [record.message for record in caplog.records if record.levelno >= logging.WARNING]


def test_it_is_off_by_default(started, caplog):
    server = started()

    assert server.allow_python is None
    assert not allowed(server)
    assert warnings(caplog) == []


@pytest.mark.parametrize("value", [True, False])
def test_an_argument_decides(started, caplog, value, monkeypatch):
    monkeypatch.setenv("BPY_BEAM_ALLOW_PYTHON", "no" if value else "yes")
    server = started(allow_python=value)

    assert allowed(server) is value
    assert ["Python is allowed" in text for text in warnings(caplog)] == ([True] if value else [])


@pytest.mark.parametrize("text", TEXTS)
def test_the_environment_decides(started, caplog, text, monkeypatch):
    monkeypatch.setenv("BPY_BEAM_ALLOW_PYTHON", text)
    server = started()

    assert allowed(server) is TEXTS[text]
    assert len(warnings(caplog)) == TEXTS[text]


@pytest.mark.parametrize("text", ["", "perhaps", " ", "2"])
def test_a_wrong_variable_starts_no_server(text, monkeypatch):
    monkeypatch.setenv("BPY_BEAM_ALLOW_PYTHON", text)
    server = BeamServer(NAME, COOKIE)

    assert server.start() is False
    assert "BPY_BEAM_ALLOW_PYTHON" in server.last_error


@pytest.mark.parametrize("value", ["yes", 1, 0, "", []])
def test_a_value_that_is_no_bool_is_refused(value):
    with pytest.raises(TypeError, match="allow_python has to be True or False"):
        BeamServer(NAME, COOKIE, allow_python=value)


def test_a_running_server_does_not_change_its_mind(started, monkeypatch):
    server = started()
    monkeypatch.setenv("BPY_BEAM_ALLOW_PYTHON", "yes")
    with pytest.raises(RuntimeError, match="stop the server"):
        server.configure(allow_python=True)

    assert not allowed(server)
    server.stop()
    assert server.allow_python is None
    assert not allowed(server)


def test_the_sentence_names_every_way_to_allow_it():
    for way in ("Preferences, Add-ons, Python Handlers", "--allow-python", "BPY_BEAM_ALLOW_PYTHON=yes"):
        assert way in permission.SENTENCE
