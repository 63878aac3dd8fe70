from datetime import UTC, datetime

from lanthorn_embedded.loglines import (
    LogRecord,
    Severity,
    read_nats_line,
    read_postgres_line,
    read_service_line,
)


def test_a_line_of_structlog_keeps_its_time_its_level_and_its_fields() -> None:
    record = read_service_line(
        "gateway-2",
        '{"event": "instance_stored", "level": "warning", "service": "dimse-gateway", '
        '"timestamp": "2026-02-03T04:05:06.789Z", "size_bytes": 12}',
    )
    assert record == LogRecord(
        datetime(2026, 2, 3, 4, 5, 6, 789000, tzinfo=UTC),
        "gateway-2",
        Severity.WARNING,
        "instance_stored",
        {"size_bytes": 12},
    )


def test_a_traceback_is_kept_apart_from_the_fields() -> None:
    record = read_service_line("indexer", '{"event": "x_crashed", "exception": "Traceback\\n!"}')
    assert record.trace == "Traceback\n!"
    assert record.fields == {}


def test_a_time_without_zone_is_taken_as_universal() -> None:
    record = read_service_line("indexer", '{"event": "x", "timestamp": "2026-02-03T04:05:06"}')
    assert record.time == datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)


def test_what_a_service_merely_prints_is_a_warning() -> None:
    for line in ("Segmentation fault", "[1, 2]", "17"):
        record = read_service_line("renderer", line)
        assert (record.event, record.severity) == (line, Severity.WARNING)


def test_nats_levels_are_understood() -> None:
    assert read_nats_line("nats", "[7] [INF] Server is ready").severity is Severity.INFO
    assert read_nats_line("nats", "[7] [INF] ").severity is Severity.INFO
    record = read_nats_line("nats", "[7] [ERR] disk is full")
    assert (record.event, record.severity) == ("disk is full", Severity.ERROR)
    assert read_nats_line("nats", "panic: oh").severity is Severity.WARNING


def test_the_expected_remark_of_nats_on_its_password_is_no_warning() -> None:
    line = "[7] [WRN] Plaintext passwords detected, use nkeys or bcrypt"
    assert read_nats_line("nats", line).severity is Severity.INFO
    assert read_nats_line("nats", "[7] [WRN] anything else").severity is Severity.WARNING


def test_postgres_levels_are_understood() -> None:
    record = read_postgres_line("postgres", "LOG:  database system is ready")
    assert (record.event, record.severity) == ("database system is ready", Severity.INFO)
    line = 'ERROR:  relation "a" does not exist'
    assert read_postgres_line("postgres", line).severity is Severity.WARNING
    assert read_postgres_line("postgres", "PANIC:  no").severity is Severity.CRITICAL


def test_connections_ended_by_a_stop_are_routine() -> None:
    line = "FATAL:  terminating connection due to administrator command"
    assert read_postgres_line("postgres", line).severity is Severity.INFO
    assert read_postgres_line("postgres", "FATAL:  no memory").severity is Severity.WARNING


def test_a_record_written_as_json_reads_back_the_same() -> None:
    record = LogRecord(
        datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC), "nats", Severity.ERROR, "é", {"n": 1}, "T"
    )
    assert read_service_line("nats", record.as_json()) == record
