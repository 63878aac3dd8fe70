"""``python -m lanthorn_core.runtime.healthcheck``: ask the service of this container if it is up.

It asks ``/readyz`` on the port of `LANTHORN_LISTEN` and ends with 0 or 1. A container's engine runs
it every few seconds, so that it imports next to nothing.
"""

from __future__ import annotations

import http.client
import os
import sys
from typing import Final

TIMEOUT_S: Final = 15.0


def main() -> int:
    """Return the exit code: 0 when the service says that it is ready."""
    port = os.environ.get("LANTHORN_LISTEN", "").rpartition(":")[2]
    if not port.isdecimal():
        sys.stderr.write("LANTHORN_LISTEN is not host:port\n")
        return 1
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        sys.stdout.write(answer.read().decode("utf-8", errors="replace"))
    except (OSError, http.client.HTTPException) as error:
        sys.stderr.write(f"no answer on port {port}: {error}\n")
        return 1
    finally:
        connection.close()
    return 0 if answer.status == http.client.OK else 1


if __name__ == "__main__":
    sys.exit(main())
