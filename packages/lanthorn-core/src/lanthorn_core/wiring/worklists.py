"""The worklist items."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from lanthorn_core.runtime.settings import Settings
from lanthorn_core.usecases.worklists import WorklistRules, Worklists


@asynccontextmanager
async def open_worklists(settings: Settings, *, lazy: bool = False) -> AsyncIterator[Worklists]:
    """Open the worklist items: a folder where one is configured, else the database.

    A `lazy` database is not asked before the first question.
    """
    section = settings.worklists
    rules = WorklistRules(
        default_encoding=settings.default_encoding,
        case_sensitive_pn=settings.case_sensitive_pn,
        filter_issuer_aet=section.filter_issuer_aet,
    )
    if section.directory:
        from lanthorn_core.adapters.worklist_files import WorklistFolder

        folder = settings.runtime.data_folder / section.directory
        async with WorklistFolder(folder) as files:
            yield Worklists(files, rules)
        return
    from lanthorn_core.adapters.index_postgres.pool import open_pool
    from lanthorn_core.adapters.worklists_postgres.worklists import PostgresWorklists

    url = settings.runtime.database_url
    async with open_pool(
        url, application="lanthorn-worklists", read_only=False, size=2, lazy=lazy
    ) as pool:
        yield Worklists(PostgresWorklists(pool), rules)
