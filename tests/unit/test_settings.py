"""Settings: an argument wins over the environment, the environment over the default; and each sentence of refusal."""

import dataclasses
import math
import string

import pytest

from beam_bpy.cookies import erlang_cookie, generate_cookie
from beam_bpy.errors import SettingsError
from beam_bpy.settings import ENVIRONMENT, TABLE, from_environment, overridden, resolve

SET = {
    "BPY_BEAM_NODE": "from_environment",
    "BPY_BEAM_COOKIE": "cookie_of_environment",
    "BPY_BEAM_HOST": "10.0.0.7",
    "BPY_BEAM_PORT": "4711",
}


def resolved(*, environment=None, **arguments):
    return resolve(**arguments, environment=environment or {})


def test_defaults():
    settings = resolved()

    assert dataclasses.astuple(settings) == ("beam_bpy@127.0.0.1", "beam_bpy_cookie", "127.0.0.1", 0)
    assert (settings.short_name, settings.host) == ("beam_bpy", "127.0.0.1")


def test_the_environment_wins_over_the_defaults():
    settings = resolved(environment=SET)

    assert dataclasses.astuple(settings) == ("from_environment@10.0.0.7", "cookie_of_environment", "10.0.0.7", 4711)


def test_arguments_win_over_the_environment():
    settings = resolved(node_name="argument", cookie="mine", host="localhost", port=0, environment=SET)

    assert dataclasses.astuple(settings) == ("argument@127.0.0.1", "mine", "127.0.0.1", 0)


def test_an_empty_variable_sets_nothing():
    assert resolved(environment=dict.fromkeys(set(SET) - {"BPY_BEAM_COOKIE"}, "")) == resolved()


@pytest.mark.parametrize("setting", [setting for setting in TABLE if setting.group == "Security"], ids=str)
def test_an_empty_variable_of_a_setting_that_protects_the_node_is_refused(setting):
    with pytest.raises(SettingsError, match=f"{setting.variable} is empty"):
        from_environment({setting.variable: ""})


@pytest.mark.parametrize("cookie", ["", " ", "   ", "\t"])
def test_an_empty_cookie_is_refused(cookie, home):
    path = written(home / "cookie", cookie.encode())
    for arguments in (
        {"cookie": cookie},
        {"environment": {"BPY_BEAM_COOKIE": cookie}},
        {"cookie_file": path},
        {"environment": {"BPY_BEAM_COOKIE_FILE": str(path)}},
    ):
        with pytest.raises(SettingsError, match="is empty"):
            resolved(**arguments)


def test_the_environment_of_the_process_is_read_when_it_is_needed(monkeypatch):
    monkeypatch.setenv("BPY_BEAM_NODE", "late")

    assert resolve().short_name == "late"
    assert "node_name" in overridden()


@pytest.mark.parametrize("setting", ENVIRONMENT)
def test_what_the_environment_overrides(setting):
    assert overridden({ENVIRONMENT[setting]: "1"}) == {setting}
    assert overridden({ENVIRONMENT[setting]: ""}) == set()


@pytest.mark.parametrize(
    ("node_name", "host", "full_name", "bind_host"),
    [
        ("crate", None, "crate@127.0.0.1", "127.0.0.1"),
        ("crate", "localhost", "crate@127.0.0.1", "127.0.0.1"),
        ("crate", "127.0.0.1", "crate@127.0.0.1", "127.0.0.1"),
        ("crate", "10.0.0.5", "crate@10.0.0.5", "10.0.0.5"),
        ("crate@10.0.0.5", None, "crate@10.0.0.5", "10.0.0.5"),
        ("crate@10.0.0.5", "0.0.0.0", "crate@10.0.0.5", "0.0.0.0"),
        ("crate@localhost", None, "crate@localhost", "127.0.0.1"),
        ("crate@box.example", "localhost", "crate@box.example", "127.0.0.1"),
        ("crate", "::1", "crate@::1", "::1"),
    ],
)
def test_a_name_and_a_host_make_a_full_name(node_name, host, full_name, bind_host):
    settings = resolved(node_name=node_name, host=host)

    assert (settings.node_name, settings.bind_host) == (full_name, bind_host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_a_node_that_listens_everywhere_is_known_by_the_name_of_its_machine(host):
    settings = resolved(host=host)

    assert settings.bind_host == host
    assert settings.host not in ("", host)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"node_name": "a b"}, "the node name 'a b' cannot be used: use only letters"),
        ({"node_name": "a@b@c"}, "the host of the node name 'a@b@c' cannot be used: use only letters"),
        ({"node_name": "a@"}, "the host of the node name 'a@' cannot be used: use only letters"),
        ({"node_name": "@host"}, "the node name '@host' cannot be used: use only letters"),
        ({"node_name": "a\n"}, r"the node name 'a\n' cannot be used: use only letters"),
        ({"host": "my host"}, "the host 'my host' cannot be used: use only letters"),
        ({"cookie": "two\nlines"}, "the cookie cannot be used: use at most 255 printable"),
        ({"cookie": "x" * 256}, "the cookie cannot be used: use at most 255 printable"),
        ({"port": -1}, "the port -1 cannot be used: choose one from 1 to 65535"),
        ({"port": 65536}, "the port 65536 cannot be used: choose one from 1 to 65535"),
        ({"environment": {"BPY_BEAM_PORT": "many"}}, "BPY_BEAM_PORT is 'many': set it to a number"),
        ({"environment": {"BPY_BEAM_PORT": "-1"}}, "BPY_BEAM_PORT is '-1': set it to a number"),
        ({"environment": {"BPY_BEAM_PORT": "70000"}}, "the port 70000 cannot be used: choose one from 1 to 65535"),
        ({"environment": {"BPY_BEAM_NODE": "a b"}}, "the node name 'a b' cannot be used: use only letters"),
    ],
)
def test_what_cannot_be_used_is_said_in_a_sentence(arguments, sentence):
    with pytest.raises(SettingsError) as caught:
        resolved(**arguments)

    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize("cookie", ["a-secret\n", "a-secret" * 100])
