"""The one errors table: complete, unambiguous, and the same as its page."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path

from pynetdicom.status import (
    GENERAL_STATUS,
    QR_FIND_SERVICE_CLASS_STATUS,
    QR_MOVE_SERVICE_CLASS_STATUS,
    STORAGE_SERVICE_CLASS_STATUS,
)

from lanthorn_core.errors import ORTHANC_ERRORS
from lanthorn_core.runtime.errors_reference import all_errors, reference

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "errors.md"


def test_the_page_is_what_the_classes_say() -> None:
    assert PAGE.read_text() == reference(), "run make docs"


def test_slugs_are_unique_and_every_code_has_its_text() -> None:
    slugs = [error.slug for error in all_errors()]
    assert len(slugs) == len(set(slugs)) > 20
    assert all(error.orthanc_code in ORTHANC_ERRORS for error in all_errors())


def test_every_status_is_one_that_its_protocol_knows() -> None:
    for error in all_errors():
        assert HTTPStatus(error.http_status) >= 400
        assert error.c_store in STORAGE_SERVICE_CLASS_STATUS | GENERAL_STATUS
        assert error.c_find in QR_FIND_SERVICE_CLASS_STATUS | GENERAL_STATUS
        assert error.c_move in QR_MOVE_SERVICE_CLASS_STATUS | GENERAL_STATUS


def test_what_can_be_tried_again_says_so_in_every_protocol() -> None:
    for error in all_errors():
        if error.retryable:
            assert error.http_status in {503, 504, 507}
            assert error.c_store == 0xA700
