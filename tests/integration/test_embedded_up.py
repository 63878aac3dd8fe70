"""`lanthorn up` with the real services."""

import contextlib
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lanthorn_embedded.sockets import LOOPBACK, ReservedPort
from tests.fixtures.processes import processes_of, wait_for_no_process
from tests.fixtures.running_lanthorn import (
    RunningLanthorn,
    clean_environment,
    lanthorn_folder,
    lanthorn_up,
)

CT = Path(__file__).parents[1] / "data" / "pydicom" / "CT_small.dcm"
MR = CT.with_name("MR_small.dcm")
NOWHERE = {"DicomModalities": {"nowhere": ["NOWHERE", LOOPBACK, 1]}}


@pytest.fixture
def folder() -> Iterator[Path]:
    with lanthorn_folder() as path:
        yield path


@pytest.fixture(scope="module")
def running() -> Iterator[RunningLanthorn]:
    """One for all tests that leave it running; its configuration has a misspelt option."""
    with lanthorn_folder() as path, lanthorn_up(path, {"DicomPrt": 104}) as system:
        yield system


@pytest.fixture(scope="module")
def secluded() -> Iterator[RunningLanthorn]:
    """One beside it, with a password and without DICOM."""
    options = {
        "AuthenticationEnabled": True,
        "RegisteredUsers": {"alice": "secret"},
        "DicomServerEnabled": False,
    }
    with lanthorn_folder() as path, lanthorn_up(path, options) as system:
        yield system


def ask(url: str, body: bytes | None = None) -> Any:
    with urllib.request.urlopen(url, data=body, timeout=30) as answer:
        return json.load(answer)


