"""The metrics over HTTP."""

import http.client
import socket

import pytest
from ports import free_port
from support import NAME

from beam_bpy import SettingsError
from beam_bpy.cli.metrics import metrics, metrics_server


@pytest.fixture
def number(server):
    number = free_port()
    with metrics_server(server, number):
        yield number


def get(number, path="/metrics", method="GET"):
    connection = http.client.HTTPConnection("127.0.0.1", number, timeout=10)
    connection.request(method, path)
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    return response.status, response.headers["Content-Type"], body


def test_each_metric_has_a_help_a_type_and_a_number(number):
    status, kind, body = get(number)

    assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
    lines = body.splitlines()
    for first in range(0, len(lines), 3):
        about, type_, value = lines[first : first + 3]
        name = about.split()[2]
        assert about.startswith(f"# HELP {name} ")
        assert type_ in (f"# TYPE {name} gauge", f"# TYPE {name} counter")
        labelled, amount = value.split(" ")
        assert labelled == f'{name}{{node="{NAME}@127.0.0.1"}}'
        assert float(amount) >= 0
    assert body.endswith("\n")


def test_the_values_are_those_of_the_server(server, number):
    server.register_handler("fail", lambda args: 1 / 0)

    assert f'beam_bpy_ready{{node="{NAME}@127.0.0.1"}} 1\n' in get(number)[2]
    server.stop()
    assert f'beam_bpy_ready{{node="{NAME}@127.0.0.1"}} 0\n' in get(number)[2]


def test_a_node_that_does_not_run_has_one_metric():
    assert [line for line in metrics("a@b", None).splitlines() if line[0] != "#"] == ['beam_bpy_ready{node="a@b"} 0']


@pytest.mark.parametrize(
    ("path", "method", "status"), [("/", "GET", 404), ("/metrics?x=1", "GET", 200), ("/metrics", "POST", 501)]
)
def test_other_requests(number, path, method, status):
    assert get(number, path, method)[0] == status


@pytest.mark.parametrize("sent", [b"", b"\xff\xfe\r\n\r\n", b"GET", b"GET /metrics HTTP/1.0\r\n" + b"a: b\r\n" * 500])
def test_clients_that_break_off_or_send_nonsense_do_no_harm(number, sent, capsys):
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", number), 10) as sock:
            sock.sendall(sent)

    assert get(number)[0] == 200
    assert capsys.readouterr() == ("", "")


def test_it_is_reached_from_this_machine_only(number):
    with socket.create_connection(("127.0.0.1", number)) as sock:
        assert sock.getpeername()[0] == "127.0.0.1"
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.2", number), 5)


def test_a_client_that_says_nothing_does_not_delay_the_end(server):
    number = free_port()
    with metrics_server(server, number):
        silent = socket.create_connection(("127.0.0.1", number), 10)
    silent.close()


@pytest.mark.parametrize("number", [-1, 65536, 10**30])
def test_a_port_that_does_not_exist(server, number):
    with pytest.raises(SettingsError, match=str(number)), metrics_server(server, number):
        pass


def test_a_port_that_is_taken(server):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=str(number)), metrics_server(server, number):
            pass
