"""Every DIMSE exchange, in and out."""
