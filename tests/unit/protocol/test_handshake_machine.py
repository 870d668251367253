"""The handshake against models of it: chapter "Distribution Handshake", with everything that can go wrong on the way.

Four machines. `Called` and `Calling` put one side of the handshake before a peer that says anything in any order, cut
anywhere, and know from the chapter what has to come of it. `Tampered` puts both sides on a wire that somebody
damages. `AtOnce` lets two whole nodes call each other at any moment, and loses connections.
"""

import hashlib
import struct
import time
import traceback
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from unittest import mock

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from support import socket_pair

from beam_bpy.distribution.connections import Connections
from beam_bpy.distribution.node import Node
from beam_bpy.limits import Limits
from beam_bpy.protocol.flags import MANDATORY_BEFORE_25, OURS, Flag
from beam_bpy.protocol.handshake import MAX_MESSAGE, Acceptor, Established, HandshakeError, Initiator, PeerNamed
from beam_bpy.transport.loop import Loop

US, PEER, OTHER = "us@127.0.0.1", "peer@127.0.0.1", "other@127.0.0.1"
COOKIES = ("a-secret-of-the-test", "another-secret-of-the-test", "caf\u00e9-secret-of-the-test")
OUR_CHALLENGE, PEER_CHALLENGE = 0xFEDCBA98, 0x01234567
OUR_CREATION, PEER_CREATION = 0x11223344, 0x55667788
DIGEST, NAME_ME = int(Flag.MANDATORY_25_DIGEST), int(Flag.NAME_ME)
MANDATORY, OFFERED = int(MANDATORY_BEFORE_25), int(OURS)

EVERYTHING = 1 << 30
"""More bytes than ever wait on a wire."""


def run(machine, examples, steps):
    """Run the same examples each time, what one run has found the next one finds; returns how they have ended."""
    machine.ends = Counter()
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    return machine.ends


def md5(cookie, challenge):
    return hashlib.md5(cookie.encode("latin-1") + str(challenge).encode()).digest()


def known(flags):
    """The flags in use after another node has offered its flags; None if the node refuses the connection."""
    if not flags & DIGEST and MANDATORY & ~flags:
        return None
    return flags & (OFFERED | NAME_ME) | (MANDATORY if flags & DIGEST else 0)


def no_secret(*shown):
    """No cookie is in what anybody gets to see."""
    for cookie in COOKIES:
        for text in shown:
            assert (cookie.encode("latin-1") if isinstance(text, bytes) else cookie) not in text


def all_of(error):
    """Everything that a log could show of an exception."""
    return str(error), repr(error), "".join(traceback.format_exception(error))


@dataclass(frozen=True)
class Said:
    """A message of the peer, as the model knows it: of kind "bad" when no side takes it at any time."""

    kind: str
    body: bytes
    name: str = ""
    flags: int = 0
    creation: int = 0
    challenge: int = 0


def new_name(name=PEER, flags=OFFERED, creation=PEER_CREATION, more=b""):
    raw = name.encode()
    body = struct.pack(">cQIH", b"N", flags, creation, len(raw)) + raw + more
    return Said("name", body, name, flags, creation)


def old_name(name=PEER, flags=OFFERED):
    flags &= 0xFFFFFFFF
    return Said("old name", struct.pack(">cHI", b"n", 5, flags) + name.encode(), name, flags)


def status(text):
    return Said("status", b"s" + text.encode(), text)


def complement(flags=OFFERED, creation=PEER_CREATION):
    return Said("complement", struct.pack(">cII", b"c", flags >> 32, creation), flags=flags, creation=creation)


def reply(digest, challenge=PEER_CHALLENGE, kind="reply"):
    return Said(kind, struct.pack(">cI", b"r", challenge) + digest, challenge=challenge)


def challenge(name=PEER, flags=OFFERED, number=PEER_CHALLENGE, creation=PEER_CREATION, more=b""):
    raw = name.encode()
    body = struct.pack(">cQIIH", b"N", flags, number, creation, len(raw)) + raw + more
    return Said("challenge", body, name, flags, creation, number)


