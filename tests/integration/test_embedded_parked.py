"""`lanthorn parked`, with and without a running system."""

import asyncio
import json
from pathlib import Path

from lanthorn_core.adapters.bus_nats.connection import DEAD_SUBJECT, connect
from tests.fixtures.processes import wait_for_no_process
from tests.fixtures.running_lanthorn import lanthorn_folder, lanthorn_up
from tests.integration.test_embedded_up import lanthorn


async def park(nats_url: str) -> None:
    """Put an event where the indexer puts what it gave up on."""
    async with connect(nats_url, name="test") as client:
        headers = {"Lanthorn-Error": "ValueError: \x1b[31mred", "Lanthorn-Sequence": "5"}
        await client.jetstream().publish(DEAD_SUBJECT, b"no event", headers=headers)


def test_parked_events_are_listed_and_tried_again() -> None:
    with lanthorn_folder() as folder:
        data = str(folder / "data")
        with lanthorn_up(folder) as running:
            assert lanthorn("parked", "--data", data)[:2] == (0, "No event is parked.\n")
            asyncio.run(park(running.state.nats_url))
            code, said, complaint = lanthorn("parked", "--data", data)
            assert (code, said) == (0, "1  no object\n    ValueError: ?[31mred\n"), complaint
        check_without_a_running_system(folder, data)


def check_without_a_running_system(folder: Path, data: str) -> None:
    code, said, _ = lanthorn("parked", "--data", data, "--log-format", "json")
    assert code == 0
    [shown] = [event for line in said.splitlines() if is_parked(event := json.loads(line))]
    assert (shown["number"], shown["sequence"], shown["object_key"]) == (1, 5, None)
    code, said, _ = lanthorn("parked", "--retry", "1", "--data", data)
    assert (code, said.splitlines()[-1]) == (0, "Event 1 will be tried again.")
    code, _, complaint = lanthorn("parked", "--retry", "1", "--data", data)
    assert (code, complaint) == (1, "lanthorn: there is no parked event 1\n")
    wait_for_no_process(folder)


def is_parked(event: dict[str, object]) -> bool:
    return event["event"] == "event_parked"