def test_a_refused_cookie_is_not_shown(cookie):
    with pytest.raises(SettingsError) as caught:
        resolved(cookie=cookie)

    assert "a-secret" not in repr(caught.value)


def test_the_repr_hides_the_cookie():
    settings = resolved(cookie="a-secret")

    assert settings.cookie == "a-secret"
    assert "a-secret" not in repr(settings)
    assert "a-secret" not in str(settings)


def test_settings_do_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        resolved().port = 1


def test_a_generated_cookie_is_strong_and_can_be_used():
    cookies = {generate_cookie() for _ in range(100)}

    assert len(cookies) == 100
    for cookie in cookies:
        assert set(cookie) <= set(string.ascii_letters + string.digits)
        assert len(cookie) * math.log2(62) >= 160
        assert resolved(cookie=cookie).cookie == cookie


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home folder whose configuration folder is the usual one."""
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return tmp_path


def written(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("content", [b"SECRET", b"SECRET\n", b"SECRET\r\n"])
def test_the_cookie_of_erlang(home, content):
    written(home / ".erlang.cookie", content)

    assert erlang_cookie(home) == "SECRET"


def test_spaces_belong_to_the_cookie_of_erlang(home):
    written(home / ".erlang.cookie", b" two words \n")

    assert erlang_cookie(home) == " two words "


def test_the_cookie_of_erlang_in_the_configuration_folder(home, monkeypatch):
    written(home / ".config" / "erlang" / ".erlang.cookie", b"USUAL\n")
    assert erlang_cookie(home) == "USUAL"

    written(home / "elsewhere" / "erlang" / ".erlang.cookie", b"CHOSEN\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "elsewhere"))
    assert erlang_cookie(home) == "CHOSEN"

    written(home / ".erlang.cookie", b"FIRST\n")
    assert erlang_cookie(home) == "FIRST"


def test_the_home_folder_is_that_of_the_user(home, monkeypatch):
    monkeypatch.setenv("HOME", str(home))
    written(home / ".erlang.cookie", b"MINE")

    assert erlang_cookie() == "MINE"


def test_there_is_no_cookie_of_erlang(home):
    with pytest.raises(SettingsError) as caught:
        erlang_cookie(home)

    assert str(caught.value).startswith(f"there is no {home / '.erlang.cookie'}: Erlang creates it")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty: delete it, and Erlang creates a new one"),
        (b"\n", "is empty: delete it, and Erlang creates a new one"),
        (b"SECRET\nSECRET\n", "the cookie cannot be used: use at most 255 printable"),
        (b"SECRET" * 50, "the cookie cannot be used: use at most 255 printable"),
    ],
)
def test_a_cookie_of_erlang_that_cannot_be_used(home, content, sentence):
    path = written(home / ".erlang.cookie", content)
    with pytest.raises(SettingsError) as caught:
        erlang_cookie(home)

    assert str(path) in str(caught.value)
    assert sentence in str(caught.value)
    assert "SECRET" not in str(caught.value)


def test_a_cookie_of_erlang_that_cannot_be_read(home):
    (home / ".erlang.cookie").mkdir()
    with pytest.raises(SettingsError, match=r"\.erlang\.cookie cannot be read: "):
        erlang_cookie(home)
