"""Processes of the cluster: started, killed, started again; none outlives the tests."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path

from lanthorn_embedded.child import ChildSpec, spawn
from lanthorn_embedded.containment import Account
from lanthorn_embedded.errors import NotReady

READY_WITHIN_S = 90.0


class Process:
    """One process, with its log.

    Parameters
    ----------
    is_ready : callable
        Returns when it serves; raises `NotReady` or `OSError` until then.
    """

    def __init__(
        self,
        name: str,
        command: tuple[str, ...],
        environment: Mapping[str, str],
        *,
        is_ready: Callable[[], Awaitable[None]],
        folder: Path,
        account: Account | None = None,
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._spec = ChildSpec(
            name=name,
            command=command,
            environment=environment,
            is_ready=is_ready,
            account=account,
        )
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its process id; it runs."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it without waiting."""
        with self.log.open("ab") as output:
            self._process = spawn(self._spec, output.fileno())

    def wait_until_ready(self) -> None:
        """Return when it serves."""
        give_up_at = time.monotonic() + READY_WITHIN_S
        while True:
            try:
                return asyncio.run(self._ask())
            except (NotReady, OSError) as error:
                ended = self._process is None or self._process.poll() is not None
                if ended or time.monotonic() > give_up_at:
                    raise AssertionError(f"{self.name}: {error}\n{self.last_words()}") from error
                time.sleep(0.05)

    async def _ask(self) -> None:
        async with asyncio.timeout(10):
            await self._spec.is_ready()

    def last_words(self) -> str:
        """Give the end of its log."""
        return self.log.read_text(errors="replace")[-4000:]

    def kill(self) -> None:
        """Kill it, and what it started, as `kill -9` does."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def stop(self) -> None:
        """Have it end in order, as an orchestrator does, and see that it has."""
        assert self._process is not None
        self._process.terminate()
        assert self._process.wait(READY_WITHIN_S) == 0, self.last_words()

    @contextlib.contextmanager
    def killed(self) -> Iterator[None]:
        """Have it dead for the length of the block; then start it again, without waiting."""
        self.kill()
        try:
            yield
        finally:
            self.start()

    def resident_bytes(self) -> int:
        """Tell how much memory it has now."""
        pages = Path(f"/proc/{self.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Run it for the length of the block, in which it may be killed and started again."""
        self.start()
        try:
            yield
        finally:
            self.kill()
