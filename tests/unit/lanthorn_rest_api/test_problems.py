"""Errors on our own routes."""

from __future__ import annotations

import json

from lanthorn_core.errors import BusUnavailable
from lanthorn_rest_api.orthanc_errors import error_answer

SCOPE = {"type": "http", "method": "GET", "path": "/lanthorn/parked-events"}


def test_a_dependency_that_is_away_is_a_problem_to_try_again_after() -> None:
    answer = error_answer(BusUnavailable("NATS does not answer"), SCOPE, describe=True)
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"] == "1"
    assert json.loads(answer.body) == {
        "type": "/problems/bus-unavailable",
        "title": "Bus unavailable",
        "status": 503,
        "detail": "NATS does not answer",
    }


def test_nothing_is_told_of_an_unforeseen_failure() -> None:
    answer = error_answer(ZeroDivisionError("a secret"), SCOPE, describe=True)
    assert json.loads(answer.body) == {
        "type": "/problems/internal-error",
        "title": "Internal error",
        "status": 500,
    }


def test_errors_that_are_not_described_have_no_body() -> None:
    answer = error_answer(BusUnavailable("NATS does not answer"), SCOPE, describe=False)
    assert (answer.status_code, answer.body) == (503, b"")


def test_on_orthancs_routes_errors_are_orthancs() -> None:
    answer = error_answer(BusUnavailable(), SCOPE | {"path": "/patients"}, describe=True)
    assert answer.headers["content-type"] == "text/plain"
    assert json.loads(answer.body)["OrthancStatus"] == 36
