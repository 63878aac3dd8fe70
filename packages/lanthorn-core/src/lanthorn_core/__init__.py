"""The shared library of Lanthorn's services: DICOM, ports, use cases, adapters."""
