"""The same bytes to lanthorn_dimse and to pynetdicom's acceptor: what comes back is compared.

Where the two differ, `DIFFERENCES` says what either answers and why ours is right.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from pynetdicom import AE, evt

import lanthorn_dimse as dimse
from tests.fixtures import dimse_bytes as raw

# Threads of pynetdicom end by exceptions that some scripts provoke.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")

ARTIM_S = 2.0
SILENCE_S = 9.0
SILENCE = ("nothing, and the connection stays",)
MAXIMUM_LENGTH = 16384

CLOSE = None
"""A step of a script: the peer closes its connection."""


@dataclass(frozen=True)
class Wait:
    """A step of a script: wait for the next PDU."""


WAIT = Wait()
Step = bytes | Wait | None
Answers = tuple[tuple[object, ...], ...]

OPEN = (raw.associate_rq(), WAIT)
ALIVE = (raw.echo(99), WAIT, raw.RELEASE_RQ)
"""Shows that the association goes on."""


def fragments(content: bytes, size: int, number: int, command: int) -> list[bytes]:
    pieces = [content[start : start + size] for start in range(0, len(content), size)]
    return [
        raw.pdv(number, command | (2 if place == len(pieces) - 1 else 0), piece)
        for place, piece in enumerate(pieces)
    ]


SCRIPTS: dict[str, tuple[Step, ...]] = {
    # Good ones
    "echo": (*OPEN, *ALIVE),
    "echo and store": (*OPEN, raw.echo(), WAIT, raw.store(2), WAIT, raw.RELEASE_RQ),
    "byte by byte": (
        *[bytes([byte]) for byte in raw.associate_rq()],
        WAIT,
        *[bytes([byte]) for byte in raw.store(2)],
        WAIT,
        *ALIVE,
    ),
    "command and data set in one PDU": (
        *OPEN,
        raw.p_data(raw.pdv(3, 3, raw.store_command()), raw.pdv(3, 2, raw.DATA_SET)),
        WAIT,
        *ALIVE,
    ),
    "fragments of one byte in one PDU": (
        *OPEN,
        raw.p_data(*fragments(raw.store_command(), 1, 3, 1), *fragments(raw.DATA_SET, 1, 3, 0)),
        WAIT,
        *ALIVE,
    ),
    "fragments of seven bytes in PDUs of their own": (
        *OPEN,
        b"".join(
            raw.p_data(each)
            for each in [
                *fragments(raw.store_command(), 7, 3, 1),
                *fragments(raw.DATA_SET, 7, 3, 0),
            ]
        ),
        WAIT,
        *ALIVE,
    ),
    "an empty last fragment": (
        *OPEN,
        raw.p_data(raw.pdv(3, 3, raw.store_command())),
        raw.p_data(raw.pdv(3, 0, raw.DATA_SET)),
        raw.p_data(raw.pdv(3, 2, b"")),
        WAIT,
        *ALIVE,
    ),
    "an empty fragment of a command": (
        *OPEN,
        raw.p_data(raw.pdv(1, 1, b"")) + raw.p_data(raw.pdv(1, 3, raw.echo_command())),
        WAIT,
        *ALIVE,
    ),
    "a PDU without any fragment": (*OPEN, raw.p_data(), *ALIVE),
    "C-CANCEL of nothing": (
        *OPEN,
        raw.p_data(
            raw.pdv(
                1,
                3,
                raw.command_set(
                    raw.short(0x0100, raw.C_CANCEL_RQ),
                    raw.short(0x0120, 77),
                    raw.short(0x0800, raw.NO_DATA_SET),
                ),
            )
        ),
        *ALIVE,
    ),
    "an abstract syntax that nobody knows": (
        raw.associate_rq(raw.context(1, "1.2.3.4.5") + raw.context(3, raw.VERIFICATION)),
        WAIT,
        raw.RELEASE_RQ,
    ),
    "a transfer syntax that is not taken": (
        raw.associate_rq(raw.context(1, raw.CT_IMAGE_STORAGE, [raw.JPEG])),
        WAIT,
        raw.RELEASE_RQ,
    ),
    "an asynchronous operations window": (
        raw.associate_rq(user=raw.user_information(raw.item(0x53, struct.pack(">HH", 8, 8)))),
        WAIT,
        *ALIVE,
    ),
    "a user identity": (
        raw.associate_rq(user=raw.user_information(raw.item(0x58, b"\x01\x00\x00\x02me\x00\x00"))),
        WAIT,
        *ALIVE,
    ),
    "an implementation version name": (
        raw.associate_rq(user=raw.user_information(raw.item(0x55, b"SOMETHING_1"))),
        WAIT,
        *ALIVE,
    ),
    "two messages at once": (*OPEN, raw.echo() + raw.echo(2), WAIT, WAIT, *ALIVE),
    # The end
    "release at once": (*OPEN, raw.RELEASE_RQ),
    "release twice": (*OPEN, raw.RELEASE_RQ + raw.RELEASE_RQ),
    "message after the release": (*OPEN, raw.RELEASE_RQ + raw.echo()),
    "abort of the user": (*OPEN, raw.abort()),
    "abort of the provider": (*OPEN, raw.abort(2, 1)),
    "abort within a data set": (
        *OPEN,
        raw.p_data(raw.pdv(3, 3, raw.store_command()), raw.pdv(3, 0, raw.DATA_SET)),
        raw.abort(),
    ),
    "abort before anything": (raw.abort(),),
    "closed before anything": (CLOSE,),
    "closed within A-ASSOCIATE-RQ": (raw.associate_rq()[:100], CLOSE),
    "closed after the acceptance": (*OPEN, CLOSE),
    "closed within a PDU": (*OPEN, raw.echo()[:20], CLOSE),
    # Out of place: PS3.8 Table 9-10
    "P-DATA before the association": (raw.echo(),),
    "A-RELEASE-RQ before the association": (raw.RELEASE_RQ,),
    "A-RELEASE-RP before the association": (raw.RELEASE_RP,),
    "A-ASSOCIATE-AC before the association": (raw.associate_ac(),),
    "A-ASSOCIATE-RJ before the association": (raw.associate_rj(),),
    "a PDU of unknown type before the association": (raw.pdu(0x99, b"12345678"),),
    "HTTP": (b"GET / HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n" + bytes(64), WAIT, CLOSE),
    "A-ASSOCIATE-RQ again": (*OPEN, raw.associate_rq()),
    "A-ASSOCIATE-AC after the acceptance": (*OPEN, raw.associate_ac()),
    "A-ASSOCIATE-RJ after the acceptance": (*OPEN, raw.associate_rj()),
    "A-RELEASE-RP without request": (*OPEN, raw.RELEASE_RP),
    "a PDU of unknown type": (*OPEN, raw.pdu(0x08, b"1234")),
    "A-ASSOCIATE-RQ after a rejection": (
        raw.associate_rq(version=2),
        WAIT,
        raw.associate_rq(),
    ),
    "A-ABORT after a rejection": (raw.associate_rq(version=2), WAIT, raw.abort()),
    # A-ASSOCIATE-RQ
    "protocol version 2": (raw.associate_rq(version=2),),
    "no protocol version": (raw.associate_rq(version=0),),
    "protocol versions 1 and 2": (raw.associate_rq(version=3), WAIT, raw.RELEASE_RQ),
    "another application context": (raw.associate_rq(application_context="1.2.3"),),
    "fixed fields cut short": (raw.pdu(1, bytes(10)),),
    "an item beyond the PDU": (raw.associate_rq(more=raw.item(0x20, b"", 60000)),),
    "an item of unknown type": (raw.associate_rq(more=raw.item(0x7F, b"abc")), WAIT, *ALIVE),
    "a user item of unknown type": (
        raw.associate_rq(user=raw.user_information(raw.item(0x7E, b"abc"))),
        WAIT,
        *ALIVE,
    ),
    "a user item beyond its parent": (
        raw.associate_rq(user=raw.user_information(raw.item(0x54, b"\x00\x05", 500))),
    ),
    "an even presentation context ID": (raw.associate_rq(raw.context(2, raw.VERIFICATION)),),
    "a presentation context ID twice": (
        raw.associate_rq(raw.context(1, raw.VERIFICATION) + raw.context(1, raw.CT_IMAGE_STORAGE)),
        WAIT,
    ),
    "a presentation context without abstract syntax": (raw.associate_rq(raw.context(1, None)),),
    "an AE title of spaces": (raw.associate_rq(calling=b" "), WAIT, raw.RELEASE_RQ),
    "an AE title that is no ASCII": (
        raw.associate_rq(calling=b"M\xdcNCHEN"),
        WAIT,
        raw.RELEASE_RQ,
    ),
    # P-DATA-TF
    "a presentation context that was not proposed": (
        *OPEN,
        raw.p_data(raw.pdv(7, 3, raw.echo_command())),
    ),
    "a presentation context that was refused": (
        raw.associate_rq(raw.context(1, "1.2.3.4.5") + raw.context(3, raw.VERIFICATION)),
        WAIT,
        raw.p_data(raw.pdv(1, 3, raw.echo_command())),
    ),
    "a fragment beyond its PDU": (*OPEN, raw.p_data(raw.pdv(1, 3, raw.echo_command(), 5000))),
    "a fragment of no bytes": (*OPEN, raw.p_data(struct.pack(">L", 0) + bytes(4))),
    "a fragment of one byte": (*OPEN, raw.p_data(struct.pack(">LB", 1, 1) + bytes(4))),
    "a PDU that ends within a fragment's header": (*OPEN, raw.p_data(b"\x00\x00\x00")),
    "a PDU longer than the maximum length": (
        *OPEN,
        raw.p_data(raw.pdv(3, 3, raw.store_command())),
        raw.p_data(raw.pdv(3, 2, bytes(MAXIMUM_LENGTH + 100))),
    ),
    "A-RELEASE-RQ of another length": (*OPEN, raw.pdu(5, bytes(6))),
    # Messages
    "a data set without a command": (*OPEN, raw.p_data(raw.pdv(3, 2, raw.DATA_SET))),
    "a command within a data set": (
        *OPEN,
        raw.p_data(raw.pdv(3, 3, raw.store_command()), raw.pdv(3, 0, raw.DATA_SET)),
        raw.p_data(raw.pdv(3, 3, raw.echo_command())),
    ),
    "a message in two presentation contexts": (
        *OPEN,
        raw.p_data(raw.pdv(3, 3, raw.store_command())),
        raw.p_data(raw.pdv(1, 2, raw.DATA_SET)),
    ),
    "no command set": (*OPEN, raw.p_data(raw.pdv(1, 3, b"nothing of the kind"))),
    "a command set that is cut short": (
        *OPEN,
        raw.p_data(raw.pdv(1, 3, raw.echo_command()[:-3])),
    ),
    "an empty command set": (*OPEN, raw.p_data(raw.pdv(1, 3, b""))),
    "an unknown command field": (
        *OPEN,
        raw.p_data(
            raw.pdv(
                1,
                3,
                raw.command_set(
                    raw.short(0x0100, 0x0042),
                    raw.short(0x0110, 1),
                    raw.short(0x0800, raw.NO_DATA_SET),
                ),
            )
        ),
    ),
    "a request without message ID": (
        *OPEN,
        raw.p_data(
            raw.pdv(
                1,
                3,
                raw.command_set(
                    raw.uid(2, raw.VERIFICATION),
                    raw.short(0x0100, raw.C_ECHO_RQ),
                    raw.short(0x0800, raw.NO_DATA_SET),
                ),
            )
        ),
    ),
    "an element of another group in a command set": (
        *OPEN,
        raw.p_data(raw.pdv(1, 3, raw.echo_command() + raw.element(0x0010, b"ABCD", group=0x0010))),
    ),
    "a response to nothing": (
        *OPEN,
        raw.p_data(
            raw.pdv(
                1,
                3,
                raw.command_set(
                    raw.short(0x0100, 0x8030),
                    raw.short(0x0120, 1),
                    raw.short(0x0800, raw.NO_DATA_SET),
                    raw.short(0x0900, 0),
                ),
            )
        ),
    ),
}

ACCEPTED = ("accepted", (raw.ECHO_CONTEXT, 0), (raw.STORE_CONTEXT, 0))
RELEASED = ("released",)
ECHOED = ("response", 0x8030, 0x0000)
STORED = ("response", 0x8001, 0x0000)


def aborted(source: int, reason: int = 0) -> tuple[object, ...]:
    return ("aborted", source, reason)


@dataclass(frozen=True)
class Difference:
    """What either answers; pynetdicom's answer may depend on its threads."""

    ours: Answers
    theirs: tuple[Answers, ...]
    why: str