def bad(body):
    return Said("bad", body)


NUMBERS = st.sampled_from([0, 1, 0x7FFFFFFF, 0xFFFFFFFF, PEER_CHALLENGE, OUR_CHALLENGE])
NAMES = st.sampled_from([PEER, PEER, OTHER, US, "\u00fcber@host", "x@" + "y" * 250])
FLAGS = st.one_of(
    st.sampled_from([OFFERED, OFFERED, MANDATORY, DIGEST, MANDATORY | NAME_ME, OFFERED | NAME_ME, (1 << 64) - 1, 0]),
    st.sampled_from(list(MANDATORY_BEFORE_25)).map(lambda flag: MANDATORY & ~int(flag)),
)
STATUSES = ["ok", "ok_simultaneous", "nok", "not_allowed", "alive", "true", "false", "named:", "", "OK", "ok "]
GARBAGE = st.one_of(
    st.sampled_from(
        [
            b"",
            b"GET / HTTP/1.1\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"N" + bytes(10),
            b"n\0\6" + bytes(4) + b"a@b",
            b"n\0\5",
            new_name().body[:-1],
            new_name("evil\nall is well@host").body,
            struct.pack(">cQIH", b"N", OFFERED, 1, 6) + b"\xff@host",
            struct.pack(">cHI", b"n", 5, MANDATORY) + b"\xff@host",
            complement().body[:-1],
            complement().body + b"\0",
            challenge().body[:-1],
        ]
    ),
    st.binary(max_size=40).map(lambda body: b"?" + body),
).map(bad)


