"""A rolling restart, as an upgrade does it, while clients are at work: nobody notices."""

from __future__ import annotations

import pytest

from tests.faults.cluster import Cluster
from tests.faults.traffic import Service, Traffic

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]


def restart(cluster: Cluster, name: str) -> None:
    """Let one process end in order, and start it again."""
    service = cluster.services[name]
    service.stop()
    service.start()
    service.wait_until_ready()


def assert_never_unwell(service: Service, *good: str) -> None:
    """See that what was answered was good; a refused or ended connection is no answer."""
    unwell = [answer for answer in service.answers if answer[0].isdigit() and answer not in good]
    assert not unwell, service.answers
    assert not any("C-FIND ended" in answer for answer in service.answers), service.answers


@pytest.mark.parametrize("kind", ["gateway", "rest-api", "indexer", "renderer"])
def test_a_rolling_restart_answers_nobody_with_an_error(
    cluster: Cluster, traffic: Traffic, kind: str
) -> None:
    """SIGTERM of one replica after the other"""
    everybody = (traffic.stores, traffic.reads, traffic.finds)
    for name in cluster.services:
        if name.startswith(kind):
            restart(cluster, name)
            traffic.wait_for_service(*everybody)
    assert_never_unwell(traffic.stores, "0000")
    assert_never_unwell(traffic.reads, "200")
    assert_never_unwell(traffic.finds, "0000")


def test_a_standby_takes_over_at_once_from_an_indexer_that_ends(
    cluster: Cluster, traffic: Traffic
) -> None:
    """SIGTERM of the indexer that writes"""
    active = cluster.active_indexer()
    active.stop()
    traffic.wait_for_service(traffic.reads, traffic.finds)
    # Far below the time after which readers would be answered without the newest.
    assert max(traffic.reads.longest_gap_s, traffic.finds.longest_gap_s) < 8
    assert_never_unwell(traffic.reads, "200")
    active.start()
    active.wait_until_ready()
