"""What is measured: the table's rows, and the data that they ask for."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pydicom.dataset import Dataset

from tests.benchmarks import loads
from tests.benchmarks.instances import make_instances, make_patients, study_uid
from tests.benchmarks.loads import Outcome, Target
from tests.fixtures.dimse_requestor import STUDY_ROOT_GET, STUDY_ROOT_MOVE

MATCHES = 21
SLICES = 125
_SLICES_RUN = 80_000
"""Number of the run that made the study to be retrieved; those of the rows stay below."""


@dataclass(frozen=True)
class Row:
    """One line of the table; `unit` says what is counted, `stores` that it adds instances."""

    name: str
    unit: str
    run: Callable[[Target, int], list[Outcome]]
    stores: bool = False


def prepare(target: Target) -> None:
    """Store what is searched for and retrieved."""
    loads.keep(target, make_patients(MATCHES))
    loads.keep(target, make_instances("ct", SLICES, run=_SLICES_RUN))


def rows(scale: float) -> Iterator[Row]:
    """Yield the rows in their order: slices are stored first, to be fetched then."""

    def n(count: int) -> int:
        return max(20, int(count * scale))

    yield store_row("ct", n(250), 1)
    yield store_row("ct", n(125), 4)
    yield store_row("small", n(1000), 1)
    yield store_row("small", n(500), 4)
    if shutil.which("storescu"):
        # So many that storescu's own start, a tenth of a second, does not count for much.
        yield storescu_row("ct", n(300))
        yield storescu_row("small", n(300))
    for clients in (1, 8):
        yield find_row(f"{MATCHES} matches", every_found_patient(), MATCHES, n(400), clients)
    for clients in (1, 8):
        yield find_row("by PatientID", one_patient(), 1, n(1000), clients)
    for clients in (1, 8):
        yield find_row(f"{MATCHES} matches with counts", with_counts(), MATCHES, n(200), clients)
    yield retrieve_row("C-GET", STUDY_ROOT_GET)
    yield retrieve_row("C-MOVE", STUDY_ROOT_MOVE)
    yield fetch_row("GET file (0.5 MB)", "file", n(1000), 1)
    yield fetch_row("GET file (0.5 MB)", "file", n(250), 8)
    yield fetch_row("preview PNG 512x512", "preview", n(100), 1)
    yield fetch_row("preview PNG 512x512", "preview", n(25), 8)


def store_row(kind: str, count: int, clients: int) -> Row:
    """C-STORE of `count` instances on each association; the index must keep up."""

    def run(target: Target, number: int) -> list[Outcome]:
        return loads.store(target, kind, count, number, clients)

    return Row(f"C-STORE {kind}, {_many(clients, 'association')}", "instances/s", run, stores=True)


def storescu_row(kind: str, count: int) -> Row:
    """C-STORE by DCMTK's storescu, its start included."""

    def run(target: Target, number: int) -> list[Outcome]:
        return loads.storescu(target, kind, count, 50_000 + number)

    return Row(f"storescu as installed, {kind}", "instances/s", run, stores=True)


def find_row(what: str, identifier: Dataset, matches: int, requests: int, clients: int) -> Row:
    """C-FIND at study level."""

    def run(target: Target, _number: int) -> list[Outcome]:
        return loads.find(target, identifier, matches, requests, clients)

    return Row(f"C-FIND {what}, {_many(clients, 'association')}", "queries/s", run)


def retrieve_row(name: str, model: str) -> Row:
    """Retrieval of a study of slices over one association, again and again."""

    def run(target: Target, _number: int) -> list[Outcome]:
        return loads.retrieve(target, model, study_uid(_SLICES_RUN), SLICES, 10)

    return Row(f"{name} of {SLICES} ct", "studies/s", run)


def fetch_row(name: str, suffix: str, requests: int, clients: int) -> Row:
    """GET requests over a hundred instances that are stored already."""

    def run(target: Target, _number: int) -> list[Outcome]:
        (study,) = target.lookup(study_uid(_SLICES_RUN))
        ids = [instance["ID"] for instance in target.get(f"/studies/{study}/instances")][:100]
        return loads.fetch(target, [f"/instances/{id_}/{suffix}" for id_ in ids], requests, clients)

    return Row(f"{name}, {_many(clients, 'client')}", "requests/s", run)


def every_found_patient() -> Dataset:
    """Ask for ten attributes of the studies that `prepare` stored."""
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "STUDY"
    identifier.StudyDate = identifier.StudyTime = identifier.AccessionNumber = ""
    identifier.StudyDescription = identifier.PatientID = ""
    identifier.PatientBirthDate = identifier.PatientSex = ""
    identifier.StudyInstanceUID = identifier.StudyID = ""
    identifier.PatientName = "Found^*"
    return identifier


def one_patient() -> Dataset:
    """Ask for the same of one patient."""
    identifier = every_found_patient()
    identifier.PatientName = ""
    identifier.PatientID = "F0007"
    return identifier


def with_counts() -> Dataset:
    """Ask for what is computed as well (PS3.4 Section C.3.4)."""
    identifier = every_found_patient()
    identifier.ModalitiesInStudy = ""
    identifier.NumberOfStudyRelatedSeries = identifier.NumberOfStudyRelatedInstances = ""
    return identifier


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count > 1)}"
