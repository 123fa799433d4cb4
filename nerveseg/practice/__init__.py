"""Practice: what a trainee's attempt measures. Pure values in, pure values out."""

from nerveseg.practice.insertion import (
    InsertionMetrics,
    NeedleSample,
    TipStatus,
    measure,
    sample_of,
    tip_statuses,
)

__all__ = [
    "InsertionMetrics",
    "NeedleSample",
    "TipStatus",
    "measure",
    "sample_of",
    "tip_statuses",
]
