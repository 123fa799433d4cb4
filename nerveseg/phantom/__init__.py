"""Synthetic B-mode clips with exact truth for every class and the needle.

::

    phantom = Phantom("axillary", seed=3, needle=True)
    for shot in phantom.frames(120):
        shot.frame.pixels, shot.truth["nerve"], shot.needle
"""

from nerveseg.phantom.blocks import blocks
from nerveseg.phantom.phantom import Phantom
from nerveseg.phantom.probe import PROBES
from nerveseg.phantom.uri import parse_uri
from nerveseg.phantom.values import TRUTH_CLASSES, Difficulty, NeedleTruth, PhantomFrame

__all__ = [
    "PROBES",
    "TRUTH_CLASSES",
    "Difficulty",
    "NeedleTruth",
    "Phantom",
    "PhantomFrame",
    "blocks",
    "parse_uri",
]
