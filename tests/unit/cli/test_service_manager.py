"""Messages to systemd."""

import socket

import pytest

from beam_bpy.cli.service_manager import notify


@pytest.mark.posix
@pytest.mark.parametrize("kind", ["file", "abstract"])
def test_a_state_is_a_datagram(tmp_path, monkeypatch, kind):
    name = str(tmp_path / "notify") if kind == "file" else f"@beam_bpy_test_{tmp_path.name}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name.replace("@", "\0", 1) if kind == "abstract" else name)
        manager.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", name)

        notify("READY=1\nSTATUS=a@b")

        assert manager.recv(100) == b"READY=1\nSTATUS=a@b"


@pytest.mark.parametrize("name", ["", "/no/such/socket", "@", "x" * 300, "/dev/null"])
def test_no_manager_is_no_error(monkeypatch, name):
    monkeypatch.setenv("NOTIFY_SOCKET", name)

    notify("READY=1")
