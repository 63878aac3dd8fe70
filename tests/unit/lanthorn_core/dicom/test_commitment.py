from __future__ import annotations

import pytest
from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from lanthorn_core.dicom.commitment import (
    ALL_COMMITTED,
    FAILURES_EXIST,
    CommitmentFailure,
    CommitmentRequest,
    CommitmentResult,
    SopReference,
    decode_request,
    decode_result,
    encode_request,
    encode_result,
    new_transaction_uid,
)
from lanthorn_core.dicom.encodings import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from lanthorn_core.errors import InvalidDataset

CT = SopReference("1.2.840.10008.5.1.4.1.1.2", "1.2.3.1")
MR = SopReference("1.2.840.10008.5.1.4.1.1.4", "1.2.3.2")


@pytest.mark.parametrize("syntax", [EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN])
@pytest.mark.parametrize("references", [(), (CT,), (CT, MR, CT)])
def test_requests_survive_the_wire(syntax: str, references: tuple[SopReference, ...]) -> None:
    request = CommitmentRequest("1.2.77", references)
    assert decode_request(encode_request(request, syntax), syntax) == request


@pytest.mark.parametrize("syntax", [EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN])
def test_results_survive_the_wire(syntax: str) -> None:
    result = CommitmentResult("1.2.77", (CT,), (CommitmentFailure(MR, 0x0112),))
    assert decode_result(encode_result(result, syntax), syntax) == result
    assert result.event_type_id == FAILURES_EXIST
    assert CommitmentResult("1.2.77", (CT,), ()).event_type_id == ALL_COMMITTED


@pytest.mark.parametrize("uid", ["", "abc", "1." * 40, "1.2\\1.3"])
def test_what_is_no_uid_is_refused(uid: str) -> None:
    encoded = encode_request(CommitmentRequest(uid, ()), EXPLICIT_VR_LITTLE_ENDIAN)
    with pytest.raises(InvalidDataset, match="no UID"):
        decode_request(encoded, EXPLICIT_VR_LITTLE_ENDIAN)


def test_half_a_request_is_refused() -> None:
    encoded = encode_request(CommitmentRequest("1.2.77", (CT, MR)), EXPLICIT_VR_LITTLE_ENDIAN)
    for end in range(1, len(encoded)):
        try:
            request = decode_request(encoded[:end], EXPLICIT_VR_LITTLE_ENDIAN)
        except InvalidDataset:
            continue
        assert request.references == ()  # cut between two elements


def test_sequences_of_undefined_length_are_read_as_well() -> None:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = (
        CT.sop_class_uid,
        CT.sop_instance_uid,
    )
    item.PurposeOfReferenceCodeSequence = [Dataset()]
    item.is_undefined_length_sequence_item = True
    dataset = Dataset()
    dataset.TransactionUID = "1.2.77"
    dataset.ReferencedSOPSequence = [item, item]
    dataset["ReferencedSOPSequence"].is_undefined_length = True
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = True, False
    write_dataset(stream, dataset)
    request = decode_request(stream.getvalue(), EXPLICIT_VR_LITTLE_ENDIAN)
    assert request == CommitmentRequest("1.2.77", (CT, CT))


def test_transaction_uids_are_valid_and_differ() -> None:
    uids = {new_transaction_uid() for _ in range(100)}
    assert len(uids) == 100
    assert all(uid.startswith("2.25.") and len(uid) <= 64 for uid in uids)
