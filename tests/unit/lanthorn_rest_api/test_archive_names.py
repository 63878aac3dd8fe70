"""Names in archives; where no other source is given, as an Orthanc 1.13.0 named them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanthorn_rest_api.archive_names import (
    FolderNames,
    file_names,
    patient_folder,
    series_folder,
    study_folder,
)


@pytest.mark.parametrize(
    ("patient_id", "name", "folder"),
    [
        ("pid1", "A^B", "pid1 - A^B"),
        ("", "A^B", "- A^B"),
        ("pid2", "", "pid2"),
        ("pid2", None, "pid2"),
        (None, None, "Unknown Patient"),
        ("", "", "Unknown Patient"),
        ("pid13", "ä^ö", "pid13 - ^"),
        ("ä", "ö", "-"),
        ("a^b", "-", "a^b - -"),
        ("SCSGREEK", "Διονυσιος", "SCSGREEK -"),
        (
            "pid12/ä\\x:*?\"<>|\x01~`!@#$%^&()_+-=[]{};',.z",
            "A  B   C\tD",
            "pid12 x ~`!@#$%^&()_+-=[]{};',.z - A B CD",
        ),
    ],
)
def test_patients(patient_id: str | None, name: str | None, folder: str) -> None:
    tags = {"PatientID": patient_id, "PatientName": name}
    assert (
        patient_folder({key: value for key, value in tags.items() if value is not None}) == folder
    )


@pytest.mark.parametrize(
    ("accession_number", "description", "folder"),
    [
        ("acc", "desc", "acc - desc"),
        ("acc", "", "acc"),
        ("", "d", "d"),
        ("", "e+1", "e+1"),
        ("", "a/b", "a b"),
        ("", "-", "-"),
        ("", "CON", "CON"),
        ("", "", "Unknown Study"),
    ],
)
def test_studies(accession_number: str, description: str, folder: str) -> None:
    tags = {"AccessionNumber": accession_number, "StudyDescription": description}
    assert study_folder(tags) == folder


@pytest.mark.parametrize(
    ("number", "modality", "description", "folder"),
    [
        ("5", "MR", "sdesc", "5 - MR - sdesc"),
        ("5", "", "sdesc", "5 - sdesc"),
        ("", "M", "sdesc", "M - sdesc"),
        ("", "mr", "", "mr"),
        ("1.5", "/x", "a\\b", "1.5 - x - a b"),
        ("", "-", "-", "- - -"),
        ("007", "m_x", "AUX.", "007 - m_x - AUX."),
        ("", "", " x .", "x ."),
        ("", "", "", "Unknown Series"),
    ],
)
def test_series(number: str, modality: str, description: str, folder: str) -> None:
    tags = {"SeriesNumber": number, "Modality": modality, "SeriesDescription": description}
    assert series_folder(tags) == folder


@pytest.mark.parametrize("value", ["..", ".", "äöü", "/", "../..", "..\\", "\0", " . "])
def test_nothing_of_a_name_is_left_to_lead_elsewhere(value: str) -> None:
    """Here a real Orthanc writes folders called ``..``."""
    name = study_folder({"StudyDescription": value})
    assert "/" not in name
    assert name.strip(".")


@given(st.text(), st.text(), st.text())
def test_no_value_becomes_a_path(first: str, second: str, third: str) -> None:
    for name in (
        patient_folder({"PatientID": first, "PatientName": second}),
        study_folder({"AccessionNumber": first, "StudyDescription": second}),
        series_folder({"SeriesNumber": first, "Modality": second, "SeriesDescription": third}),
        *file_names(first, [1, None]),
    ):
        assert name.strip(".")
        assert name.isascii()
        assert name.isprintable()
        assert not set(name) & set('/\\:*?"<>|')


@pytest.mark.parametrize(
    ("modality", "name"),
    [
        ("CT", "CT000007.dcm"),
        ("mr", "MR000007.dcm"),
        ("RTPLAN", "RT000007.dcm"),
        ("M", "M0000007.dcm"),
        ("", "00000007.dcm"),
        ("m_x", "M_000007.dcm"),
        ("/x", "X000007.dcm"),
        ("é1", "000007.dcm"),
        ("-", "-0000007.dcm"),
    ],
)
def test_files(modality: str, name: str) -> None:
    assert file_names(modality, [7]) == [name]


@pytest.mark.parametrize(
    ("indexes", "numbers"),
    [
        ([1, 2, 3], [1, 2, 3]),
        ([None, 4], [0, 4]),
        ([None, None, 3], [0, 1, 2]),
        ([7, 7, 7], [0, 1, 2]),
        ([0, 0, 1], [0, 1, 2]),
        ([1234567890], [1234567890]),
    ],
)
def test_files_are_numbered_by_index_if_that_tells_them_apart(
    indexes: list[int | None], numbers: list[int]
) -> None:
    assert file_names("CT", indexes) == [f"CT{number:06}.dcm" for number in numbers]


def test_folders_of_one_name_are_kept_apart() -> None:
    names = FolderNames()
    assert [names.unique("CT - A") for _ in range(3)] == ["CT - A", "CT - A-2", "CT - A-3"]
    assert FolderNames().unique("CT - A") == "CT - A"


def test_folders_that_one_disk_would_take_for_the_same_are_kept_apart() -> None:
    """Here a real Orthanc lets files of two series overwrite each other."""
    names = FolderNames()
    assert [names.unique(name) for name in ("A", "a", "A-2", "A")] == ["A", "a-2", "A-2-2", "A-3"]
