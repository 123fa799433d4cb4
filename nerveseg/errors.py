"""Every error that nerveseg raises on purpose.

::

    NervesegError
    ├── SourceError   an image, clip or device can't be opened, decoded or read
    ├── ModelError    an ONNX file is missing, foreign, or lacks its ModelSpec
    ├── DataError     a data card, download, split or label file is wrong
    └── StoreError    a result can't be written or read back

The text of each is one line that says what was got, what was expected and what to do.
The command line prints that line and ends with exit code 2; the app shows it as a notice.
"""

__all__ = ["DataError", "ModelError", "NervesegError", "SourceError", "StoreError"]


class NervesegError(Exception):
    """Root of the tree; catch this to catch all that nerveseg reports."""


class SourceError(NervesegError):
    """Pictures could not be had from a file or a device."""


class ModelError(NervesegError):
    """A model file can't be used."""


class DataError(NervesegError):
    """A dataset, card, split or label file can't be used."""


class StoreError(NervesegError):
    """A result could not be saved or read back."""
