"""`lanthorn up`: the whole system on this machine, until somebody stops it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lanthorn_embedded.console import Console, LogFormat
from lanthorn_embedded.datafolder import DataFolder, SystemState
from lanthorn_embedded.engines.running import Engines
from lanthorn_embedded.environment import read_settings, service_environment
from lanthorn_embedded.loglines import LogRecord, Severity, now
from lanthorn_embedded.maintenance import forget_jobs_of_last_time, migrate_database
from lanthorn_embedded.services import Faces, service_specs
from lanthorn_embedded.session import run_supervised
from lanthorn_embedded.sockets import open_listener, require_free
from lanthorn_embedded.startscreen import start_screen
from lanthorn_embedded.version import version

if TYPE_CHECKING:
    from lanthorn_core.runtime.settings import Settings
    from lanthorn_embedded.supervisor import Supervisor

# Who may do what by DICOM is decided by access rules, as in Orthanc.
_EVERYWHERE = ""


@dataclass(frozen=True, kw_only=True)
class UpOptions:
    """What the command line says."""

    config: Sequence[Path]
    data_folder: Path
    http_port: int | None
    dicom_port: int | None
    log_format: LogFormat


def up(options: UpOptions, environ: Mapping[str, str]) -> None:
    """Run the system until a signal stops it.

    Raises
    ------
    ConfigurationError
        Before anything was started.
    EmbeddedError
        The system cannot start, or a part of it keeps dying.
    """
    began = time.monotonic()
    folder = DataFolder(options.data_folder.absolute())
    environment = service_environment(
        environ,
        config=options.config,
        data_folder=folder.root,
        http_port=options.http_port,
        dicom_port=options.dicom_port,
    )
    settings = read_settings(environment)
    told = Severity[settings.lanthorn.log_level.upper()]
    # A higher level silences the services, not us.
    console = Console(1, options.log_format, lowest=min(told, Severity.INFO))
    for text in settings.warnings:
        warning = {"text": text}
        console.write(LogRecord(now(), "lanthorn", Severity.WARNING, "setting_questioned", warning))
    folder.make()
    with folder.exclusive() as lock, contextlib.ExitStack() as stack:
        descriptor = None
        if settings.dicom_server_enabled:
            listener = stack.enter_context(
                open_listener(
                    settings.dicom_port,
                    host=_EVERYWHERE,
                    purpose="DICOM",
                    option="--dicom-port or DicomPort in the configuration",
                )
            )
            descriptor = listener.fileno()
        if settings.http_server_enabled:
            require_free(
                settings.http_port,
                host=settings.http_bind_host,
                purpose="HTTP",
                option="--http-port or HttpPort in the configuration",
            )
        engines = Engines(folder, environment)
        system = _System(
            settings=settings,
            folder=folder,
            environment=environment,
            engines=engines,
            console=console,
            dicom_descriptor=descriptor,
            began=began,
        )
        try:
            run_supervised(system.run, console, lock, system.record)
        finally:
            engines.clear()
            folder.forget_state()
    console.show("Stopped.", "system_stopped")
    console.flush()


class _System:
    """One life of the whole system."""

    def __init__(
        self,
        *,
        settings: Settings,
        folder: DataFolder,
        environment: Mapping[str, str],
        engines: Engines,
        console: Console,
        dicom_descriptor: int | None,
        began: float,
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._environment = environment
        self._engines = engines
        self._console = console
        self._dicom_descriptor = dicom_descriptor
        self._began = began
        self._supervisor: Supervisor | None = None
        self._state = SystemState(
            pid=os.getpid(),
            version=version(),
            started_at=now().isoformat(timespec="seconds"),
            ready=False,
            ae_title=settings.dicom_aet,
            dicom_port=settings.dicom_port if settings.dicom_server_enabled else None,
            http_port=settings.http_port if settings.http_server_enabled else None,
            config=environment.get("LANTHORN_CONFIG", ""),
            database_url="",
            nats_url="",
            renderer_url="",
            processes=(),
        )

    async def run(self, supervisor: Supervisor) -> None:
        """Start everything in order, say so, and wait."""
        self._supervisor = supervisor
        self._console.show(
            f"Lanthorn {version()} starts; its data are in {self._folder.root}",
            "system_starting",
            version=version(),
            data_folder=str(self._folder.root),
        )
        await supervisor.start(self._engines.specs())
        environment = {**self._environment, **self._engines.urls()}
        await migrate_database(environment["DATABASE_URL"], self._console)
        if not self._settings.save_jobs:
            await forget_jobs_of_last_time(environment["DATABASE_URL"])
        specs, environment = service_specs(
            environment,
            Faces(
                dicom_descriptor=self._dicom_descriptor,
                gateway_processes=self._settings.lanthorn.gateway_processes,
                http_port=self._state.http_port,
            ),
        )
        self._state = replace(
            self._state,
            database_url=environment["DATABASE_URL"],
            nats_url=environment["NATS_URL"],
            renderer_url=environment["RENDERER_URL"],
        )
        await supervisor.start(specs)
        took_s = round(time.monotonic() - self._began, 1)
        self._state = replace(self._state, ready=True)
        self.record()
        self._console.show(
            start_screen(self._state, self._folder.root, took_s=took_s),
            "system_ready",
            ae_title=self._state.ae_title,
            dicom_port=self._state.dicom_port,
            http_port=self._state.http_port,
            took_s=took_s,
        )
        await supervisor.hold()

    def record(self) -> None:
        """Write down for `lanthorn status` what runs."""
        if self._supervisor is not None:
            self._folder.write_state(replace(self._state, processes=self._supervisor.states()))
