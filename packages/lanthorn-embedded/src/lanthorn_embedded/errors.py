"""What can go wrong while the system is started, as the person at the keyboard reads it."""

from __future__ import annotations

from lanthorn_core.errors import LanthornError


class EmbeddedError(LanthornError):
    """The system cannot start or go on; the text says what to do about it."""

    slug = "embedded-failed"


class FolderInUse(EmbeddedError):
    """Another `lanthorn` works with this data folder."""

    slug = "folder-in-use"


class PortInUse(EmbeddedError):
    """Another program listens on a port that we were told to use."""

    slug = "port-in-use"


class EngineFailed(EmbeddedError):
    """PostgreSQL or nats-server cannot be installed or started here."""

    slug = "engine-failed"


class ChildFailed(EmbeddedError):
    """A process of ours died too often, or never became ready."""

    slug = "child-failed"


class NotReady(EmbeddedError):
    """A process does not serve yet; the text says what is missing."""

    slug = "not-ready"


class ConfigurationError(EmbeddedError):
    """The configuration is wrong: nothing was started."""

    slug = "wrong-configuration"
