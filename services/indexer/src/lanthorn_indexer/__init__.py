"""The only writer of the resource tables."""
