"""Orthanc's REST, DICOMweb and the explorer."""
