"""``python reload.py MODULE``: run a service, and anew whenever a source of ours changes.

For compose.dev.yaml, in containers that have the checkout at ``/src``. uvicorn watches; it gives
the process that it ends the same SIGTERM as everybody.
"""

import runpy
import sys
from functools import partial

from uvicorn import Config
from uvicorn.supervisors.statreload import StatReload


def run(module: str, sockets: object = None) -> None:
    """Be the service, in a process of its own."""
    sys.argv[1:] = []
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    watched = Config(
        "", reload=True, reload_dirs=["/src/packages", "/src/services"], reload_delay=1
    )
    StatReload(watched, target=partial(run, sys.argv[1]), sockets=[]).run()