def ask_as_alice(url: str) -> Any:
    request = urllib.request.Request(url, headers={"Authorization": "Basic YWxpY2U6c2VjcmV0"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def store(running: RunningLanthorn, file: Path) -> str:
    return str(ask(f"{running.http_url}/instances", file.read_bytes())["ID"])


def send_nowhere(running: RunningLanthorn, instance: str) -> None:
    """Make a job, which fails."""
    with pytest.raises(urllib.error.HTTPError):
        ask(f"{running.http_url}/modalities/nowhere/store", instance.encode())


def lanthorn(*arguments: str, environment: dict[str, str] | None = None) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "lanthorn_embedded", *arguments],
        env={**clean_environment(), **(environment or {})},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def eventually(condition: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < give_up_at
        time.sleep(0.05)


def test_it_serves_http_and_dicom(running: RunningLanthorn) -> None:
    assert ask(f"{running.http_url}/system")["DicomAet"] == running.ae_title == "LANTHORN"
    with socket.create_connection((LOOPBACK, running.dicom_port), timeout=10):
        pass
    assert set(running.pids) >= {"postgres", "nats", "indexer", "renderer", "rest-api"}
    assert len(processes_of(running.data_folder)) > len(running.pids)


@pytest.mark.timeout(300)  # it starts five times
def test_images_and_jobs_outlive_stops_and_kills_and_a_stop_leaves_no_trace(folder: Path) -> None:
    with lanthorn_up(folder, NOWHERE) as running:
        stored = store(running, CT)
        send_nowhere(running, stored)
        [job] = ask(f"{running.http_url}/jobs")
        running.stop()
        assert not (running.data_folder / "run" / "state.json").exists()
        assert not (running.data_folder / "socket").exists()
    with lanthorn_up(folder) as running:
        assert ask(f"{running.http_url}/jobs") == [job]
        assert ask(f"{running.http_url}/instances") == [stored]
        url = f"{running.http_url}/instances/{stored}/file"
        with urllib.request.urlopen(url, timeout=30) as answer:
            assert answer.read() == CT.read_bytes()
        running.process.kill()
        running.process.wait()
        wait_for_no_process(running.data_folder)
    with lanthorn_up(folder, {"SaveJobs": False}) as running:
        assert ask(f"{running.http_url}/instances") == [stored]
        assert ask(f"{running.http_url}/jobs") == []

    # The objects alone are enough.
    shutil.rmtree(folder / "data" / "postgres")
    shutil.rmtree(folder / "data" / "nats")
    code, said, complaint = lanthorn("reindex", "--data", str(folder / "data"))
    assert code == 0, complaint
    assert "1 objects, 1 patients, 1 studies, 1 series, 1 instances" in said
    wait_for_no_process(folder)
    with lanthorn_up(folder) as running:
        assert ask(f"{running.http_url}/instances") == [stored]


def test_two_lanthorns_live_side_by_side(
    running: RunningLanthorn, secluded: RunningLanthorn
) -> None:
    stored = store(running, MR)
    assert stored in ask(f"{running.http_url}/instances")
    assert ask_as_alice(f"{secluded.http_url}/instances") == []


def test_without_dicom_the_port_is_left_alone(secluded: RunningLanthorn) -> None:
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((LOOPBACK, secluded.dicom_port), timeout=10)


def test_a_password_keeps_the_counts_private(secluded: RunningLanthorn) -> None:
    with pytest.raises(urllib.error.HTTPError, match="401"):
        ask(f"{secluded.http_url}/system")
    code, report, _ = lanthorn("status", "--data", str(secluded.data_folder))
    assert code == 0
    assert "asks for a password" in report


def test_a_folder_in_use_is_refused_with_the_process_that_uses_it(
    running: RunningLanthorn,
) -> None:
    code, _, complaint = lanthorn("up", "--data", str(running.data_folder))
    assert code == 1
    assert complaint.count("\n") == 1
    assert f"process {running.process.pid}" in complaint
    assert "--data" in complaint


@pytest.mark.parametrize("option", ["--http-port", "--dicom-port"])
def test_a_port_in_use_is_one_line_with_the_option_that_changes_it(
    folder: Path, option: str
) -> None:
    ports = {"--http-port": ReservedPort(), "--dicom-port": ReservedPort()}
    arguments = [text for name, port in ports.items() for text in (name, str(port.number))]
    with socket.create_server((LOOPBACK, ports[option].number)):
        code, _, complaint = lanthorn("up", "--data", str(folder / "data"), *arguments)
    assert code == 1
    assert complaint.count("\n") == 1
    assert f"port {ports[option].number} is in use: choose another with {option}" in complaint
    wait_for_no_process(folder)


def test_a_wrong_configuration_ends_with_2_and_the_option_before_anything_starts(
    folder: Path,
) -> None:
    wrong = folder / "orthanc.json"
    wrong.write_text('{"DicomPort": "soon"}')
    code, _, complaint = lanthorn("up", str(wrong), "--data", str(folder / "data"))
    assert code == 2
    assert "DicomPort" in complaint
    assert "soon" in complaint
    assert not (folder / "data").exists()


def test_doubtful_options_are_told_once(running: RunningLanthorn) -> None:
    lines = [json.loads(line) for line in running.log_lines()]
    doubts = [line for line in lines if line["event"] == "setting_questioned"]
    assert [line["service"] for line in doubts if "DicomPrt" in line["text"]] == ["lanthorn"]


def test_the_start_screen_says_where_and_how(folder: Path) -> None:
    http, dicom = ReservedPort(), ReservedPort()
    command = [
        sys.executable, "-m", "lanthorn_embedded", "up", "--data", str(folder / "data"),
        "--http-port", str(http.number), "--dicom-port", str(dicom.number),
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=clean_environment()) as process:
        assert process.stdout is not None
        screen = ""
        while "Ctrl-C stops it." not in screen:
            line = process.stdout.readline().decode()
            assert line, screen
            screen += line
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read().decode()
        assert process.wait() == 0
    assert f"http://127.0.0.1:{http.number}/" in screen
    assert f"storescu -aec LANTHORN 127.0.0.1 {dicom.number}" in screen
    assert str(folder / "data") in screen
    assert rest.rstrip().endswith("Stopped.")


def test_the_status_shows_processes_health_and_counts(running: RunningLanthorn) -> None:
    store(running, CT)
    counts = ask(f"{running.http_url}/statistics")
    code, report, _ = lanthorn("status", "--data", str(running.data_folder))
    assert code == 0
    assert "is ready" in report
    assert f"{counts['CountSeries']} series, {counts['CountInstances']} instances" in report
    for name, pid in running.pids.items():
        assert any(line.split()[:3] == [name, str(pid), "ready"] for line in report.splitlines())
    os.kill(running.pids["nats"], signal.SIGSTOP)
    code, report, _ = lanthorn("status", "--data", str(running.data_folder))
    os.kill(running.pids["nats"], signal.SIGCONT)
    assert code == 1
    assert "is not well" in report


def test_the_status_of_a_folder_without_a_system_says_so(folder: Path) -> None:
    code, report, _ = lanthorn("status", "--data", str(folder / "data"))
    assert (code, report) == (1, f"nothing runs in {folder / 'data'}\n")


def test_secrets_are_for_the_owner_only(running: RunningLanthorn) -> None:
    secret = running.state.nats_url.partition("//")[2].partition("@")[0].partition(":")[2]
    assert len(secret) >= 32
    open_to_others = []
    for folder, _, names in os.walk(running.data_folder):
        for path in (Path(folder, name) for name in names):
            with contextlib.suppress(FileNotFoundError):  # those of the engines come and go
                is_open = path.is_file() and path.stat().st_mode & 0o077
                if is_open and secret in path.read_text("latin-1"):
                    open_to_others.append(path)
    assert open_to_others == []
    for part in ("objects", "nats", "run", "postgres"):
        assert stat.S_IMODE((running.data_folder / part).stat().st_mode) == 0o700
    assert secret not in running.log.read_text()


def test_migrate_works_without_a_running_system(folder: Path) -> None:
    code, said, complaint = lanthorn("migrate", "--data", str(folder / "data"))
    assert (code, said.splitlines()[-1]) == (0, "The database has this version's schema."), (
        complaint
    )


def test_reindex_works_beside_a_running_system(running: RunningLanthorn) -> None:
    stored = store(running, CT)
    counts = ask(f"{running.http_url}/statistics")
    code, said, complaint = lanthorn("reindex", "--fresh", "--data", str(running.data_folder))
    assert code == 0, complaint
    assert f"{counts['CountSeries']} series, {counts['CountInstances']} instances" in said
    assert stored in ask(f"{running.http_url}/instances")


def test_reindex_rebuilds_a_folder_of_which_only_the_objects_are_left(folder: Path) -> None:
    with lanthorn_up(folder) as running:
        store(running, CT)
        running.stop()
    for engine in ("postgres", "nats"):
        shutil.rmtree(folder / "data" / engine)
    code, said, complaint = lanthorn("reindex", "--data", str(folder / "data"))
    assert code == 0, complaint
    assert "1 objects, 1 patients, 1 studies, 1 series, 1 instances" in said


def test_engines_that_the_environment_names_are_not_started(
    running: RunningLanthorn, folder: Path
) -> None:
    external = {"DATABASE_URL": running.state.database_url, "NATS_URL": running.state.nats_url}
    with lanthorn_up(folder, environment=external) as second:
        assert not {"postgres", "nats"} & set(second.pids)
        assert not (second.data_folder / "postgres").exists()
    assert {"postgres", "nats"} <= set(running.pids)


def test_killed_children_come_back_and_the_dicom_port_never_closes(
    running: RunningLanthorn,
) -> None:
    stored = store(running, CT)
    before = running.pids
    restarts = {process.name: process.restarts for process in running.state.processes}
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)
    with socket.create_connection((LOOPBACK, running.dicom_port), timeout=10):
        pass
    eventually(
        lambda: all(
            process.restarts > restarts[process.name] for process in running.state.processes
        )
    )
    running.wait_until_ready()
    assert not set(before.values()) & set(running.pids.values())
    assert stored in ask(f"{running.http_url}/instances")
    assert store(running, MR) in ask(f"{running.http_url}/instances")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_an_ordinary_user_can_run_it(folder: Path) -> None:
    program = interpreter_of_everybody()
    folder.chmod(0o777)
    environment = {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path and Path(path).is_dir()),
        "HOME": "/nonexistent",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    call = (program, "-m", "lanthorn_embedded")
    with lanthorn_up(folder, environment=environment, program=call, user="nobody") as running:
        assert store(running, CT)
        owners = {Path(f"/proc/{pid}").stat().st_uid for pid in running.pids.values()}
        assert owners == {running.data_folder.stat().st_uid}
        assert owners != {0}
        assert stat.S_IMODE(running.data_folder.stat().st_mode) == 0o700


def interpreter_of_everybody() -> str:
    """Find a Python of our version that other users can run."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (
        sys.executable,
        f"/usr/bin/python{version}",
        f"/usr/local/bin/python{version}",
    ):
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            subprocess.run([candidate, "-c", ""], check=True, user="nobody", extra_groups=[])
            return candidate
    pytest.skip("no interpreter that other users can run")
