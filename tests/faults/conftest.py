"""One cluster for all tests, and the table of what they measured."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.cluster import Cluster, running_cluster
from tests.faults.traffic import Traffic
from tests.fixtures.running_lanthorn import lanthorn_folder

_rows: list[str] = []


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Run a cluster for the tests of a module; what one breaks, it mends."""
    with lanthorn_folder() as folder, running_cluster(folder) as cluster:
        yield cluster


@pytest.fixture
def traffic(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Traffic]:
    """Let senders and readers work during a test; afterwards nothing may be lost.

    The test's docstring names the fault in the table.
    """
    traffic = Traffic(cluster)
    everybody = (traffic.stores, traffic.reads, traffic.finds)
    with traffic.flowing():
        traffic.wait_for_service(*everybody)
        for service in everybody:
            service.begin()
        yield traffic
        traffic.wait_for_service(*everybody)
    cluster.wait_until_ready()
    traffic.assert_nothing_is_lost()
    gaps = " | ".join(f"{service.longest_gap_s:.1f} s" for service in everybody)
    _rows.append(f"| {request.function.__doc__} | {gaps} | {traffic.report()} |")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table of the faults."""
    if _rows:
        terminalreporter.section("faults: longest time without an answer, and all answers")
        terminalreporter.write_line("| Fault | C-STORE | HTTP | C-FIND | Answers |")
        for row in _rows:
            terminalreporter.write_line(row)
