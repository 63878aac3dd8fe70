"""``python -m lanthorn_dimse_gateway``: read the settings, run until told to stop."""

from lanthorn_core.runtime.lifecycle import start_service
from lanthorn_dimse_gateway.app import run

if __name__ == "__main__":
    start_service("dimse-gateway", run)
