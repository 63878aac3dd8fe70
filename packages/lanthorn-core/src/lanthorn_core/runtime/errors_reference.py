"""Makes ``docs/reference/errors.md`` from the classes, so that it cannot lie.

python -m lanthorn_core.runtime.errors_reference > docs/reference/errors.md
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator

from lanthorn_core.errors import ORTHANC_ERRORS, LanthornError

_HEAD = """\
# Errors

Made from `lanthorn_core/errors.py` by `make docs`. The class is the mapping: each face of the
system says of a failure what stands here. Codes follow PS3.4 Sections B.2.3 and C.4.1 to C.4.3,
PS3.7 Annex C, and Orthanc's own.

| Error | Means | HTTP | Orthanc | C-STORE | C-FIND | C-MOVE, C-GET | Retry |
|---|---|---|---|---|---|---|---|
"""


def all_errors(parent: type[LanthornError] = LanthornError) -> Iterator[type[LanthornError]]:
    """Yield a class and all below it, parents first."""
    yield parent
    for child in parent.__subclasses__():
        if child.__module__ == LanthornError.__module__:
            yield from all_errors(child)


def reference() -> str:
    """Return the whole page."""
    return _HEAD + "".join(f"| {' | '.join(_cells(error))} |\n" for error in all_errors())


def _cells(error: type[LanthornError]) -> list[str]:
    meaning = (inspect.getdoc(error) or "").partition("\n\n")[0].replace("\n", " ")
    return [
        f"`{error.__name__}` ({error.slug})",
        meaning,
        str(error.http_status),
        f"{error.orthanc_code} {ORTHANC_ERRORS[error.orthanc_code]}",
        *(f"{status:04X}" for status in (error.c_store, error.c_find, error.c_move)),
        "yes" if error.retryable else "no",
    ]


if __name__ == "__main__":
    sys.stdout.write(reference())
