"""Services that the gateway uses of other application entities (SCU)."""
