"""``python -m lanthorn_indexer``."""

import os

from lanthorn_core.runtime.lifecycle import run_service
from lanthorn_core.runtime.logs import configure_logging
from lanthorn_core.runtime.settings import load_settings
from lanthorn_indexer.app import run


def main() -> None:
    """Parse the settings, then run until told to stop."""
    settings = load_settings(os.environ)
    configure_logging("indexer")
    run_service(lambda stop: run(settings, stop))


if __name__ == "__main__":
    main()
