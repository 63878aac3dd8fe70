"""``python -m lanthorn_indexer``."""

from lanthorn_core.runtime.lifecycle import start_service
from lanthorn_indexer.app import run


def main() -> None:
    """Run until told to stop."""
    start_service("indexer", run)


if __name__ == "__main__":
    main()
