"""The trial that `helm test` runs, against the real `lanthorn up`."""

from __future__ import annotations

import json
import urllib.request

import pytest

from lanthorn_dimse_gateway.trial import main
from tests.fixtures.running_lanthorn import RunningLanthorn


def arguments(system: RunningLanthorn, called: str = "LANTHORN") -> list[str]:
    dicom = f"--dicom=127.0.0.1:{system.dicom_port}"
    return [dicom, f"--http={system.http_url}", f"--called={called}"]


def get_json(system: RunningLanthorn, path: str) -> object:
    with urllib.request.urlopen(f"{system.http_url}{path}", timeout=30) as answer:
        return json.load(answer)


def test_a_trial_of_a_sound_system_succeeds_and_leaves_nothing(
    running_lanthorn: RunningLanthorn, capsys: pytest.CaptureFixture[str]
) -> None:
    before = get_json(running_lanthorn, "/instances")
    main(arguments(running_lanthorn))
    assert "stored, found, fetched, rendered and removed" in capsys.readouterr().out
    assert get_json(running_lanthorn, "/instances") == before
    assert "lanthorn-trial" not in get_json(running_lanthorn, "/modalities")  # type: ignore[operator]


def test_a_trial_of_something_else_fails_and_says_why(
    running_lanthorn: RunningLanthorn, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([f"--dicom=127.0.0.1:{running_lanthorn.dicom_port}", "--http=http://127.0.0.1:1"])
    assert ended.value.code == 1
    assert "failed:" in capsys.readouterr().err