class OneSide(RuleBasedStateMachine):
    """One side of a handshake, and what it should make of what it is told."""

    first = ""  # The model's state before anything was said.
    last = ""  # The kind of the message that ends the handshake.

    @initialize(cookie=st.sampled_from(COOKIES), size=st.sampled_from([2, 4]))
    def one_begins(self, cookie, size):
        self.open(cookie, size)

    @precondition(lambda self: self.state in ("over", "up"))
    @rule(cookie=st.sampled_from(COOKIES), size=st.sampled_from([2, 4]))
    def another_begins(self, cookie, size):
        self.comes_to_its_end()
        self.open(cookie, size)

    def begin(self, side, cookie, size):
        self.side, self.cookie, self.size = side, cookie, size
        self.state = self.first
        self.stream = b""  # All that the peer has said.
        self.arrived = 0  # How much of it has arrived.
        self.messages = []  # Messages that the side has not read yet, each with the offset of its end.
        self.output = b""  # Bytes that the side must send now.
        self.handed_on = None  # Bytes that it left for the connection.
        self.status = self.refused_with = None  # The status with which the other side has refused this one.

        right, of_others = (
            md5(cookie, OUR_CHALLENGE),
            [md5(other, OUR_CHALLENGE) for other in COOKIES if other != cookie],
        )
        self.wrong = [*of_others, md5(cookie, PEER_CHALLENGE), bytes(16), right[:-1], right + b"\0", right[::-1], b""]

    def frame(self, body):
        return len(body).to_bytes(self.size) + body

    def put(self, said, raw=None):
        self.stream += self.frame(said.body) if raw is None else raw
        self.messages.append((said, len(self.stream)))

    @property
    def on_its_way(self):
        return len(self.stream) - self.arrived

    @rule(data=st.data())
    def says_something(self, data):
        self.put(data.draw(self.anything()))

    @rule(
        data=st.data(),
        cookie=st.sampled_from(COOKIES),
        size=st.sampled_from([2, 4]),
        rounds=st.sampled_from([1, 1, 2, 3, 4]),
        cut=st.booleans(),
        lies=st.sampled_from([True, True, False]),
        frames=st.binary(max_size=9),
    )
    def is_right_for_a_while(self, data, cookie, size, rounds, cut, lies, frames):
        """So much of the handshake without a fault, to its end with bytes of what follows it; or else with a lie."""
        if self.state in ("over", "up"):
            self.another_begins(cookie, size)
        self.arrives(EVERYTHING)
        for _ in range(rounds):
            self.is_decided(data)
            if self.state in ("over", "up"):
                break
            self.put(data.draw(self.due()))
            if self.messages and self.messages[-1][0].kind == self.last and frames:
                self.goes_on_with_frames(frames)
            while self.on_its_way:
                self.arrives(data.draw(st.integers(1, 30)) if cut else EVERYTHING)
        if lies:
            self.lies_now(data)
        if self.state == "over":
            self.goes_on_as_if_it_were_not_over(data.draw(st.integers(0, 3)))

    def lies_now(self, data):
        self.is_decided(data)
        if self.state not in ("over", "up"):
            said = data.draw(self.lies())
            self.put(said)
            self.arrives(EVERYTHING)
            assert self.state == "over", said

    def is_decided(self, data):
        if self.state == "decision":
            self.decide(data.draw(st.sampled_from(["alive", "ok", "alive", "ok_simultaneous", "nok"])))

    def goes_on_as_if_it_were_not_over(self, first):
        for said in self.whole()[first:]:
            self.put(said)
            self.arrives(EVERYTHING)

    @precondition(lambda self: self.state != "up")
    @rule(length=st.sampled_from([MAX_MESSAGE, MAX_MESSAGE + 1, 0xFFFF]))
    def promises_too_much(self, length):
        """The length alone is enough."""
        self.put(bad(b""), length.to_bytes(self.size))

    @precondition(lambda self: self.state == "up" or (self.messages and self.messages[-1][0].kind == self.last))
    @rule(data=st.binary(min_size=1, max_size=30))
    def goes_on_with_frames(self, data):
        self.put(bad(data), data)

    @rule(count=st.one_of(st.just(EVERYTHING), st.just(EVERYTHING), st.integers(0, 40)))
    def arrives(self, count):
        chunk = self.stream[self.arrived : self.arrived + count]
        self.arrived += len(chunk)
        if self.state == "up":
            self.handed_on += chunk
            return
        was_over, expected = self.state == "over", self.model()
        event = self.receive(chunk)
        assert event == expected or (was_over and event == "refused")
        assert self.refused_with == self.status
        if isinstance(event, Established):
            self.handed_on = event.rest
        self.says_what_it_should()

    def receive(self, chunk):
        """The side's result for the bytes: an event, None or "refused"."""
        try:
            return self.side.receive(chunk)
        except HandshakeError as error:
            no_secret(*all_of(error))
            self.refused_with = self.refused_with or getattr(error, "status", None)
            return "refused"

    def model(self):
        """The expected result for all received bytes: an event, None or "refused"."""
        while self.state not in ("decision", "up", "over") and self.messages and self.messages[0][1] <= self.arrived:
            said, end = self.messages.pop(0)
            outcome = "refused" if said.kind == "bad" else self.take(said, end)
            if outcome == "refused":
                self.state, self.output = "over", b""
            if outcome is not None:
                return outcome
        return None

    def established(self, name, flags, creation, end):
        self.state, self.end = "up", end
        return Established(name, Flag(flags), creation, self.stream[end : self.arrived])

    def expect(self, body):
        self.output += self.frame(body)

    def says_what_it_should(self):
        output = self.side.take_output()
        no_secret(output)
        assert output == self.output
        self.output = b""

    @invariant()
    def shows_no_secret(self):
        no_secret(repr(self.side), str(self.side))

    @invariant()
    def says_nothing_twice(self):
        assert self.side.take_output() == b""

    def comes_to_its_end(self):
        """The remaining bytes were passed on unchanged."""
        if self.state == "up":
            assert self.handed_on == self.stream[self.end : self.arrived]
        self.ends[self.state] += 1

    def teardown(self):
        if hasattr(self, "side"):
            self.comes_to_its_end()


