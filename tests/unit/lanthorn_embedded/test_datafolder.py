import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lanthorn_embedded.datafolder import (
    DataFolder,
    ProcessState,
    SystemState,
    default_data_folder,
)
from lanthorn_embedded.errors import EmbeddedError, FolderInUse

STATE = SystemState(
    pid=os.getpid(),
    version="0.1.0",
    started_at="2026-02-03T04:05:06+00:00",
    ready=True,
    ae_title="LANTHORN",
    dicom_port=4242,
    http_port=8042,
    config="",
    database_url="postgresql:///lanthorn",
    nats_url="nats://user:secret@127.0.0.1:4222",
    renderer_url="http://127.0.0.1:1",
    processes=(ProcessState("nats", 17, True, 0, "127.0.0.1:4222"),),
)


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    made = DataFolder(tmp_path / "deep" / "data")
    made.make()
    return made


def test_the_default_folder_follows_the_xdg_specification() -> None:
    assert default_data_folder({"XDG_DATA_HOME": "/srv"}) == Path("/srv/lanthorn")
    standard = Path.home() / ".local/share/lanthorn"
    assert default_data_folder({}) == standard
    assert default_data_folder({"XDG_DATA_HOME": "not/absolute"}) == standard


def test_what_holds_data_is_closed_to_others(folder: DataFolder) -> None:
    for closed in (folder.objects, folder.nats, folder.run):
        assert closed.stat().st_mode & 0o077 == 0
    assert folder.root.stat().st_mode & 0o066 == 0


def test_the_rights_of_an_existing_folder_are_left_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    DataFolder(tmp_path).make()
    assert tmp_path.stat().st_mode & 0o777 == 0o750


def test_a_folder_that_cannot_be_made_is_told_with_the_option(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EmbeddedError, match="--data"):
        DataFolder(tmp_path / "file" / "data").make()


def test_a_second_user_of_the_folder_is_told_who_is_the_first(folder: DataFolder) -> None:
    assert folder.holder() is None
    with folder.exclusive():
        assert folder.holder() == os.getpid()
        with pytest.raises(FolderInUse, match=f"process {os.getpid()}"), folder.exclusive():
            pass
    assert folder.holder() is None


def test_the_lock_outlives_its_taker_in_whoever_inherited_it(folder: DataFolder) -> None:
    with folder.exclusive() as descriptor:
        heir = subprocess.Popen(
            [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(descriptor,)
        )
    assert folder.holder() is not None
    heir.communicate(b"\n")
    assert folder.holder() is None


def test_the_state_is_read_back_while_the_folder_is_in_use(folder: DataFolder) -> None:
    with folder.exclusive():
        assert folder.read_state() is None
        folder.write_state(STATE)
        folder.write_state(replace(STATE, ready=False))
        assert folder.read_state() == replace(STATE, ready=False)
        assert folder.state.stat().st_mode & 0o777 == 0o600
    assert folder.read_state() is None


def test_prometheus_is_told_where_the_metrics_are_while_the_system_runs(
    folder: DataFolder,
) -> None:
    gateway = ProcessState("gateway-1", 18, True, 0, "127.0.0.1:5", health_port=5)
    folder.write_state(replace(STATE, processes=(*STATE.processes, gateway)))
    assert json.loads(folder.scrape_targets.read_text()) == [
        {"targets": ["127.0.0.1:5"], "labels": {"process": "gateway-1"}}
    ]
    assert folder.scrape_targets.stat().st_mode & 0o004
    folder.forget_state()
    assert not folder.scrape_targets.exists()


def test_a_state_of_another_version_is_not_misread(folder: DataFolder) -> None:
    with folder.exclusive():
        folder.state.write_text('{"pid": 1, "processes": []}')
        assert folder.read_state() is None


def test_the_state_that_a_killed_process_left_is_not_believed(folder: DataFolder) -> None:
    with folder.exclusive():
        folder.write_state(replace(STATE, pid=os.getpid() + 1))
        assert folder.read_state() is None
