"""Clients that never give up: senders that note what was acknowledged, readers that look for it."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian

from lanthorn_core.dicom.identifiers import public_id
from lanthorn_core.dicom.part10 import read_file_meta
from lanthorn_embedded.sockets import LOOPBACK
from tests.faults.cluster import Cluster
from tests.fixtures.dicom_files import as_file, make_ct
from tests.fixtures.dimse_requestor import STUDY_ROOT_FIND, Requestor
from tests.fixtures.dimse_sender import EncodedInstance, Sender, SenderError

_FINDING = [(STUDY_ROOT_FIND, ImplicitVRLittleEndian)]
_PATIENCE_S = 30.0
_PAUSE_S = 0.3
_SETTLED_WITHIN_S = 90.0


@dataclass
class Service:
    """How a service went, as its clients saw it."""

    answers: Counter[str] = field(default_factory=Counter)
    longest_gap_s: float = 0.0
    _last_good_at: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, answer: str, *, good: bool) -> None:
        """Count an answer; a good one ends a time without service."""
        now = time.monotonic()
        with self._lock:
            self.answers[answer] += 1
            if good:
                self.longest_gap_s = max(self.longest_gap_s, now - self._last_good_at)
                self._last_good_at = now

    def begin(self) -> None:
        """Forget what was: the fault comes now."""
        with self._lock:
            self.answers.clear()
            self.longest_gap_s, self._last_good_at = 0.0, time.monotonic()

    @property
    def last_good_at(self) -> float:
        """When the last good answer came."""
        return self._last_good_at


@dataclass
class Traffic:
    """Senders and readers at work on a cluster.

    Attributes
    ----------
    acknowledged : dict
        SHA-256 of the data set by public id of the instance.
    unseen : list
        What a reader who asked after the acknowledgement was told not to exist.
    """

    cluster: Cluster
    acknowledged: dict[str, str] = field(default_factory=dict)
    study_of: dict[str, str] = field(default_factory=dict)
    stores: Service = field(default_factory=Service)
    reads: Service = field(default_factory=Service)
    finds: Service = field(default_factory=Service)
    unseen: list[str] = field(default_factory=list)
    _newest: tuple[str, str] | None = None
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def flowing(self) -> Iterator[Traffic]:
        """Send and read until the block ends."""
        works = [self._send, self._send, self._read, self._find]
        threads = [threading.Thread(target=self._run, args=(w, n)) for n, w in enumerate(works)]
        self._failures: list[BaseException] = []
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()
        assert not self._failures, self._failures

    def _run(self, work: Callable[[int], None], number: int) -> None:
        try:
            work(number)
        except BaseException as failure:
            self._failures.append(failure)

    def wait_for_service(self, *services: Service) -> None:
        """Return when each of them has given good answers since this call."""
        before = {id(service): service.last_good_at for service in services}
        give_up_at = time.monotonic() + _SETTLED_WITHIN_S
        while any(service.last_good_at == before[id(service)] for service in services):
            assert time.monotonic() < give_up_at, self.report()
            time.sleep(0.05)

    def report(self) -> str:
        """Say how it went."""
        return (
            f"stores {dict(self.stores.answers)}, reads {dict(self.reads.answers)}, "
            f"finds {dict(self.finds.answers)}, {len(self.acknowledged)} acknowledged"
        )

    def _send(self, number: int) -> None:
        attempt = number
        while not self._stop.is_set():
            dataset = make_ct(PatientID=f"S{number}", rows=64, columns=64)
            instance = EncodedInstance.of_file(as_file(dataset))
            while not self._deliver(instance, attempt):
                if self._stop.wait(_PAUSE_S):
                    return
                attempt += 1  # the other gateway, as behind a load balancer
            ids = (f"S{number}", dataset.StudyInstanceUID, dataset.SeriesInstanceUID)
            key = public_id(*ids, dataset.SOPInstanceUID)
            self.acknowledged[key] = hashlib.sha256(instance.dataset).hexdigest()
            self.study_of[key] = dataset.StudyInstanceUID
            self._newest = (key, dataset.StudyInstanceUID)
            self._stop.wait(_PAUSE_S)

    def _deliver(self, instance: EncodedInstance, attempt: int) -> bool:
        port = self.cluster.dicom_ports[attempt % 2]
        contexts = [(instance.sop_class_uid, instance.transfer_syntax_uid)]
        try:
            with Sender(LOOPBACK, port, contexts, timeout_s=_PATIENCE_S) as sender:
                status = sender.store(instance)
        except (OSError, SenderError) as error:
            self.stores.note(type(error).__name__, good=False)
            return False
        self.stores.note(f"{status:04X}", good=status == 0)
        return status == 0

    def _read(self, number: int) -> None:
        """Ask over HTTP for what was acknowledged last."""
        attempt = number
        while not self._stop.wait(_PAUSE_S):
            if self._newest is None:
                continue
            key, _ = self._newest
            try:
                status, headers, _ = self._get(f"/instances/{key}", attempt)
            except (OSError, http.client.HTTPException) as error:
                self.reads.note(type(error).__name__, good=False)
                attempt += 1
                continue
            late = "Warning" in headers
            self.reads.note(f"{status}{' with a warning' if late else ''}", good=status == 200)
            if status == 404 and not late:
                self.unseen.append(key)
            if status != 200:
                attempt += 1

    def _find(self, number: int) -> None:
        """Ask by C-FIND for the study that was acknowledged last."""
        attempt = number
        while not self._stop.wait(_PAUSE_S):
            if self._newest is None:
                continue
            _, study = self._newest
            try:
                matches = self._c_find(study, self.cluster.dicom_ports[attempt % 2])
            except (OSError, SenderError) as error:
                status = str(error) if "C-FIND ended" in str(error) else type(error).__name__
                self.finds.note(status, good=False)
                attempt += 1
                continue
            # A C-FIND cannot say that its answer may lack the newest, so none counts as no answer.
            self.finds.note("0000" if matches else "0000 without a match", good=matches == 1)

    def _c_find(self, study_instance_uid: str, port: int) -> int:
        with Requestor(LOOPBACK, port, _FINDING, timeout_s=_PATIENCE_S) as scu:
            return scu.find(_study_query(scu, study_instance_uid))

    def _get(self, path: str, attempt: int) -> tuple[int, http.client.HTTPMessage, bytes]:
        port = self.cluster.http_ports[attempt % 2]
        connection = http.client.HTTPConnection(LOOPBACK, port, timeout=_PATIENCE_S)
        with contextlib.closing(connection):
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()

    def assert_nothing_is_lost(self) -> None:
        """Find every acknowledged instance over both protocols, once, with the same bytes."""
        assert self.acknowledged
        assert not self.unseen, f"acknowledged, then not found: {self.unseen[:3]}"
        status, headers, body = self._get("/instances", 0)
        assert (status, headers["Warning"]) == (200, None)
        listed = json.loads(body)
        lost = self.acknowledged.keys() - set(listed)
        assert not lost, f"{len(lost)} of {len(self.acknowledged)} are not listed"
        assert len(listed) == len(set(listed))
        port = self.cluster.dicom_ports[0]
        with Requestor(LOOPBACK, port, _FINDING, timeout_s=_PATIENCE_S) as scu:
            for study in self.study_of.values():
                assert scu.find(_study_query(scu, study)) == 1
        connection = http.client.HTTPConnection(LOOPBACK, self.cluster.http_ports[0])
        with contextlib.closing(connection):
            for key, sha in self.acknowledged.items():
                connection.request("GET", f"/instances/{key}/file")
                answer = connection.getresponse()
                file = answer.read()
                assert answer.status == 200
                dataset = file[read_file_meta(file).dataset_offset :]
                assert hashlib.sha256(dataset).hexdigest() == sha


def _study_query(scu: Requestor, study_instance_uid: str) -> bytes:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "STUDY"
    identifier.StudyInstanceUID = study_instance_uid
    return scu.encode(STUDY_ROOT_FIND, identifier)