class Called(OneSide):
    """The accepting side."""

    first, last = "name", "reply"

    def open(self, cookie, size):
        self.begin(Acceptor(US, OUR_CREATION, OURS, cookie, OUR_CHALLENGE, length_size=size), cookie, size)
        self.ours, self.peer_name, self.peer_flags, self.peer_creation, self.is_old = OFFERED, "", 0, 0, False

    def anything(self):
        right = md5(self.cookie, OUR_CHALLENGE)
        return st.one_of(
            st.builds(new_name, NAMES, FLAGS, NUMBERS, st.sampled_from([b"", b"more"])),
            st.builds(old_name, NAMES, FLAGS),
            st.builds(status, st.sampled_from(STATUSES)),
            st.builds(complement, FLAGS, NUMBERS),
            st.builds(reply, st.just(right), NUMBERS),
            st.builds(reply, st.sampled_from(self.wrong), NUMBERS, st.just("bad")),
            st.just(bad(b"a" + right)),
            st.just(challenge()),
            GARBAGE,
        )

    def due(self):
        match self.state:
            case "alive":
                return st.just(status("true"))
            case "complement":
                return st.builds(complement, st.sampled_from([OFFERED, DIGEST, 0]), NUMBERS)
            case "reply":
                return st.builds(reply, st.just(md5(self.cookie, OUR_CHALLENGE)), NUMBERS)
        return st.sampled_from([new_name(), old_name()])

    def lies(self):
        match self.state:
            case "alive":
                return st.sampled_from([status("false"), status("ok"), new_name()])
            case "complement":
                return st.sampled_from([reply(md5(self.cookie, OUR_CHALLENGE)), bad(b"c" + bytes(7))])
            case "reply":
                return st.sampled_from(self.wrong).map(lambda digest: reply(digest, kind="bad"))
        return GARBAGE

    def whole(self):
        return [new_name(), status("true"), complement(), reply(md5(self.cookie, OUR_CHALLENGE))]

    def take(self, said, end):
        match self.state, said.kind:
            case "name", "name" | "old name":
                self.peer_name, self.peer_creation, self.is_old = said.name, said.creation, said.kind == "old name"
                return self._flags_taken(said.flags) or self._named()
            case "alive", "status" if said.name == "true":
                self._challenge()
            case "complement", "complement":
                self.peer_creation, self.state = said.creation, "reply"
                return self._flags_taken(self.peer_flags | said.flags >> 32 << 32)
            case "reply", "reply":
                self.expect(b"a" + md5(self.cookie, said.challenge))
                return self.established(self.peer_name, self.ours & self.peer_flags, self.peer_creation, end)
            case _:
                return "refused"
        return None

    def _flags_taken(self, flags):
        self.peer_flags = known(flags)
        return "refused" if self.peer_flags is None else None

    def _named(self):
        self.state = "decision"
        return PeerNamed(self.peer_name, Flag(self.peer_flags))

    def _challenge(self):
        raw = US.encode()
        self.expect(struct.pack(">cQIIH", b"N", self.ours, OUR_CHALLENGE, OUR_CREATION, len(raw)) + raw)
        self.state = "complement" if self.is_old else "reply"

    @precondition(lambda self: self.state == "decision")
    @rule(answer=st.sampled_from(["ok", "ok", "ok_simultaneous", "alive", "alive", "nok", "not_allowed"]))
    def decide(self, answer):
        self.side.answer(answer)
        self.expect(b"s" + answer.encode())
        if answer in ("nok", "not_allowed"):
            self.state = "over"
        elif answer == "alive":
            self.state = "alive"
        else:
            self._challenge()
        self.says_what_it_should()

    @precondition(lambda self: self.state == "decision" and self.peer_flags & NAME_ME)
    @rule()
    def give_it_a_name(self):
        self.side.name_peer(OTHER, 0xCAFE)
        self.peer_name, self.peer_creation = OTHER, 0xCAFE
        self.ours |= NAME_ME
        self.expect(b"snamed:" + struct.pack(">H", len(OTHER)) + OTHER.encode() + struct.pack(">I", 0xCAFE))
        self._challenge()
        self.says_what_it_should()

    @precondition(lambda self: self.state != "decision")
    @rule()
    def there_is_nothing_to_decide(self):
        with pytest.raises(RuntimeError):
            self.side.answer("ok")
        with pytest.raises(RuntimeError):
            self.side.name_peer(OTHER, 1)


