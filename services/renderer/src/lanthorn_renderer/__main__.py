"""``python -m lanthorn_renderer``."""


def main() -> None:
    """Run until told to stop."""
    # Each decoder process imports this module again, and would import FastAPI for nothing.
    from lanthorn_core.runtime.lifecycle import start_service  # noqa: PLC0415
    from lanthorn_renderer.app import run  # noqa: PLC0415

    start_service("renderer", run)


if __name__ == "__main__":
    main()