UNEXPECTED, INVALID = aborted(2, 2), aborted(2, 6)

REASON = "PS3.8 Table 9-26 has a reason for it, where pynetdicom gives none"
SPEED = "AR-4 is done before the next PDU is looked at: Sta13 ignores it (AA-6), Sta8 aborts (AA-8)"
CRASH = "a thread of pynetdicom ends by an exception, and with it the connection"
MESSAGE = "a message that breaks PS3.7 is the peer's fault: pynetdicom goes on, or aborts as user"

DIFFERENCES: dict[str, Difference] = {
    "release twice": Difference(
        (ACCEPTED, RELEASED), ((ACCEPTED, aborted(2)), (ACCEPTED, RELEASED)), SPEED
    ),
    "message after the release": Difference(
        (ACCEPTED, RELEASED), ((ACCEPTED, aborted(2)), (ACCEPTED, RELEASED)), SPEED
    ),
    "a PDU of unknown type before the association": Difference(
        (aborted(0),),
        ((aborted(0),),),
        "the PDU is skipped by its length; pynetdicom takes its body for the next PDU",
    ),
    "A-ASSOCIATE-RQ again": Difference((ACCEPTED, UNEXPECTED), ((ACCEPTED, aborted(2)),), REASON),
    "A-ASSOCIATE-AC after the acceptance": Difference(
        (ACCEPTED, UNEXPECTED), ((ACCEPTED, aborted(2)),), REASON
    ),
    "A-ASSOCIATE-RJ after the acceptance": Difference(
        (ACCEPTED, UNEXPECTED), ((ACCEPTED, aborted(2)),), REASON
    ),
    "A-RELEASE-RP without request": Difference(
        (ACCEPTED, UNEXPECTED), ((ACCEPTED, aborted(2)),), REASON
    ),
    "a PDU of unknown type": Difference(
        (ACCEPTED, aborted(2, 1)),
        ((ACCEPTED, aborted(2)),),
        REASON,
    ),
    "A-ASSOCIATE-RQ after a rejection": Difference(
        (("rejected", 1, 2, 2), UNEXPECTED),
        ((("rejected", 1, 2, 2),), (("rejected", 1, 2, 2), UNEXPECTED)),
        "AA-7; pynetdicom may have closed the connection by then",
    ),
    "protocol versions 1 and 2": Difference(
        (ACCEPTED, RELEASED),
        ((("rejected", 1, 2, 2),),),
        "PS3.8 Table 9-11: only bit 0 of the protocol version is tested",
    ),
    "another application context": Difference(
        (("rejected", 1, 1, 2),),
        ((ACCEPTED, aborted(0)), (ACCEPTED, SILENCE)),
        "PS3.7 Section A.2.1 knows one application context; pynetdicom does not look",
    ),
    "an item of unknown type": Difference(
        (ACCEPTED, ECHOED, RELEASED),
        ((aborted(0),),),
        "PS3.8 Section 9.3.1: items that are not recognized are ignored",
    ),
    "a user item of unknown type": Difference(
        (ACCEPTED, ECHOED, RELEASED),
        ((aborted(0),),),
        "PS3.8 Section 9.3.1: items that are not recognized are ignored",
    ),
    "an even presentation context ID": Difference((aborted(0),), ((), (SILENCE,)), CRASH),
    "a presentation context ID twice": Difference(
        (aborted(0),),
        (
            (("accepted", (1, 0), (1, 4)), aborted(0)),
            (("accepted", (1, 0), (1, 4)), SILENCE),
            (("accepted", (1, 0), (1, 4)),),
        ),
        "an ID that means two things: messages could not be told apart",
    ),
    "a presentation context without abstract syntax": Difference(
        (aborted(0),), ((SILENCE,), ()), CRASH
    ),
    "an AE title of spaces": Difference(
        (ACCEPTED, RELEASED),
        ((aborted(0),),),
        "who is recognized is the user's to decide, by A-ASSOCIATE-RJ (PS3.8 Table 9-21)",
    ),
    "an AE title that is no ASCII": Difference(
        (ACCEPTED, RELEASED),
        ((aborted(0),),),
        "who is recognized is the user's to decide, by A-ASSOCIATE-RJ (PS3.8 Table 9-21)",
    ),
    "a presentation context that was not proposed": Difference(
        (ACCEPTED, INVALID), ((ACCEPTED, aborted(0)), (ACCEPTED, SILENCE)), REASON
    ),
    "a presentation context that was refused": Difference(
        (("accepted", (1, 3), (3, 0)), INVALID),
        (
            (("accepted", (1, 3), (3, 0)), aborted(0)),
            (("accepted", (1, 3), (3, 0)), SILENCE),
        ),
        REASON,
    ),
    "a fragment beyond its PDU": Difference((ACCEPTED, INVALID), ((ACCEPTED, aborted(2)),), REASON),
    "a fragment of no bytes": Difference((ACCEPTED, INVALID), ((ACCEPTED, aborted(2)),), REASON),
    "a fragment of one byte": Difference((ACCEPTED, INVALID), ((ACCEPTED, aborted(2)),), REASON),
    "a PDU that ends within a fragment's header": Difference(
        (ACCEPTED, INVALID), ((ACCEPTED, aborted(2)),), REASON
    ),
    "a PDU longer than the maximum length": Difference(
        (ACCEPTED, INVALID),
        ((ACCEPTED, STORED, aborted(0)), (ACCEPTED, STORED, SILENCE)),
        "PS3.8 Section D.1: what was offered binds the peer; pynetdicom takes any length",
    ),
    "A-RELEASE-RQ of another length": Difference(
        (ACCEPTED, INVALID),
        ((ACCEPTED, RELEASED),),
        "PS3.8 Table 9-24 fixes the length; pynetdicom does not look",
    ),
    "a command within a data set": Difference(
        (ACCEPTED, aborted(2)),
        ((ACCEPTED, ECHOED, aborted(0)), (ACCEPTED, ECHOED, SILENCE)),
        MESSAGE,
    ),
    "a message in two presentation contexts": Difference(
        (ACCEPTED, INVALID),
        ((ACCEPTED, STORED, aborted(0)), (ACCEPTED, STORED, SILENCE)),
        MESSAGE,
    ),
    "no command set": Difference((ACCEPTED, aborted(2)), ((ACCEPTED,), (ACCEPTED, SILENCE)), CRASH),
    "a command set that is cut short": Difference(
        (ACCEPTED, aborted(2)), ((ACCEPTED,), (ACCEPTED, SILENCE)), CRASH
    ),
    "an empty command set": Difference(
        (ACCEPTED, aborted(2)), ((ACCEPTED,), (ACCEPTED, SILENCE)), CRASH
    ),
    "an unknown command field": Difference(
        (ACCEPTED, aborted(2)), ((ACCEPTED,), (ACCEPTED, SILENCE)), CRASH
    ),
    "a request without message ID": Difference(
        (ACCEPTED, aborted(2)), ((ACCEPTED, aborted(0)), (ACCEPTED, SILENCE)), MESSAGE
    ),
    "an element of another group in a command set": Difference(
        (ACCEPTED, aborted(2)),
        ((ACCEPTED, ECHOED, aborted(0)), (ACCEPTED, ECHOED, SILENCE)),
        MESSAGE,
    ),
    "a response to nothing": Difference(
        (ACCEPTED, aborted(2)), ((ACCEPTED, aborted(0)), (ACCEPTED, SILENCE)), MESSAGE
    ),
}


