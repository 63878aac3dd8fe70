"""Pure functions on DICOM data sets: files, headers, tags, identifiers, Orthanc's JSON.

Nothing in here does any input or output, and nothing needs more of this project than
`lanthorn_core.errors`. Data sets come from the wire, so every module takes them for hostile:
what does not add up raises `lanthorn_core.errors.InvalidDataset`, in bounded time and memory.
"""
