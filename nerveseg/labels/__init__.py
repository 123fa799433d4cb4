"""Outlines and masks: from one to the other, and in and out of LabelMe and COCO files.

Points are ``x, y`` with the origin at the centre of the top-left pixel, as everywhere in
nerveseg. LabelMe and COCO count from that pixel's corner; reading and writing shift by half
a pixel, so that an outline lies on the same pixels in every tool.
"""

from nerveseg.labels.areas import Polygon, decode_runs, encode_runs, outline, rasterise
from nerveseg.labels.coco import read_coco, write_coco
from nerveseg.labels.labelme import read_labelme, write_labelme
from nerveseg.labels.untrusted import LabelledImage

__all__ = [
    "LabelledImage",
    "Polygon",
    "decode_runs",
    "encode_runs",
    "outline",
    "rasterise",
    "read_coco",
    "read_labelme",
    "write_coco",
    "write_labelme",
]
