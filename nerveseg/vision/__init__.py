"""From pixels to structures: preprocessing, segmentation, overlay and measures."""
