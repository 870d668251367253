"""The distribution protocol without I/O: bytes in, events out. No module here has a socket, a thread or a clock.

Each module implements one part of the ERTS user's guide's chapter "Distribution Protocol"
(https://www.erlang.org/doc/apps/erts/erl_dist_protocol.html) and can be tested with bytes alone:

- `opcodes`, `flags`: the numbers of control messages and of capabilities, by their names
- `handshake`: names, challenges and digests, for the accepting and the connecting side
- `framing`, `fragments`: the four-byte length before each message, ticks, and large messages in fragments
- `control`: control messages as types; `control_reader` and `control_writer` turn bytes into them and back
- `erpc`, `gen_server`: the conventions of calls, in both directions
- `fast_path`: a second reader for the messages of calls, which reads them as `control_reader` does
- `epmd`: the requests and answers of the port mapper
"""


class ProtocolError(Exception):
    """The peer sent bytes that the protocol does not allow; the connection that they came on has to be closed."""
