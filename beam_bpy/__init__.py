"""A pure-Python CNode: any Python program as a node of the BEAM, called by Erlang and Elixir like any other node.

from beam_bpy import BeamServer

server = BeamServer(node_name="beam_bpy", cookie="beam_bpy_cookie")
server.register_handler("ping", lambda args: "pong")
server.start()

All public names are in this module. The layers below it, each of which imports only those under it:

- `cli`: the command line; `beam_server`: the public interface; `running`: the parts that one start creates
- `calls`: calls from the BEAM to handlers; its docstring follows one call through all layers
- `processes`: calls, messages and monitors from Python to the BEAM
- `dispatch`: which thread runs a handler
- `distribution`: the node, its processes and connections
- `epmd`: being found; `transport`: sockets and threads
- `protocol`: the distribution protocol, without I/O
"""

import sys

if sys.version_info < (3, 11):
    raise ImportError(f"beam_bpy needs Python 3.11 or later, and this is Python {sys.version.split()[0]}")

from beam_bpy.beam_server import BeamServer, PeerInfo, get_beam_server
from beam_bpy.calls.handlers import Handler, HandlerOptions
from beam_bpy.calls.node_answers import Health, RunningHandler
from beam_bpy.calls.present import CurrentCall, current_call
from beam_bpy.calls.statistics import Activity, FailedCall
from beam_bpy.epmd.registration import EpmdMode
from beam_bpy.erlang_variant import ErlangVariantDecoder, ErlangVariantEncoder
from beam_bpy.errors import ErlangError, ErlangExit, ErlangThrow, NodeDownError, ServerError, SettingsError
from beam_bpy.failures import python_error
from beam_bpy.limits import Limits
from beam_bpy.processes.beam_process import BeamProcess, Destination
from beam_bpy.settings import GivenOptions
from beam_bpy.transport.refusal_log import Refusal
from beam_bpy.transport.tls import Tls
from beam_bpy.version import __version__
from vendor_term_codec import (
    Atom,
    BitString,
    DecodeError,
    EncodeError,
    Export,
    Fun,
    ImproperList,
    PairsMap,
    Pid,
    Port,
    Reference,
)

__all__ = [
    "Activity",
    "Atom",
    "BeamProcess",
    "BeamServer",
    "BitString",
    "CurrentCall",
    "DecodeError",
    "Destination",
    "EncodeError",
    "EpmdMode",
    "ErlangError",
    "ErlangExit",
    "ErlangThrow",
    "ErlangVariantDecoder",
    "ErlangVariantEncoder",
    "Export",
    "FailedCall",
    "Fun",
    "GivenOptions",
    "Handler",
    "HandlerOptions",
    "Health",
    "ImproperList",
    "Limits",
    "NodeDownError",
    "PairsMap",
    "PeerInfo",
    "Pid",
    "Port",
    "Reference",
    "Refusal",
    "RunningHandler",
    "ServerError",
    "SettingsError",
    "Tls",
    "__version__",
    "current_call",
    "get_beam_server",
    "python_error",
]
