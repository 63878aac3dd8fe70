"""The event stream on NATS JetStream.

Two streams. `DICOM` holds what the indexer has not yet applied: a work queue, so that an
acknowledged event is gone. `DICOM_ASIDE` holds what failed: events that are tried again, and those
that were given up on ("parked"), which stay until someone retries them.
"""
