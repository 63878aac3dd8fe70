"""What the use cases need of the world outside, as Protocols."""
