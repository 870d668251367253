"""The group leader of the BEAM processes that calls from Python start: it prints what they print.

Chapter "The Erlang I/O Protocol" of the STDLIB user's guide. A process sends `{io_request, From, ReplyAs, Request}` to
its group leader, and waits for `{io_reply, ReplyAs, Reply}`. The group leader answers on the network thread, because
the thread that runs handlers may itself wait for the process that prints.
"""

import concurrent.futures
import contextlib
import sys
from collections import deque
from dataclasses import dataclass
from typing import Any

from beam_bpy.distribution.node import Node
from beam_bpy.distribution.peer import Peer
from beam_bpy.distribution.process import PermanentProcess
from beam_bpy.logger import log
from beam_bpy.processes.client import Client
from beam_bpy.protocol import control
from vendor_term_codec import Atom, DecodeError, ImproperList, Pid, Reference, encode_term

_OK = Atom("ok")
_ERROR = Atom("error")
_NOT_SUPPORTED = Atom("enotsup")
_PUT_CHARS = Atom("put_chars")
_IO_REPLY = Atom("io_reply")
_LATIN1 = "latin1"


@dataclass(slots=True)
class _IoRequest:
    """A request that has no reply yet.

    Attributes:
        peer: the node of the process that prints.
        sender, reply_as: where the reply goes, and the term that it holds.
        rest: the requests that have not been carried out yet; more than one for `{requests, Requests}`.
    """

    peer: Peer
    sender: Pid | Reference
    reply_as: Any
    rest: "deque[Any]"


class GroupLeader(PermanentProcess):
    """Writes the output of BEAM processes to Python's standard output.

    It carries out `put_chars` and `requests`. It has no input and no options, so it answers any other request with
    `{error, enotsup}`.

    Args:
        node: our node.
        client: asks the node of a process to format its output.
    """

    __slots__ = ("_client",)

    node: Node

    def __init__(self, node: Node, client: Client) -> None:
        super().__init__(node)
        self._client = client

    def receive(self, peer: Peer, message: control.Send) -> None:
        """See `Process`."""
        try:
            term = message.payload.decode(binaries=bytes)
        except DecodeError as error:
            log.warning("%s sent the group leader a message that cannot be decoded: %s", peer.name, error)
            return
        match term:
            case ("io_request", Pid() | Reference() as sender, reply_as, request):
                self._carry_out(_IoRequest(peer, sender, reply_as, deque([request])))

    def _carry_out(self, request: _IoRequest) -> None:
        """Carry out one request after the other, up to the first that fails or has to be formatted."""
        while request.rest:
            match request.rest.popleft():
                case ("requests", [*more]):
                    request.rest.extendleft(reversed(more))
                case ("put_chars", "unicode" | "latin1" as encoding, characters):
                    if not self._put(request, characters, encoding):
                        return
                case ("put_chars", "unicode" | "latin1" as encoding, module, function, [*args]):
                    self._format(request, encoding, module, function, args)
                    return
                # The two forms without an encoding are those of nodes before OTP R13.
                case ("put_chars", characters):
                    if not self._put(request, characters, _LATIN1):
                        return
                case ("put_chars", module, function, [*args]):
                    self._format(request, _LATIN1, module, function, args)
                    return
                case _:
                    self._reply(request, (_ERROR, _NOT_SUPPORTED))
                    return
        self._reply(request, _OK)

    def _put(self, request: _IoRequest, characters: Any, encoding: str) -> bool:
        """Write characters to standard output; False if they are none, and the process has been told."""
        try:
            text = text_of(characters, encoding)
        except ValueError:
            self._reply(request, (_ERROR, _PUT_CHARS))
            return False
        write_output(text)
        return True

    def _format(self, request: _IoRequest, encoding: str, module: Any, function: Any, args: list[Any]) -> None:
        """Let the node of the process call the function that formats the output: `io_lib:format/2` is not here."""
        if not isinstance(module, Atom) or not isinstance(function, Atom):
            self._reply(request, (_ERROR, _PUT_CHARS))
            return

        def formatted(answer: "concurrent.futures.Future[Any]") -> None:
            if answer.exception() is not None:
                self._reply(request, (_ERROR, function))
            elif self._put(request, answer.result(), encoding):
                self._carry_out(request)

        answer = self._client.call(request.peer.name, module, function, args, binaries=bytes, arrays=False)
        answer.add_done_callback(formatted)

    def _reply(self, request: _IoRequest, reply: Any) -> None:
        self.node.send(self, request.sender, encode_term((_IO_REPLY, request.reply_as, reply)))


def text_of(characters: Any, encoding: str) -> str:
    """The text of `unicode:chardata()`: binaries, characters and nested lists of them.

    Args:
        characters: the characters, whose binaries have been decoded to `bytes`.
        encoding: the encoding of the binaries, `unicode` (UTF-8) or `latin1`.

    Raises:
        ValueError: they are no characters.
    """
    codec = "latin-1" if encoding == _LATIN1 else "utf-8"
    parts: list[str] = []
    rest = [characters]
    while rest:
        item = rest.pop()
        if isinstance(item, bytes):
            parts.append(item.decode(codec))
        elif type(item) is int:
            parts.append(_character(item))
        elif isinstance(item, list):
            rest.extend(reversed(item))
        elif isinstance(item, ImproperList):
            rest.append(item.tail)
            rest.extend(reversed(item.elements))
        else:
            raise ValueError(f"a {type(item).__name__} is no character")
    return "".join(parts)


def _character(number: int) -> str:
    try:
        return chr(number)
    except OverflowError:
        raise ValueError(f"{number} is no character") from None


def write_output(text: str) -> None:
    """Write text to Python's standard output. Never raises.

    A program without a console, such as Blender on Windows, has no standard output; a pipe or a disk may be gone.
    """
    stream = sys.stdout
    if stream is None:
        return
    with contextlib.suppress(Exception):
        encoding = getattr(stream, "encoding", None) or "utf-8"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