class Calling(OneSide):
    """The side that calls."""

    first, last = "status", "ack"

    def open(self, cookie, size):
        side = Initiator(US, OUR_CREATION, OURS, cookie, OUR_CHALLENGE, PEER, length_size=size)
        self.begin(side, cookie, size)
        self.peer_flags, self.peer_creation = 0, 0
        self.expect(new_name(US, creation=OUR_CREATION).body)
        self.says_what_it_should()

    def anything(self):
        right = md5(self.cookie, OUR_CHALLENGE)
        return st.one_of(
            st.builds(status, st.sampled_from(STATUSES)),
            st.builds(challenge, NAMES, FLAGS, NUMBERS, NUMBERS, st.sampled_from([b"", b"more"])),
            st.just(Said("ack", b"a" + right)),
            st.sampled_from(self.wrong).map(lambda digest: bad(b"a" + digest)),
            st.just(bad(reply(right).body)),
            st.builds(new_name, NAMES, FLAGS).map(lambda said: bad(said.body[:15])),
            GARBAGE,
        )

    def due(self):
        match self.state:
            case "challenge":
                return st.builds(challenge, number=NUMBERS, creation=NUMBERS)
            case "ack":
                return st.just(Said("ack", b"a" + md5(self.cookie, OUR_CHALLENGE)))
        return st.sampled_from(["ok", "ok_simultaneous", "alive"]).map(status)

    def lies(self):
        match self.state:
            case "challenge":
                lacking = st.sampled_from(list(MANDATORY_BEFORE_25)).map(lambda flag: MANDATORY & ~int(flag))
                return st.just(challenge(OTHER)) | st.builds(challenge, flags=lacking)
            case "ack":
                return st.sampled_from(self.wrong).map(lambda digest: bad(b"a" + digest))
        return st.sampled_from(["nok", "not_allowed", "named:", ""]).map(status)

    def whole(self):
        return [status("ok"), challenge(), Said("ack", b"a" + md5(self.cookie, OUR_CHALLENGE))]

    def take(self, said, end):
        match self.state, said.kind:
            case "status", "status" if said.name in ("ok", "ok_simultaneous", "alive"):
                if said.name == "alive":
                    self.expect(b"strue")
                self.state = "challenge"
            case "challenge", "challenge" if said.name == PEER and known(said.flags) is not None:
                self.peer_flags, self.peer_creation = known(said.flags), said.creation
                self.expect(struct.pack(">cI", b"r", OUR_CHALLENGE) + md5(self.cookie, said.challenge))
                self.state = "ack"
            case "ack", "ack":
                return self.established(PEER, OFFERED & self.peer_flags, self.peer_creation, end)
            case "status", "status":
                self.status = said.name if said.name == "nok" else "not_allowed"
                return "refused"
            case _:
                return "refused"
        return None

    def decide(self, answer):
        """Nothing is ever up to this side."""
        raise AssertionError(answer)

    @rule(reason=st.sampled_from(["the other side closed the connection", f"{PEER} was refused"]))
    def the_connection_ends(self, reason):
        said = self.side.explain(reason)
        no_secret(said)
        assert reason in said
        assert ("cookie" in said) == (self.state == "ack" and PEER not in reason)


