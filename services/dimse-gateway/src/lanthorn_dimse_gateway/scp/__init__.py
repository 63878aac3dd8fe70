"""The services that the gateway provides, free of the transport that carries them."""
