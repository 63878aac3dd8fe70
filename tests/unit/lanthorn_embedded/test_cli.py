from pathlib import Path

import pytest

from lanthorn_embedded.cli import main
from lanthorn_embedded.environment import service_environment
from lanthorn_embedded.errors import ConfigurationError


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out.startswith("lanthorn 0.")


@pytest.mark.parametrize("command", ["up", "status", "migrate", "reindex", "parked"])
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    assert "--data DIR" in capsys.readouterr().out


@pytest.mark.parametrize("port", ["0", "65536", "eighty", "-1", "²"])
def test_a_port_that_is_none_is_wrong_usage(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["up", f"--http-port={port}"])
    assert stopped.value.code == 2
    assert "1 to 65535" in capsys.readouterr().err


def test_a_missing_configuration_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "orthanc.json"
    assert main(["up", str(missing), "--data", str(tmp_path / "data")]) == 2
    assert str(missing) in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_the_status_of_an_unused_folder_is_that_nothing_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", "--data", str(tmp_path)]) == 1
    assert capsys.readouterr().out == f"nothing runs in {tmp_path}\n"
    assert list(tmp_path.iterdir()) == []


def test_the_services_are_told_absolute_paths_and_ports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.json").touch()
    (tmp_path / "b").mkdir()
    environment = service_environment(
        {"PATH": "/bin", "NATS_URL": "", "RENDERER_URL": "http://stale"},
        config=[Path("a.json"), Path("b")],
        data_folder=tmp_path / "data",
        http_port=1234,
        dicom_port=None,
    )
    assert environment == {
        "PATH": "/bin",
        "LANTHORN_CONFIG": f"{tmp_path}/a.json:{tmp_path}/b",
        "LANTHORN_DATA_DIR": f"{tmp_path}/data",
        "LANTHORN__HTTP_PORT": "1234",
    }


def test_without_files_the_configuration_of_the_environment_holds(tmp_path: Path) -> None:
    environment = service_environment(
        {"LANTHORN_CONFIG": "/etc/lanthorn"}, config=[], data_folder=tmp_path
    )
    assert environment["LANTHORN_CONFIG"] == "/etc/lanthorn"
    with pytest.raises(ConfigurationError, match="nowhere"):
        service_environment({}, config=[Path("nowhere")], data_folder=tmp_path)
