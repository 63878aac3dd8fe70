"""Retrieve Service Class SCU by C-GET (PS3.4 Section C.4.3)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from pynetdicom import StoragePresentationContexts

from lanthorn_core.dicom.encodings import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from lanthorn_core.errors import RemoteAEFailed
from lanthorn_core.model import Level, RemoteAE
from lanthorn_dimse import (
    Command,
    CommandField,
    DimseError,
    NoAcceptedContext,
    RequestHandler,
    Response,
    Roles,
)
from lanthorn_dimse_gateway.scu.associations import AssociationPool, Proposal
from lanthorn_dimse_gateway.scu.conversation import each_response, release
from lanthorn_dimse_gateway.scu.identifiers import TRANSFER_SYNTAXES, identifier_of
from lanthorn_dimse_gateway.scu.move import Progress, by_preference, first_accepted, part_done
from lanthorn_dimse_gateway.scu.remote_errors import remote_failure, status_failure

C_GET: Final = "C-GET"
_PATIENT_ROOT: Final = "1.2.840.10008.5.1.4.1.2.1.3"
_STUDY_ROOT: Final = "1.2.840.10008.5.1.4.1.2.2.3"
_SUCCESS: Final = 0x0000

_CONTEXTS_FOR_STORAGE: Final = 126
"""Of the 128 of an association (PS3.8 Section 7.1.1.13); the information models take two."""

_NATIVE: Final = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)

_ENCAPSULATED: Final = (
    "1.2.840.10008.1.2.4.50",  # JPEG Baseline
    "1.2.840.10008.1.2.4.51",  # JPEG Extended
    "1.2.840.10008.1.2.4.57",  # JPEG Lossless, Non-Hierarchical
    "1.2.840.10008.1.2.4.70",  # JPEG Lossless, First-Order Prediction
    "1.2.840.10008.1.2.4.80",  # JPEG-LS Lossless
    "1.2.840.10008.1.2.4.81",  # JPEG-LS Near-Lossless
    "1.2.840.10008.1.2.4.90",  # JPEG 2000 Lossless
    "1.2.840.10008.1.2.4.91",  # JPEG 2000
    "1.2.840.10008.1.2.4.100",  # MPEG2 Main Profile / Main Level
    "1.2.840.10008.1.2.4.102",  # MPEG-4 AVC/H.264 High Profile
    "1.2.840.10008.1.2.4.201",  # HTJ2K Lossless
    "1.2.840.10008.1.2.5",  # RLE Lossless
)
"""What instances are often stored in: proposed one by one, so that none has to be transcoded."""


def common_storage_classes(accepted: Collection[str]) -> tuple[str, ...]:
    """Give the storage SOP classes to propose where it is not known what will come.

    Parameters
    ----------
    accepted : collection of str
        SOP classes that we store.

    Returns
    -------
    tuple of str
        Those in common use first, as many as an association has room for.
    """
    common = [str(context.abstract_syntax) for context in StoragePresentationContexts]
    wanted = dict.fromkeys(uid for uid in (*common, *sorted(accepted)) if uid in accepted)
    return tuple(wanted)[:_CONTEXTS_FOR_STORAGE]


def propose_to_receive(
    sop_class_uids: Sequence[str], accepted_transfer_syntaxes: Collection[str]
) -> list[Proposal]:
    """Propose presentation contexts on which a peer may send us instances.

    One context takes the native transfer syntaxes of a SOP class, and one each of the encapsulated
    ones if all of them have room: a peer that chooses among several would choose before it knows
    what is stored.

    Parameters
    ----------
    sop_class_uids : sequence of str
        At most as many as an association has room for.
    accepted_transfer_syntaxes : collection of str
        What we store.
    """
    native = tuple(uid for uid in _NATIVE if uid in accepted_transfer_syntaxes)
    alone = [uid for uid in _ENCAPSULATED if uid in accepted_transfer_syntaxes]
    if len(sop_class_uids) * (len(alone) + 1) > _CONTEXTS_FOR_STORAGE:
        alone = []
    groups = [group for group in (native, *((uid,) for uid in alone)) if group]
    return [(uid, group) for uid in sop_class_uids[:_CONTEXTS_FOR_STORAGE] for group in groups]


async def get_remote(
    pool: AssociationPool,
    remote: RemoteAE,
    *,
    level: Level,
    keys: Mapping[str, str],
    storage: Iterable[Proposal],
    handler: RequestHandler,
    default_encoding: str,
    progress: Progress,
) -> None:
    """Have a remote AE send us what matches, over an association of its own.

    Who is cancelled, or whose `progress` raises, has the retrieval canceled at the remote AE.

    Parameters
    ----------
    level : Level
        At patient level the Patient Root model is preferred, else the Study Root model.
    keys : mapping
        The identifier, as `identifier_of` takes it.
    storage : iterable of (abstract syntax, transfer syntaxes)
        What we take, as `propose_to_receive` gives it.
    handler : RequestHandler
        Takes the instances.

    Raises
    ------
    RemoteAEFailed
        The remote AE is not reached, or not everything was sent and stored.
    InvalidIdentifier
        The keys make none.
    """
    models = by_preference(level, _PATIENT_ROOT, _STUDY_ROOT)
    storage = list(storage)
    contexts = [*((model, TRANSFER_SYNTAXES) for model in models), *storage]
    roles = {sop_class_uid: Roles(scu=False, scp=True) for sop_class_uid, _ in storage}
    assoc = await pool.connect(remote, contexts, roles=roles, handler=handler)

    async def pending(response: Response) -> None:
        await progress(part_done(response.command))

    try:
        context = first_accepted(assoc, models)
        command = Command(
            CommandField.C_GET_RQ,
            assoc.next_message_id(),
            has_data_set=True,
            sop_class_uid=context.abstract_syntax,
        )
        final = await each_response(
            assoc,
            context.context_id,
            command,
            identifier_of(keys, context.transfer_syntax, default_encoding),
            pending,
            timeout_s=pool.timeout_s(remote),
        )
    except NoAcceptedContext as error:
        raise remote_failure(error, remote.ae_title, C_GET) from error
    except DimseError as error:
        raise RemoteAEFailed(
            f'C-GET SCU to AET "{remote.ae_title}" has failed to receive DIMSE command'
        ) from error
    finally:
        await release(assoc)
    status = final.status or _SUCCESS
    if status != _SUCCESS:
        raise status_failure(remote.ae_title, C_GET, status)
