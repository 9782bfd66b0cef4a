"""Checks a published dataset from its own files, whole or one image at a time."""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from data_prep.verification.audit import SplitReport, audit_dataset
    from data_prep.verification.trace import trace_image

__all__ = [
    "SplitReport",
    "audit_dataset",
    "trace_image",
]

__getattr__, __dir__ = attach(__name__)
