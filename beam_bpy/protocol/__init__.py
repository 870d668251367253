"""The distribution protocol without I/O: bytes in, events out; no socket, no thread, no clock.

Each module implements one part of the ERTS user's guide's chapter "Distribution Protocol"
(https://www.erlang.org/doc/apps/erts/erl_dist_protocol.html) and can be tested with bytes alone:

- `flags`: the capability flags that two nodes exchange
- `handshake`: names, challenges and digests, for the side that is called and the side that calls
- `framing`: the four-byte length before each message, and ticks
- `control`: control messages, and the payload that follows some of them
- `quick`: the messages of calls, read in one stride: `erpc` and `gen`, by the patterns in `identifiers`
- `epmd`: the requests and answers of the port mapper
"""


class ProtocolError(Exception):
    """The peer sent bytes that the protocol does not allow; the connection that they came on has to be closed."""
