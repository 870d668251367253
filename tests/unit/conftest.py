"""Fixtures for every unit test: no variables of the machine, an epmd port for each test, no thread left over."""

import threading

import pytest
from hypothesis import HealthCheck, settings
from ports import free_port
from support import A_NAME, B_NAME, COOKIE, NAME, eventually

from beam_bpy import BeamServer
from beam_bpy.settings import ENVIRONMENT
from beam_bpy.transport.loop import Loop

# On a busy machine, any example can take long.
settings.register_profile("unit", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unit")

VARIABLES = (*ENVIRONMENT.values(), "ERL_EPMD_ADDRESS", "ERL_DIST_PORT")


@pytest.fixture(autouse=True)
def port(monkeypatch):
    """The epmd port of the test."""
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    number = free_port()
    monkeypatch.setenv("ERL_EPMD_PORT", str(number))
    return number


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    before = set(threading.enumerate())
    yield
    eventually(lambda: set(threading.enumerate()) <= before)


@pytest.fixture
def loop():
    """A loop that runs."""
    loop = Loop("loop of a test")
    loop.start()
    yield loop
    loop.stop()


@pytest.fixture
def make():
    """Make servers that are stopped when the test ends."""
    servers = []

    def make(node_name=NAME, cookie=COOKIE, **options):
        servers.append(BeamServer(node_name, cookie, **options))
        servers[-1].register_handler("echo", lambda args: args)
        return servers[-1]

    yield make
    for server in servers:
        server.stop()


@pytest.fixture
def server(make):
    """A server that runs."""
    server = make()
    assert server.start(), server.last_error
    return server


@pytest.fixture
def a(make):
    """A server that runs under a name of its own."""
    server = make(A_NAME)
    assert server.start(), server.last_error
    return server


@pytest.fixture
def b(make, a):
    """Another, which finds the first one."""
    server = make(B_NAME)
    assert server.start(), server.last_error
    return server
