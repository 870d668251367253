"""A pure-Python CNode: any Python program as a node of the BEAM, called by Erlang and Elixir like any other node.

from beam_bpy import BeamServer

server = BeamServer(node_name="beam_bpy", cookie="beam_bpy_cookie")
server.register_handler("ping", lambda args: "pong")
server.start()
"""

from beam_bpy.beam_server import BeamServer, get_beam_server
from beam_bpy.erlang_variant import ErlangVariantDecoder, ErlangVariantEncoder
from beam_bpy.errors import ErlangError, ErlangExit, ErlangThrow, NodeDownError
from beam_bpy.handlers import Handler
from beam_bpy.limits import Limits
from beam_bpy.processes import BeamProcess
from beam_bpy.tls import Tls
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
    "Atom",
    "BeamProcess",
    "BeamServer",
    "BitString",
    "DecodeError",
    "EncodeError",
    "ErlangError",
    "ErlangExit",
    "ErlangThrow",
    "ErlangVariantDecoder",
    "ErlangVariantEncoder",
    "Export",
    "Fun",
    "Handler",
    "ImproperList",
    "Limits",
    "NodeDownError",
    "PairsMap",
    "Pid",
    "Port",
    "Reference",
    "Tls",
    "get_beam_server",
]
