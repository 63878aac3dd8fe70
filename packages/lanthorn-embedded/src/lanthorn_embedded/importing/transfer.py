"""The import itself: files first, then what belongs to them, lower levels before upper ones."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from lanthorn_core.model import LEVELS, Level
from lanthorn_embedded.importing.journal import Counts, Failure, Journal, State
from lanthorn_embedded.importing.progress import Progress
from lanthorn_embedded.importing.server_client import RequestRefused
from lanthorn_embedded.importing.source import (
    Source,
    SourceAttachment,
    SourceResource,
    UnreadableFile,
)
from lanthorn_embedded.importing.target import Lanthorn, Telling

LOWER_LEVELS_FIRST: Final = tuple(reversed(LEVELS))
TOLD_AT_ONCE: Final = 200

_CHANGE_TIMES: Final = ("ReceptionDate", "LastUpdate")


@dataclass(frozen=True, slots=True)
class _Work:
    """A resource that is not complete; `is_stored` tells whether the target has it."""

    resource: SourceResource
    state: State | None
    is_stored: bool


@dataclass(frozen=True, slots=True)
class _Note:
    """What is to be told of a resource, and what to write down once it was."""

    resource: SourceResource
    telling: Telling
    counts: Counts
    state: State


class Transfer:
    """One run of an import.

    Parameters
    ----------
    source : Source
        Where from.
    target : Lanthorn
        Where to. What it has of its own is never replaced.
    journal : Journal
        What earlier runs did.
    progress : Progress
        Is told what goes on.
    in_flight : int
        Files on their way at a time.
    """

    def __init__(
        self,
        source: Source,
        target: Lanthorn,
        journal: Journal,
        progress: Progress,
        in_flight: int,
    ) -> None:
        self._source = source
        self._target = target
        self._journal = journal
        self._progress = progress
        self._in_flight = in_flight

    async def __call__(self) -> None:
        """Take over everything that is not there yet.

        Raises
        ------
        EmbeddedError
            In a group: a server is gone or full. What was done is in the journal.
        """
        for level in LOWER_LEVELS_FIRST:
            self._progress.begin(level)
            await self._take_level(level)
        await self._take_servers()

    async def _take_level(self, level: Level) -> None:
        waiting: asyncio.Queue[_Work | None] = asyncio.Queue(self._in_flight)
        notes: asyncio.Queue[_Note | None] = asyncio.Queue(TOLD_AT_ONCE)
        async with asyncio.TaskGroup() as telling:
            telling.create_task(self._tell(notes), name="tell")
            async with asyncio.TaskGroup() as working:
                working.create_task(self._list(level, waiting), name="list")
                for number in range(self._in_flight):
                    working.create_task(self._work(waiting, notes), name=f"work-{number}")
            await notes.put(None)

    async def _list(self, level: Level, waiting: asyncio.Queue[_Work | None]) -> None:
        async for page in self._source.pages(level):
            pending = self._journal.pending(level, page)
            missing = [resource for resource, _ in pending]
            self._progress.skip(len(page) - len(missing), _size(page) - _size(missing))
            stored = await self._target.stored(level, [r.public_id for r in missing])
            for resource, state in pending:
                await waiting.put(_Work(resource, state, resource.public_id in stored))
        for _ in range(self._in_flight):
            await waiting.put(None)

    async def _work(
        self, waiting: asyncio.Queue[_Work | None], notes: asyncio.Queue[_Note | None]
    ) -> None:
        while (work := await waiting.get()) is not None:
            resource = work.resource
            self._journal.begin_anew(resource.subject)
            try:
                await notes.put(await self._bring(work))
            except (UnreadableFile, RequestRefused) as exc:
                self._fail(resource, "files", str(exc))
            self._progress.advance(1, _size([resource]))

    async def _bring(self, work: _Work) -> _Note:
        """Bring the files of a resource; what remains is to be told."""
        resource = work.resource
        counts = Counts(labels=len(resource.labels), protected=resource.is_protected)
        is_ours = True
        if resource.level is Level.INSTANCE:
            is_ours = await self._bring_file(work)
            counts.files, counts.files_there = int(is_ours), int(not is_ours)
        for attachment in resource.user_attachments:
            counts.attachments += await self._bring_attachment(resource, attachment)
        metadata = self._user_metadata(resource)
        counts.metadata = len(metadata)
        is_all = counts.metadata == len(resource.metadata) and counts.attachments == len(
            resource.user_attachments
        )
        incomplete = State.STORED if is_ours else State.FOUND
        telling = _telling(resource, metadata, with_history=is_ours)
        return _Note(resource, telling, counts, State.DONE if is_all else incomplete)

    async def _bring_file(self, work: _Work) -> bool:
        """Store an instance; returns whether it is there because of us.

        Raises
        ------
        UnreadableFile, RequestRefused
            It cannot be had, or cannot be stored.
        """
        resource = work.resource
        file = resource.file
        if work.is_stored and work.state is State.STORED:
            return True
        if file is None:
            raise UnreadableFile("the index knows no file of it")
        if work.is_stored:
            return await self._is_sent_file(work, file)
        with await self._source.read(resource, file) as content:
            self._journal.set_state(Level.INSTANCE, resource.public_id, State.SENDING)
            public_id = await self._target.store(content)
        if public_id != resource.public_id:
            raise RequestRefused(0, f"it was stored as {public_id}: its identifiers differ")
        self._journal.set_state(Level.INSTANCE, resource.public_id, State.STORED)
        return True

    async def _is_sent_file(self, work: _Work, file: SourceAttachment) -> bool:
        """Tell whether what is stored was sent by an earlier run that was killed meanwhile."""
        if work.state is not State.SENDING:
            return False
        with await self._source.read(work.resource, file) as content:
            return content.md5 == await self._target.md5_of(work.resource.public_id)

    async def _bring_attachment(
        self, resource: SourceResource, attachment: SourceAttachment
    ) -> bool:
        """Attach a file that users attached there; returns whether it is here now."""
        level, public_id, number = resource.level, resource.public_id, attachment.number
        try:
            if not await self._target.has_attachment(level, public_id, number):
                with await self._source.read(resource, attachment) as content:
                    await self._target.attach(level, public_id, number, content)
        except (UnreadableFile, RequestRefused) as exc:
            self._fail(resource, "attachments", f"{number}: {exc}")
            return False
        return True

    def _user_metadata(self, resource: SourceResource) -> dict[str, str]:
        """Return what the target can keep: texts under a number that it knows."""
        kept = {}
        for name, value in resource.metadata.items():
            number = self._target.metadata_number(name)
            try:
                text = value.decode()
            except UnicodeDecodeError:
                text = "\0"
            if number is None:
                reason = f"{name}: its number is not known; name it in UserMetadata of the target"
                self._fail(resource, "metadata", reason)
            elif "\0" in text:
                self._fail(resource, "metadata", f"{name}: its value is not a text")
            else:
                kept[str(number)] = text
        return kept

    async def _tell(self, notes: asyncio.Queue[_Note | None]) -> None:
        """Tell the target of resources, as many at a time as have come meanwhile."""
        ended = False
        while not ended:
            batch: list[_Note] = []
            note = await notes.get()
            while note is not None:
                batch.append(note)
                if len(batch) == TOLD_AT_ONCE or notes.empty():
                    break
                note = notes.get_nowait()
            ended = note is None
            if batch:
                await self._tell_batch(batch)

    async def _tell_batch(self, batch: Sequence[_Note]) -> None:
        unknown = await self._target.tell([note.telling for note in batch])
        finished = []
        for note in batch:
            resource = note.resource
            if (resource.level, resource.public_id) not in unknown:
                finished.append((resource, note.state, note.counts))
            elif resource.level is Level.INSTANCE:  # else nothing in it could be stored
                self._fail(resource, "files", "the target does not have it; run the import again")
        self._journal.finish(finished)

    async def _take_servers(self) -> None:
        """Make the remote AEs known; peers can only be named."""
        known = await self._target.modality_names()
        for name, description in (await self._source.modalities()).items():
            if name in known:
                continue
            self._journal.begin_anew(f"modality {name}")
            try:
                await self._target.add_modality(name, description)
            except RequestRefused as exc:
                self._journal.fail(Failure(f"modality {name}", "modalities", str(exc)))
            else:
                self._journal.add_modality(name)
        known_peers = await self._target.peer_names()
        for name in await self._source.peer_names():
            self._journal.begin_anew(f"peer {name}")
            if name in known_peers:
                continue
            reason = "name it in OrthancPeers of the target's configuration"
            self._journal.fail(Failure(f"peer {name}", "peers", reason))

    def _fail(self, resource: SourceResource, what: str, reason: str) -> None:
        self._progress.fail()
        self._journal.fail(Failure(resource.subject, what, reason))


def _telling(
    resource: SourceResource, metadata: Mapping[str, str], *, with_history: bool
) -> Telling:
    history = dict(resource.history) if with_history else {}
    times = [history.pop(name) for name in _CHANGE_TIMES if name in history]
    return Telling(
        resource.level,
        resource.public_id,
        history=history,
        changed_at=times[0] if times else "",
        metadata=metadata,
        labels=resource.labels,
        is_protected=resource.is_protected,
    )


def _size(resources: Sequence[SourceResource]) -> int:
    return sum(resource.file.size_bytes for resource in resources if resource.file)