class Tampered(RuleBasedStateMachine):
    """Both sides, and somebody on the wire who damages what they say, repeats it, and sends it back to them."""

    @initialize(
        cookies=st.tuples(st.sampled_from(COOKIES), st.sampled_from(COOKIES)) | st.just((COOKIES[0], COOKIES[0])),
        flags=st.sampled_from([OURS, MANDATORY_BEFORE_25]),
        name=st.sampled_from([PEER, PEER, PEER, OTHER]),
    )
    def open(self, cookies, flags, name):
        self.cookies = cookies
        self.right = cookies[0] == cookies[1] and name == PEER
        self.sides = (
            Initiator(US, OUR_CREATION, flags, cookies[0], OUR_CHALLENGE, PEER),
            Acceptor(name, PEER_CREATION, OURS, cookies[1], PEER_CHALLENGE),
        )
        self.up = (
            Established(PEER, flags, PEER_CREATION, b""),
            Established(US, flags, OUR_CREATION, b""),
        )
        self.wires = [b"", b""]  # Bytes in transit to each side.
        self.told = [b"", b""]  # All that each side was ever told.
        self.said = [b"", b""]  # All that each side has ever said.
        self.events = [[], []]
        self.over = [False, False]
        self.honest = True
        self.collect(0)

    def collect(self, which):
        output = self.sides[which].take_output()
        no_secret(output)
        assert not (output and self.over[which])
        self.said[which] += output
        self.wires[1 - which] += output

    @rule(which=st.sampled_from([0, 1]), count=st.one_of(st.just(EVERYTHING), st.integers(0, 40)))
    def arrives(self, which, count):
        chunk, self.wires[which] = self.wires[which][:count], self.wires[which][count:]
        self.told[which] += chunk
        try:
            event = self.sides[which].receive(chunk)
        except HandshakeError as error:
            no_secret(*all_of(error))
            assert not (self.honest and self.right) or self.over[which]
            self.over[which] = True
        else:
            if event is not None:
                self.happens(which, event)
        self.collect(which)

    def happens(self, which, event):
        assert not self.over[which]
        self.events[which].append(event)
        if isinstance(event, Established):
            assert self.cookies[0] == self.cookies[1]
            assert self.told[which].endswith(
                md5(self.cookies[which], (OUR_CHALLENGE, PEER_CHALLENGE)[which]) + event.rest
            )
            assert event == self.up[which] or not self.honest

    @precondition(lambda self: self.is_asked)
    @rule(answer=st.sampled_from(["ok", "ok", "ok_simultaneous", "alive", "nok", "not_allowed"]))
    def decides(self, answer):
        self.sides[1].answer(answer)
        self.collect(1)
        if answer in ("nok", "not_allowed"):
            self.right, self.over[1] = False, True

    @property
    def is_asked(self):
        return "DECISION" in repr(self.sides[1])

    @rule(which=st.sampled_from([0, 1]), at=st.integers(0, 80), bit=st.integers(0, 7))
    def a_bit_is_turned(self, which, at, bit):
        self.replace(which, at, at + 1, lambda byte: bytes((byte[0] ^ 1 << bit,)))

    @rule(which=st.sampled_from([0, 1]), at=st.integers(0, 80), count=st.integers(1, 80))
    def bytes_are_lost(self, which, at, count):
        self.replace(which, at, at + count, lambda _part: b"")

    @rule(which=st.sampled_from([0, 1]), at=st.integers(0, 80), count=st.integers(1, 80))
    def bytes_come_twice(self, which, at, count):
        self.replace(which, at, at + count, lambda part: part + part)

    def replace(self, which, start, end, change):
        wire = self.wires[which]
        part = wire[start:end]
        if part:
            self.honest = False
            self.wires[which] = wire[:start] + change(part) + wire[end:]

    @rule(
        which=st.sampled_from([0, 1]), whose=st.sampled_from([0, 1]), start=st.integers(0, 200), size=st.integers(1, 99)
    )
    def what_was_said_before_comes_again(self, which, whose, start, size):
        """Also what a side has said itself."""
        part = self.said[whose][start : start + size]
        if part:
            self.honest = False
            self.wires[which] += part

    @invariant()
    def shows_no_secret(self):
        no_secret(*map(repr, self.sides))

    def teardown(self):
        if not hasattr(self, "sides"):
            return
        for _ in range(6):
            if self.is_asked:
                self.decides("ok")
            for which in (0, 1):
                self.arrives(which, EVERYTHING)
        connected = [isinstance(events[-1], Established) if events else False for events in self.events]
        if self.honest:
            assert connected == [self.right, self.right]
        self.ends["honest" if self.honest else "tampered with", sum(connected)] += 1