async def run(port: int, script: tuple[Step, ...]) -> Answers:
    """Follow a script, then read to the end of the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answers: list[tuple[object, ...]] = []
    try:
        with contextlib.suppress(ConnectionError):
            for step in script:
                if isinstance(step, Wait):
                    answers += await read_pdu(reader)
                elif step is CLOSE:
                    writer.close()
                    await writer.wait_closed()
                    return tuple(answers)
                else:
                    writer.write(step)
                    await writer.drain()
                    await asyncio.sleep(0)
        while answers[-1:] != [SILENCE] and (answer := await read_pdu(reader)):
            answers += answer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    return tuple(answers)


async def read_pdu(reader: asyncio.StreamReader) -> list[tuple[object, ...]]:
    """Return the next PDU; nothing at the end of the connection."""
    try:
        async with asyncio.timeout(SILENCE_S):
            kind, length = struct.unpack(">BxL", await reader.readexactly(6))
            return [raw.describe(kind, await reader.readexactly(length))]
    except (asyncio.IncompleteReadError, ConnectionError):
        return []
    except TimeoutError:
        return [SILENCE]


async def run_all(port: int) -> dict[str, Answers]:
    names = list(SCRIPTS)
    results = []
    for start in range(0, len(names), 32):
        batch = names[start : start + 32]
        results += await asyncio.gather(*(run(port, SCRIPTS[name]) for name in batch))
    return dict(zip(names, results, strict=True))


class Discarding:
    def write(self, fragment: memoryview) -> None: ...

    def discard(self) -> None: ...


class Succeeding:
    """Answers everything with 0000."""

    def begin(self, assoc: dimse.Association, request: dimse.Request) -> dimse.DataSetSink | None:
        return Discarding()

    async def handle(self, assoc: dimse.Association, request: dimse.Request) -> None:
        await assoc.send(request.context.context_id, request.command.response(0x0000))

    def ended(self, assoc: dimse.Association, how: dimse.Ended) -> None: ...


SUPPORTED = {raw.VERIFICATION: raw.IMPLICIT, raw.CT_IMAGE_STORAGE: raw.EXPLICIT}


def negotiate(
    request: dimse.AssociateRequest, peer: dimse.PeerAddress, established: int
) -> dimse.Decision:
    answers = []
    for context in request.contexts:
        wanted = SUPPORTED.get(context.abstract_syntax)
        if wanted is None:
            result = dimse.ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED
        elif wanted not in context.transfer_syntaxes:
            result = dimse.ContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED
        else:
            result = dimse.ContextResult.ACCEPTANCE
        answers.append(
            dimse.AnsweredContext(
                context.context_id, context.abstract_syntax, result, wanted or raw.IMPLICIT
            )
        )
    return dimse.AssociateAcceptance(tuple(answers), maximum_length=MAXIMUM_LENGTH)


async def ask_lanthorn() -> dict[str, Answers]:
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    options = dimse.ServerOptions(timers=dimse.Timers(artim_s=ARTIM_S))
    async with dimse.serve(listening, negotiate, lambda _: Succeeding(), options):
        return await run_all(port)


@contextlib.contextmanager
def pynetdicom_acceptor() -> Iterator[int]:
    entity = AE("CALLED")
    entity.maximum_pdu_size = MAXIMUM_LENGTH
    entity.acse_timeout = ARTIM_S
    entity.network_timeout = 3
    entity.maximum_associations = 100
    for abstract_syntax, transfer_syntax in SUPPORTED.items():
        entity.add_supported_context(abstract_syntax, transfer_syntax)
    handlers = [(evt.EVT_C_ECHO, lambda _: 0), (evt.EVT_C_STORE, lambda _: 0)]
    server: Any = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    try:
        yield server.socket.getsockname()[1]
    finally:
        server.shutdown()


async def ask_pynetdicom(port: int) -> dict[str, Answers]:
    """Run every script; what went unanswered is asked again, alone.

    On a busy machine pynetdicom's ARTIM may end before its thread reads what has long arrived, and
    it closes the connection without a word, or leaves it as it is.
    """
    answers = await run_all(port)
    for name, script in SCRIPTS.items():
        expected = DIFFERENCES[name].theirs if name in DIFFERENCES else ()
        for _ in range(3):
            if answers[name] in ((), (SILENCE,)) and answers[name] not in expected:
                answers[name] = await run(port, script)
    return answers


@pytest.fixture(scope="module")
def answers() -> tuple[dict[str, Answers], dict[str, Answers]]:
    """Run every script against both, many at a time."""
    ours = asyncio.run(ask_lanthorn())
    with pynetdicom_acceptor() as port:
        theirs = asyncio.run(ask_pynetdicom(port))
    return ours, theirs


def to_the_abort(answers: Answers) -> Answers:
    """Leave out what follows an A-ABORT: when pynetdicom closes is a matter of its threads."""
    for place, answer in enumerate(answers):
        if answer[0] == "aborted":
            return answers[: place + 1]
    return answers


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_answer_is_pynetdicoms_or_better_explained(
    answers: tuple[dict[str, Answers], dict[str, Answers]], name: str
) -> None:
    ours, theirs = answers[0][name], answers[1][name]
    difference = DIFFERENCES.get(name)
    if difference is None:
        assert ours == theirs
    else:
        assert ours == difference.ours, difference.why
        assert to_the_abort(theirs) in difference.theirs


def test_every_difference_belongs_to_a_script() -> None:
    assert DIFFERENCES.keys() <= SCRIPTS.keys()
