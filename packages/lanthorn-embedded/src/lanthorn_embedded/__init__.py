"""The whole system as one command."""
