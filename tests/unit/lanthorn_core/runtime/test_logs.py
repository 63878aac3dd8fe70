"""Log lines, in a process of their own: logging is set up once per process."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from lanthorn_core.runtime.metrics import own_version

PREAMBLE = """
import logging, warnings
import structlog
from lanthorn_core.runtime.logs import configure_logging
log = structlog.get_logger()
"""


def output_of(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PREAMBLE + code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def lines_of(code: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output_of(code).splitlines()]


def test_an_event_is_one_line_of_json_with_its_fields() -> None:
    (line,) = lines_of(
        "configure_logging('indexer')\nlog.info('batch_applied', count=3, key=b'x', took_ms=1.5)"
    )
    assert line.pop("timestamp").endswith("Z")
    assert line.pop("pid") > 0
    assert line == {
        "event": "batch_applied",
        "level": "info",
        "service": "indexer",
        "version": own_version(),
        "count": 3,
        "key": "eA==",
        "took_ms": 1.5,
    }


def test_records_of_libraries_have_the_same_form() -> None:
    (line,) = lines_of(
        "configure_logging('x')\nlogging.getLogger('nats.aio').warning('lost %s', 'server')"
    )
    assert line["event"] == "lost server"
    assert (line["level"], line["service"], line["logger"]) == ("warning", "x", "nats.aio")


def test_what_is_bound_at_the_edge_is_in_every_line() -> None:
    lines = lines_of(
        "configure_logging('x')\n"
        "with structlog.contextvars.bound_contextvars(association_id='a1'):\n"
        "    log.info('one'); logging.getLogger('nats').warning('two')\n"
        "log.info('three')"
    )
    assert [line.get("association_id") for line in lines] == ["a1", "a1", None]


def test_lines_below_the_level_are_not_written() -> None:
    lines = lines_of(
        "configure_logging('x', level='warning')\n"
        "log.info('no'); logging.getLogger('nats').info('no'); log.warning('yes')"
    )
    assert [line["event"] for line in lines] == ["yes"]


def test_an_exception_is_told_with_its_place_and_without_the_values_around_it() -> None:
    for form in ("True", "False"):
        text = output_of(
            f"configure_logging('x', json={form})\n"
            "patient_name = 'Doe' + '^' + 'Jane'\n"
            "try: 1 / 0\n"
            "except ZeroDivisionError: log.exception('store_crashed')"
        )
        assert "ZeroDivisionError" in text
        assert "Doe^Jane" not in text


def test_libraries_that_quote_data_sets_are_silent() -> None:
    lines = lines_of(
        "configure_logging('x')\n"
        "import pydicom, pynetdicom\n"
        "for name in ('pydicom', 'pynetdicom', 'pynetdicom.acse', 'uvicorn.access'):\n"
        "    logging.getLogger(name).warning('Doe^Jane')\n"
        "log.info('end')"
    )
    assert [line["event"] for line in lines] == ["end"]


def test_a_warning_that_quotes_a_data_set_is_told_without_its_text() -> None:
    lines = lines_of(
        "configure_logging('x')\n"
        "from pydicom.dataset import Dataset\n"
        "data_set = Dataset(); data_set.SOPInstanceUID = 'Doe^Jane'\n"
    )
    assert [(line["event"], line["category"]) for line in lines] == [
        ("warning_raised", "UserWarning")
    ]
    assert "Doe" not in json.dumps(lines)


def test_other_warnings_are_told_with_their_text() -> None:
    (line,) = lines_of(
        "configure_logging('x')\nwarnings.warn('mind the gap', RuntimeWarning, stacklevel=1)"
    )
    assert (line["event"], line["category"]) == ("warning_raised", "RuntimeWarning")
    assert line["text"] == "mind the gap"


def test_a_console_gets_text() -> None:
    text = output_of("configure_logging('x', json=False)\nlog.info('batch_applied', count=3)")
    assert "batch_applied" in text
    assert "count=3" in text


def test_an_unknown_level_is_refused() -> None:
    output_of(
        "try: configure_logging('x', level='loud')\n"
        "except ValueError as error: assert 'loud' in str(error)\n"
        "else: raise AssertionError"
    )
