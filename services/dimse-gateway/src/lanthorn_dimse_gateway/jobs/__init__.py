"""Jobs that need DIMSE: the gateway's runners of them."""
