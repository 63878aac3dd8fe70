"""Queries of remote AEs: what was asked, and what was answered."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from lanthorn_core.commands import FindAnswer
from lanthorn_core.model import Level, RemoteAE


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteQuestion:
    """What is asked of a remote AE.

    `modality` is its symbolic name, `remote` the AE as it was asked, title and time limit of ours
    included; `keys` are the client's, ``gggg,eeee`` and value.
    """

    modality: str
    remote: RemoteAE
    level: Level
    keys: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteQuery(RemoteQuestion):
    """A question that was answered; the answers are numbered from 0."""

    query_id: str
    answer_count: int


class RemoteQueryStore(Protocol):
    """The queries that are kept, seen by every process. Raises `IndexUnavailable` throughout."""

    async def keep(self, question: RemoteQuestion, answers: AsyncIterator[FindAnswer]) -> str:
        """Keep a query with its answers as they come; returns its id.

        What `answers` raises is raised, and nothing is kept then. Of many queries, the oldest go.
        """
        ...

    async def ids(self) -> Sequence[str]:
        """Ids of all queries, the oldest first."""
        ...

    async def get(self, query_id: str) -> RemoteQuery:
        """Return a query; raises `UnknownResource`."""
        ...

    async def answers(self, query_id: str, *, since: int = 0, limit: int) -> Sequence[FindAnswer]:
        """Return answers of a query in their order; none where there is no such query."""
        ...

    async def delete(self, query_id: str) -> None:
        """Forget a query; one that is unknown is no error."""
        ...
