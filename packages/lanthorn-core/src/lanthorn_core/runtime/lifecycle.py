"""The life of a process: settings, logs, one event loop, an orderly end on a signal."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Final

import structlog
import uvloop

from lanthorn_core.runtime.logs import configure_logging
from lanthorn_core.runtime.settings import EXIT_CODE, Settings, SettingsError, load_settings

log = structlog.get_logger()

DRAIN_S: Final = 8.0
"""Seconds that a process has, after the signal, to finish what it has in hand."""

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_CRASHED: Final = 1


@contextlib.asynccontextmanager
async def stop_on_signals() -> AsyncIterator[asyncio.Event]:
    """Give an event that SIGTERM or SIGINT sets, for the length of the block."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


def run_service(main: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Run `main` on uvloop until it returns; the event it gets is set by SIGTERM or SIGINT.

    `main` then has `DRAIN_S` to finish, and is cancelled after that. What it raises is logged, and
    the process ends with code 1, or 2 for a `SettingsError`.
    """
    exit_code = 0
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(_run(main))
        except Exception as error:
            wrong = _settings_error_in(error)
            if wrong is None:
                log.exception("service_crashed")
            else:
                sys.stderr.write(f"{wrong}\n")
            exit_code = _CRASHED if wrong is None else EXIT_CODE
    if exit_code:
        raise SystemExit(exit_code)


def start_service(
    name: str,
    main: Callable[[Settings, asyncio.Event], Awaitable[None]],
    environ: Mapping[str, str] | None = None,
) -> None:
    """Be the process `name`: read the settings, set up the logs, run `main`.

    A wrong configuration is told on standard error, and the process ends with code 2.
    """
    settings = settings_or_exit(os.environ if environ is None else environ)
    configure_logging(
        name, level=settings.lanthorn.log_level, json=settings.lanthorn.log_format == "json"
    )
    for text in settings.warnings:
        log.warning("setting_questioned", text=text)

    async def serve(stop: asyncio.Event) -> None:
        await main(settings, stop)

    run_service(serve)


def settings_or_exit(environ: Mapping[str, str]) -> Settings:
    """Read the settings, or end the process with code 2 after saying what is wrong."""
    try:
        return load_settings(environ)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(EXIT_CODE) from None


def _settings_error_in(error: BaseException) -> SettingsError | None:
    if isinstance(error, BaseExceptionGroup):
        return next(filter(None, map(_settings_error_in, error.exceptions)), None)
    return error if isinstance(error, SettingsError) else None


async def _run(main: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    async with stop_on_signals() as stop, asyncio.TaskGroup() as group:
        deadline = group.create_task(_after(stop, DRAIN_S), name="drain-deadline")
        work = group.create_task(_awaiting(main(stop)), name="service")
        await asyncio.wait({work, deadline}, return_when=asyncio.FIRST_COMPLETED)
        deadline.cancel()
        if not work.done():
            log.warning("drain_deadline_exceeded", after_s=DRAIN_S)
            work.cancel()


async def _after(stop: asyncio.Event, delay_s: float) -> None:
    await stop.wait()
    log.info("stop_requested")
    await asyncio.sleep(delay_s)


async def _awaiting(work: Awaitable[None]) -> None:
    await work
