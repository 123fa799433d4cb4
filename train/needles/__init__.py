"""Needles that are drawn, not labelled: training pictures with exact truth for shaft and tip.

No set of real insertions may be trained on, so needles are rendered into real tissue, gel and the
phantom, beside things that look like needles and are none.

- `fields`: where the picture has an image at all, which way its sound travels; sectors
- `grounds`: gel, water bath and membranes, drawn from nothing
- `render`: one needle's echo, with its reverberations, ghost and shadow
- `distractors`: bright things that must not be taken for a needle
- `scenes`: all of them put together into one labelled picture
"""