class AtOnce(RuleBasedStateMachine):
    """Two nodes that call each other whenever they like, over connections that bring bytes when they like, or break.

    All of both nodes is real, down to their sockets; between any two sockets stands the machine.
    """

    NAMES = ("alpha@127.0.0.1", "omega@127.0.0.1")

    def __init__(self):
        super().__init__()
        self.loop = Loop("never started")
        self.nodes = [Node(name, 7, pytest.fail, pytest.fail) for name in self.NAMES]
        self.clusters = [Connections(self.loop, node, COOKIES[0], 1e6, None, Limits(), None) for node in self.nodes]
        self.dials = 0
        self.dialled = []  # Calls that have not come through: who is called, and who wants to know.
        self.links = []  # The machine's two sockets of each connection that has not broken: the caller's, the other's.
        self.asked = []  # Of each who wanted a connection, what came of it.
        self.all_well = True
        self.patches = ExitStack()
        self.patches.enter_context(mock.patch("beam_bpy.epmd.client.locate", self._locate))
        self.patches.enter_context(mock.patch("beam_bpy.distribution.connection_setup.connect", self._dial))

    def _locate(self, _loop, _address, name, done):
        done([each.partition("@")[0] for each in self.NAMES].index(name))

    def _dial(self, _loop, address, done):
        self.dials += 1
        self.dialled.append((address[1], done))

    def settle(self):
        for _ in range(5):
            self.loop.run_here(0.0, lambda: False)

    @rule(who=st.sampled_from([0, 1]))
    def wants_a_connection(self, who):
        outcome = []
        self.asked.append(outcome)
        self.clusters[who].with_peer(self.NAMES[1 - who], outcome.append, outcome.append)
        self.settle()

    @rule()
    def both_want_a_connection(self):
        self.wants_a_connection(0)
        self.wants_a_connection(1)

    @precondition(lambda self: self.dialled)
    @rule(data=st.data(), through=st.sampled_from([True, True, True, False]))
    def a_call_is_decided(self, data, through):
        dialled = self.dialled.pop(data.draw(st.integers(0, len(self.dialled) - 1)))
        if through:
            self.come_through(*dialled)
        else:
            self.all_well = False
            dialled[1]("connection refused")
        self.settle()

    def come_through(self, called, done):
        theirs, ours = socket_pair()
        other, others = socket_pair()
        ours.setblocking(False)
        other.setblocking(False)
        self.links.append([ours, other])
        done(theirs)
        self.clusters[called].accepted(others, ("127.0.0.1", 1))
        self.settle()

    @precondition(lambda self: self.links)
    @rule(data=st.data(), way=st.sampled_from([0, 1]), count=st.one_of(st.just(65536), st.integers(1, 40)))
    def bytes_arrive(self, data, way, count):
        self.carry(data.draw(st.sampled_from(self.links)), way, count)

    def carry(self, link, way, count):
        try:
            chunk = link[way].recv(min(count, 65536))
        except BlockingIOError:
            return False
        except ConnectionResetError:
            chunk = b""
        if chunk:
            try:
                link[1 - way].sendall(chunk)
            except (BrokenPipeError, ConnectionResetError):
                chunk = b""
        if not chunk:
            self.hang_up(link)
        self.settle()
        return True

    @precondition(lambda self: self.links)
    @rule(data=st.data())
    def a_connection_breaks(self, data):
        self.all_well = False
        self.hang_up(data.draw(st.sampled_from(self.links)))
        self.settle()

    def hang_up(self, link):
        self.links.remove(link)
        for sock in link:
            sock.close()

    @precondition(lambda self: not self.dialled and not self.links)
    @rule(who=st.sampled_from([0, 1]))
    def one_waits_for_the_others_call_and_it_breaks(self, who):
        self.wants_a_connection(who)
        if self.dialled:
            self.come_through(*self.dialled.pop())
            self.carry(self.links[0], 0, EVERYTHING)
            self.wants_a_connection(1 - who)
            self.all_well = False
            self.hang_up(self.links[0])
            self.settle()

    @precondition(lambda self: all(node.peers for node in self.nodes) and not self.dialled and len(self.links) == 1)
    @rule(who=st.sampled_from([0, 1]))
    def one_calls_anew_before_the_other_sees_the_end(self, who):
        self.one_hangs_up(who)
        self.wants_a_connection(who)
        self.come_through(*self.dialled.pop())
        for _ in range(4):
            for way in (0, 1):
                self.carry(self.links[-1], way, EVERYTHING)
        assert all(node.peers for node in self.nodes)

    @rule(who=st.sampled_from([0, 1]))
    def one_hangs_up(self, who):
        if self.clusters[who].disconnect(self.NAMES[1 - who], "it was told to"):
            self.all_well = False
        self.settle()

    @rule()
    def a_handshake_takes_too_long(self):
        if self.time_passes():
            self.all_well = False

    def time_passes(self):
        """Let all that is to happen within seconds happen now; False when there is nothing of the kind."""
        soon = time.monotonic() + 60
        due = [entry for entry in self.loop._timers if entry[0] < soon and not entry[2].cancelled]
        for entry in due:
            self.loop._timers.remove(entry)
            self.loop.call_soon(entry[2].callback)
        self.settle()
        return bool(due)

    @invariant()
    def nobody_is_told_twice(self):
        assert all(len(outcome) <= 1 for outcome in self.asked)

    @invariant()
    def there_is_one_connection_at_most(self):
        for cluster in self.clusters:
            assert len(cluster._established) <= 1

    def teardown(self):
        try:
            self._come_to_rest()
            if not all(self.asked):
                # A side that was told to wait for the other's connection, which never came, waits for a while.
                assert not self.all_well
                self.time_passes()
                self._come_to_rest()
            connected = [bool(node.peers) for node in self.nodes]
            assert connected[0] == connected[1]
            assert all(len(outcome) == 1 for outcome in self.asked)
            for cluster in self.clusters:
                assert len(cluster._established) == connected[0]
                assert (cluster._outgoing, cluster._half_open, cluster._setups) == (set(), {}, {})
            if self.all_well and self.asked:
                assert connected == [True, True]
                assert not any(isinstance(outcome[0], str) for outcome in self.asked)
                assert self.dials <= 2
            self.ends["all went well" if self.all_well else "something broke", connected[0]] += 1
        finally:
            self.patches.close()
            self.loop.abandon()
            for link in tuple(self.links):
                self.hang_up(link)

    def _come_to_rest(self):
        for _ in range(200):
            moved = False
            while self.dialled:
                self.come_through(*self.dialled.pop())
                moved = True
            for link in tuple(self.links):
                for way in (0, 1):
                    moved |= link in self.links and self.carry(link, way, 65536)
            if not moved:
                return
        raise AssertionError("the two never come to rest")


@pytest.mark.parametrize(("side", "examples"), [(Called, 90), (Calling, 70)])
def test_one_side(side, examples):
    ends = run(side, examples, 30)
    assert ends["up"]
    assert ends["over"]


def test_both_sides_on_a_wire_that_is_not_safe():
    ends = run(Tampered, 120, 20)
    assert ends.keys() >= {("honest", 2), ("honest", 0), ("tampered with", 0)}


def test_two_nodes_that_call_each_other():
    ends = run(AtOnce, 150, 30)
    assert ends.keys() >= {("all went well", True), ("something broke", True), ("something broke", False)}
