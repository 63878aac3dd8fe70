"""The settings: files, overrides, what is refused and what is warned about."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from lanthorn_core.runtime.options import OPTION_FIELDS
from lanthorn_core.runtime.settings import Settings, SettingsError, load_settings
from lanthorn_core.runtime.settings_reference import render
from lanthorn_core.runtime.unsupported import UNSUPPORTED

REFERENCE = Path(__file__).parents[4] / "docs" / "reference" / "settings.md"


def written(folder: Path, text: str, name: str = "orthanc.json") -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def loaded(*paths: Path, **environ: str) -> Settings:
    return load_settings({"LANTHORN_CONFIG": os.pathsep.join(map(str, paths)), **environ})


def refused(environ: dict[str, str]) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(environ)
    return str(caught.value)


def test_nothing_configured_is_lanthorn_on_orthanc_s_ports_for_this_machine_only() -> None:
    settings = load_settings({})
    assert (settings.dicom_aet, settings.dicom_port) == ("LANTHORN", 4242)
    assert (settings.http_port, settings.http_bind_host) == (8042, "127.0.0.1")
    assert settings.lanthorn.index_barrier_timeout == 10
    assert settings.lanthorn.maximum_in_flight_bytes == 256 << 20
    assert 1 <= settings.lanthorn.gateway_processes <= 4
    assert settings.warnings == ()


def test_an_orthanc_file_is_read_with_its_comments_and_variables(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        """// Our server
        { "Name" : "${HOSPITAL:-a clinic}${NOT_SET}", /* "DicomPort" : 1, */ "DicomAet" : "${AET}",
          "StableAge" : ${AGE:-30}, }""",
    )
    settings = loaded(file, AET="ARCHIVE")
    assert (settings.name, settings.dicom_aet, settings.dicom_port) == ("a clinic", "ARCHIVE", 4242)
    assert settings.stable_age == 30


def test_files_and_folders_are_merged_key_by_key_and_the_later_wins(tmp_path: Path) -> None:
    folder = tmp_path / "conf.d"
    folder.mkdir()
    first = written(tmp_path, '{"DicomPort": 1, "DicomModalities": {"a": ["A", "h", 1]}}')
    written(folder, '{"DicomModalities": {"b": ["B", "h", 2]}}', "10.json")
    written(folder, '{"DicomPort": 3, "Name": "x"}', "20.json")
    written(folder, "not JSON at all", "30.txt")
    settings = loaded(first, folder)
    assert settings.dicom_port == 3
    assert sorted(settings.dicom_modalities) == ["a", "b"]
    assert settings.warnings == (
        f"DicomPort is set in {first} and in {folder / '20.json'}, which wins",
    )


def test_the_same_value_twice_is_no_reason_for_a_warning(tmp_path: Path) -> None:
    files = [written(tmp_path, '{"DicomPort": 3}', name) for name in ("a.json", "b.json")]
    assert loaded(*files).warnings == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[1, 2]", "expected a JSON object"),
        ('{"DicomPort": }', "is not JSON (near character 15)"),
        ('{"RegisteredUsers": {"alice": "open sesame"', "is not JSON"),
    ],
)
def test_a_file_that_is_not_an_object_is_refused_without_quoting_it(
    tmp_path: Path, text: str, expected: str
) -> None:
    message = refused({"LANTHORN_CONFIG": str(written(tmp_path, text))})
    assert expected in message
    assert "orthanc.json" in message
    assert "sesame" not in message


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "cannot be read" in refused({"LANTHORN_CONFIG": str(tmp_path / "no.json")})


def test_the_environment_overrides_files_whatever_case_and_underscores(tmp_path: Path) -> None:
    file = written(tmp_path, '{"DicomPort": 1, "DicomModalities": {"my_CT": ["A", "h", 1]}}')
    settings = loaded(
        file,
        LANTHORN__DICOM_PORT="104",
        LANTHORN__dicomaet="OTHER",
        LANTHORN__STORE_MD5_FOR_ATTACHMENTS="false",
        LANTHORN__LANTHORN__INDEX_BARRIER_TIMEOUT="3",
        LANTHORN__DICOM_MODALITIES__SAMPLE='["A","127.0.0.1",104]',
        LANTHORN__DICOM_MODALITIES__MY_CT='{"AET": "B", "Host": "h", "Port": 2}',
    )
    assert (settings.dicom_port, settings.dicom_aet) == (104, "OTHER")
    assert not settings.store_md5_for_attachments
    assert settings.lanthorn.index_barrier_timeout == 3
    assert {name: entry.ae_title for name, entry in settings.dicom_modalities.items()} == {
        "my_CT": "B",
        "SAMPLE": "A",
    }
    assert settings.warnings == ()


def test_an_override_of_a_text_stays_the_text_that_it_is() -> None:
    settings = load_settings(
        {
            "LANTHORN__NAME": "123",
            "LANTHORN__REGISTERED_USERS__alice": "007",
            "LANTHORN__MAXIMUM_STORAGE_MODE": "Reject",
            "LANTHORN__LANTHORN__LOG_FORMAT": "console",
        }
    )
    assert settings.name == "123"
    assert settings.registered_users["alice"].get_secret_value() == "007"
    assert settings.maximum_storage_mode == "Reject"
    assert settings.lanthorn.log_format == "console"


def test_an_override_below_a_plain_option_is_refused() -> None:
    message = refused({"LANTHORN__DICOM_PORT__X": "1", "LANTHORN__DICOM_PORT": "104"})
    assert "LANTHORN__DICOM_PORT__X: DicomPort is not an object" in message


def test_an_unknown_option_gets_a_warning_with_a_guess(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        json.dumps(
            {
                "DicomAEt": "X",
                "Zzz": 1,
                "Lanthorn": {"SweepIntervall": 3},
                "DicomModalities": {
                    "a": {"AET": "A", "Host": "h", "Port": 1, "AllowStroe": False},
                    "b": {"AET": "A", "Host": "h", "Port": 1, "AllowStorageCommitment": False},
                },
            }
        ),
    )
    settings = loaded(file)
    assert settings.warnings == (
        "DicomAEt is not a known option; did you mean DicomAet?",
        "Zzz is not a known option",
        "Lanthorn.SweepIntervall is not a known option; did you mean Lanthorn.SweepInterval?",
        "DicomModalities.a.AllowStroe is not a known option; "
        "did you mean DicomModalities.a.AllowStore?",
    )
    assert settings.dicom_aet == "LANTHORN"


def test_an_option_without_effect_gets_a_warning_unless_it_has_its_default() -> None:
    assert load_settings({"LANTHORN__STORAGE_COMPRESSION": "false"}).warnings == ()
    assert load_settings({"LANTHORN__STORAGE_COMPRESSION": "true"}).warnings == (
        "StorageCompression has no effect: objects are kept as received",
    )


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"LANTHORN__SSL_ENABLED": "true"}, "SslEnabled = True: expected False, because"),
        ({"LANTHORN__SSL_VERIFY_PEERS": "true"}, "SslVerifyPeers = True"),
        ({"LANTHORN__AUTHORIZATION__WEB_SERVICE": "secret"}, "Authorization = {…}"),
    ],
)
def test_an_option_that_protects_and_has_no_effect_ends_the_start(
    environ: dict[str, str], named: str
) -> None:
    message = refused(environ)
    assert named in message
    assert "secret" not in message


def test_a_plugin_that_is_switched_off_is_nothing_to_speak_of() -> None:
    assert load_settings({"LANTHORN__AUTHORIZATION": '{"Enable": false}'}).warnings == ()


def test_no_option_is_both_honoured_and_without_effect() -> None:
    assert set(OPTION_FIELDS) & set(UNSUPPORTED) == set()


def test_all_wrong_values_are_told_at_once_with_what_was_expected() -> None:
    message = refused(
        {
            "LANTHORN__DICOM_PORT": "70000",
            "LANTHORN__OVERWRITE_INSTANCES": "maybe",
            "LANTHORN__DICOM_AET": "a\\b",
            "LANTHORN__DEFAULT_ENCODING": "Klingon",
            "LANTHORN__LIMIT_FIND_RESULTS": "-1",
            "LANTHORN__EXTRA_MAIN_DICOM_TAGS": '{"Study": ["NoSuchTag"]}',
            "LANTHORN__DICOM_MODALITIES__x": '["A", "h", 0]',
            "LANTHORN__DICOM_MODALITIES__y": '{"AET": "A", "Host": "h"}',
            "LANTHORN__LANTHORN__LOG_FORMAT": "poem",
        }
    )
    for line in (
        "DicomPort = 70000: expected less than or equal to 65535",
        "OverwriteInstances = 'maybe': expected a valid boolean",
        "DicomAet = 'a\\\\b': expected an AE title",
        "DefaultEncoding = 'Klingon': expected one of Ascii, Utf8",
        "LimitFindResults = -1: expected greater than or equal to 0",
        "ExtraMainDicomTags = {'Study': ['NoSuchTag']}: expected tags, and 'NoSuchTag' is none",
        "DicomModalities.x.Port = 0: expected greater than or equal to 1",
        "DicomModalities.y.Port: field required",
        "Lanthorn.LogFormat = 'poem': expected 'json' or 'console'",
    ):
        assert line in message


def test_a_secret_is_never_told() -> None:
    message = refused(
        {
            "LANTHORN__REGISTERED_USERS": '{"alice": ["sesame"]}',
            "LANTHORN__ORTHANC_PEERS__b": '["http://h/", "u", "sesame", "too many"]',
        }
    )
    assert "RegisteredUsers.alice = (hidden)" in message
    assert "OrthancPeers.b = (hidden): expected [url] or [url, user, password]" in message
    settings = load_settings(
        {
            "LANTHORN__REGISTERED_USERS__alice": "sesame",
            "LANTHORN__ORTHANC_PEERS__b": '["http://h/", "u", "sesame"]',
            "DATABASE_URL": "postgresql://u:sesame@h/d",
            "NATS_URL": "nats://u:sesame@h",
            "S3_ENDPOINT": "http://h:9000",
            "S3_ACCESS_KEY": "a",
            "S3_SECRET_KEY": "sesame",
        }
    )
    assert "sesame" not in message + repr(settings) + str(settings)


@pytest.mark.parametrize(
    ("options", "host", "authentication"),
    [
        ({}, "127.0.0.1", False),
        ({"RemoteAccessAllowed": True}, "0.0.0.0", True),
        ({"RemoteAccessAllowed": True, "AuthenticationEnabled": True}, "0.0.0.0", True),
        ({"RemoteAccessAllowed": True, "AuthenticationEnabled": False}, "127.0.0.1", False),
        ({"AuthenticationEnabled": True}, "127.0.0.1", True),
    ],
)
def test_http_leaves_the_loopback_only_if_authentication_is_on(
    options: dict[str, Any], host: str, authentication: bool
) -> None:
    settings = Settings.model_validate(options)
    assert (settings.http_bind_host, settings.authentication_enabled) == (host, authentication)


def test_access_that_will_not_work_as_meant_gets_a_warning() -> None:
    open_to_all = {"LANTHORN__REMOTE_ACCESS_ALLOWED": "true"}
    assert load_settings(open_to_all).warnings == (
        "RegisteredUsers is empty and AuthenticationEnabled: nobody can log in",
    )
    with_user = {**open_to_all, "LANTHORN__REGISTERED_USERS__alice": "x"}
    assert load_settings(with_user).warnings == ()
    closed = {**with_user, "LANTHORN__AUTHENTICATION_ENABLED": "false"}
    assert "RemoteAccessAllowed has no effect" in load_settings(closed).warnings[0]


@pytest.mark.parametrize(
    ("value", "expected"),
    [("Never", False), ("Always", True), ("true", True), ("false", False), ("IfChanged", True)],
)
def test_overwriting_may_be_written_as_in_every_orthanc(value: str, expected: bool) -> None:
    settings = load_settings({"LANTHORN__OVERWRITE_INSTANCES": value})
    assert settings.overwrite_instances is expected
    assert len(settings.warnings) == (value == "IfChanged")


def test_the_numbers_of_users_are_read_as_orthanc_writes_them() -> None:
    settings = Settings.model_validate(
        {
            "UserMetadata": {"Mine": 1024},
            "UserContentType": {"pdf": [1024, "application/pdf"], "raw": 1026},
        }
    )
    assert settings.user_content_type["pdf"].media_type == "application/pdf"
    assert settings.user_content_type["raw"].number == 1026
    with pytest.raises(ValidationError):
        Settings.model_validate({"UserMetadata": {"Mine": 1023}})


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        load_settings({}).dicom_port = 1


def test_the_reference_page_is_up_to_date() -> None:
    assert REFERENCE.read_text(encoding="utf-8") == render(), (
        "run: python -m lanthorn_core.runtime.settings_reference > docs/reference/settings.md"
    )
