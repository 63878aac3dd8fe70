"""The life of a process: settings, logs, one event loop, an orderly end on a signal."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Any, Final

import structlog
import uvloop

from lanthorn_core.runtime.logs import configure_logging
from lanthorn_core.runtime.metrics import tell_build
from lanthorn_core.runtime.settings import EXIT_CODE, Settings, SettingsError, load_settings
from lanthorn_core.runtime.tracing import exporting_traces

log = structlog.get_logger()

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_CRASHED: Final = 1
_KILLED: Final = 128
"""A process that a signal ended at once has this exit code plus the signal's number."""


class Stop(asyncio.Event):
    """Set when a process shall take nothing new, and finish what it has in hand.

    Attributes
    ----------
    announced : asyncio.Event
        Set some time before: readiness says no from then on, so that nobody is sent here any more,
        and who comes all the same is served.
    """

    def __init__(self) -> None:
        super().__init__()
        self.announced = asyncio.Event()
        self._idle: set[asyncio.Task[Any]] = set()

    def announce(self) -> None:
        """Say that the process will stop; who has nothing in hand is cancelled at once."""
        self.announced.set()
        for task in self._idle:
            task.cancel()

    def set(self) -> None:
        """Stop now, announced or not."""
        self.announce()
        super().set()

    @contextlib.contextmanager
    def cancelling(self) -> Iterator[None]:
        """Have the announcement cancel the running task: in the block it has nothing in hand."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # the loop runs this
        if self.announced.is_set():
            task.cancel()
        self._idle.add(task)
        try:
            yield
        finally:
            self._idle.remove(task)


@contextlib.asynccontextmanager
async def stop_on_signals(delay_s: float = 0.0) -> AsyncIterator[Stop]:
    """Give what SIGTERM or SIGINT sets, for the length of the block.

    The first signal announces the stop, which comes after `delay_s`; the second one ends the
    process at once.
    """
    loop = asyncio.get_running_loop()
    stop = Stop()

    def heed(number: signal.Signals) -> None:
        if stop.announced.is_set():
            log.warning("stop_forced")
            sys.stdout.flush()
            # Not by the signal: the first process of a container would survive it.
            os._exit(_KILLED + number)
        log.info("stop_requested")
        stop.announce()
        loop.call_later(delay_s, stop.set)

    for number in _SIGNALS:
        loop.add_signal_handler(number, heed, number)
    try:
        yield stop
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


def run_service(
    main: Callable[[Stop], Awaitable[None]], *, delay_s: float, timeout_s: float
) -> None:
    """Run `main` on uvloop until it returns; SIGTERM and SIGINT tell it to.

    What it raises is logged, and the process ends with code 1, or 2 for a `SettingsError`.

    Parameters
    ----------
    main : callable
        Gets what the signals set.
    delay_s : float
        From the signal, which ends readiness, until `main` is told to stop.
    timeout_s : float
        What `main` then has to finish; after that it is cancelled.
    """
    exit_code = 0
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(_run(main, delay_s, timeout_s))
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
    main: Callable[[Settings, Stop], Awaitable[None]],
    environ: Mapping[str, str] | None = None,
) -> None:
    """Be the process `name`: read the settings, set up the logs, run `main`.

    A wrong configuration is told on standard error, and the process ends with code 2.
    """
    environ = os.environ if environ is None else environ
    settings = settings_or_exit(environ)
    configure_logging(
        name, level=settings.lanthorn.log_level, json=settings.lanthorn.log_format == "json"
    )
    for text in settings.warnings:
        log.warning("setting_questioned", text=text)
    tell_build(name)

    async def serve(stop: Stop) -> None:
        with exporting_traces(name, environ):
            await main(settings, stop)

    runtime = settings.runtime
    run_service(serve, delay_s=runtime.drain_delay_s, timeout_s=runtime.drain_timeout_s)


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


async def _run(main: Callable[[Stop], Awaitable[None]], delay_s: float, timeout_s: float) -> None:
    async with stop_on_signals(delay_s) as stop, asyncio.TaskGroup() as group:
        deadline = group.create_task(_after(stop, timeout_s), name="drain-deadline")
        work = group.create_task(_awaiting(main(stop)), name="service")
        await asyncio.wait({work, deadline}, return_when=asyncio.FIRST_COMPLETED)
        deadline.cancel()
        if not work.done():
            log.warning("drain_deadline_exceeded", after_s=timeout_s)
            work.cancel()


async def _after(stop: asyncio.Event, timeout_s: float) -> None:
    await stop.wait()
    await asyncio.sleep(timeout_s)


async def _awaiting(work: Awaitable[None]) -> None:
    await work
