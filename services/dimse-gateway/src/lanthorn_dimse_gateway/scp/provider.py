"""What a service of the gateway is to the associations that carry it.

A provider answers the requests of one service class. Its associations, permissions and failures
are the dispatcher's business (`dispatcher.py`): a provider says what it offers and serves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol, runtime_checkable

from lanthorn_dimse import Association, CommandField, DataSetSink, Request
from lanthorn_dimse_gateway.access import Service


class ServiceProvider(Protocol):
    """One service class as SCP (PS3.4)."""

    @property
    def command(self) -> CommandField:
        """The request that it answers."""
        ...

    @property
    def service(self) -> Service:
        """Whose permission a peer needs; without it the dispatcher answers 0124."""
        ...

    @property
    def abstract_syntaxes(self) -> Mapping[str, tuple[str, ...]]:
        """SOP classes offered, each with its transfer syntaxes in our order of preference.

        Two providers may answer the same request for different SOP classes: C-FIND of studies and
        of worklists. Empty means the storage classes, which have a policy of their own.
        """
        ...

    async def serve(self, assoc: Association, request: Request) -> None:
        """Answer one request: send all of its responses, the final one included.

        Who asks is `requestor_of(assoc)`; `request.cancelled` is set by a C-CANCEL.

        Raises
        ------
        LanthornError
            Before the final response: the dispatcher sends one with the status of the error's
            class for this request and its details as Error Comment (0000,0902). Anything else
            that is raised is a bug, logged and answered C001.
        """
        ...


@runtime_checkable
class StreamingProvider(ServiceProvider, Protocol):
    """A service whose data sets are taken as they arrive, not collected in memory."""

    def begin(self, assoc: Association, request: Request, *, permitted: bool) -> DataSetSink:
        """Make what takes the data set; `serve` finds it in `request.sink`.

        The data set of a peer that may not ask (`permitted`) comes all the same, to be dropped.
        """
        ...


@runtime_checkable
class ExtendedProvider(ServiceProvider, Protocol):
    """A service with SOP Class Extended Negotiation (PS3.7 Section D.3.3.5)."""

    def answer_extended(self, abstract_syntax: str, proposed: bytes) -> bytes | None:
        """Answer proposed service class application information; None leaves it unanswered."""
        ...


class ServiceDirectory:
    """The services of a process, found by request and SOP class.

    Parameters
    ----------
    providers : iterable of ServiceProvider
        In any order; of two for the same request and SOP class the first counts.
    """

    def __init__(self, providers: Iterable[ServiceProvider]) -> None:
        self._by_class: dict[tuple[CommandField, str], ServiceProvider] = {}
        self._for_storage: dict[CommandField, ServiceProvider] = {}
        self._streaming: dict[int, StreamingProvider] = {}
        self._extended: dict[str, ExtendedProvider] = {}
        self.abstract_syntaxes: dict[str, tuple[str, ...]] = {}
        for provider in providers:
            offered = provider.abstract_syntaxes
            if isinstance(provider, StreamingProvider):
                self._streaming[id(provider)] = provider
            if not offered:
                self._for_storage.setdefault(provider.command, provider)
            for abstract_syntax, transfer_syntaxes in offered.items():
                self._by_class.setdefault((provider.command, abstract_syntax), provider)
                self.abstract_syntaxes.setdefault(abstract_syntax, transfer_syntaxes)
                if isinstance(provider, ExtendedProvider):
                    self._extended.setdefault(abstract_syntax, provider)

    def answer_extended(self, abstract_syntax: str, proposed: bytes) -> bytes | None:
        """Answer the extended negotiation of a SOP class; None where nobody knows of it."""
        provider = self._extended.get(abstract_syntax)
        return None if provider is None else provider.answer_extended(abstract_syntax, proposed)

    def streaming(self, provider: ServiceProvider | None) -> StreamingProvider | None:
        """Return a provider if it takes data sets as they arrive: told without looking it over."""
        return self._streaming.get(id(provider))

    def provider(self, command: CommandField, abstract_syntax: str) -> ServiceProvider | None:
        """Find who answers a request in a presentation context; None when nobody does."""
        found = self._by_class.get((command, abstract_syntax))
        return found if found is not None else self._for_storage.get(command)
