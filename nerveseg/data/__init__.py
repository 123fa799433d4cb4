"""Datasets: cards, samples with their known classes, splits, downloads, checks."""

from nerveseg.data import cards, splits
from nerveseg.data.checking import check
from nerveseg.data.reading import samples, samples_or_errors

__all__ = ["cards", "check", "samples", "samples_or_errors", "splits"]
