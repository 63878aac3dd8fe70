from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lanthorn_core.runtime.settings import Settings, SettingsError, load_settings


def load(folder: Path, section: dict[str, Any]) -> Settings:
    file = folder / "orthanc.json"
    file.write_text(json.dumps({"Worklists": section}))
    return load_settings({"LANTHORN_CONFIG": str(file)})


def test_the_section_of_the_older_plugin_is_understood(tmp_path: Path) -> None:
    settings = load(tmp_path, {"Enable": True, "Database": "./items", "FilterIssuerAet": True})
    assert settings.warnings == ()
    assert settings.worklists.enable
    assert settings.worklists.filter_issuer_aet
    assert settings.worklists.directory == "./items"


def test_worklists_are_off_unless_enabled(tmp_path: Path) -> None:
    assert not load(tmp_path, {}).worklists.enable


def test_an_unknown_option_gets_a_warning(tmp_path: Path) -> None:
    (warning,) = load(tmp_path, {"LimitAnswer": 7}).warnings
    assert warning == (
        "Worklists.LimitAnswer is not a known option; did you mean Worklists.LimitAnswers?"
    )


def test_items_are_kept_in_one_place(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="SaveInOrthancDatabase"):
        load(tmp_path, {"Directory": "items", "SaveInOrthancDatabase": True})


def test_the_environment_overrides_the_section() -> None:
    settings = load_settings(
        {"LANTHORN__WORKLISTS__ENABLE": "true", "LANTHORN__WORKLISTS__DIRECTORY": "123"}
    )
    assert settings.worklists.enable
    assert settings.worklists.directory == "123"
    assert settings.warnings == ()
