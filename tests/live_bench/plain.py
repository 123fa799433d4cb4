"""The plainest alternative: a Gradio image fed by a generator, same source and same inference."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import gradio as gr
from fastapi import FastAPI

from nerveseg import pipeline
from nerveseg.video.clip import Clip
from nerveseg.vision import overlay
from nerveseg.vision.segment import Segmenter
from tests.live_bench.timecode import ROWS

__all__ = ["build_plain"]


def build_plain(opener: Callable[[str], Clip], uri: str) -> FastAPI:
    """A page that shows ``uri`` with the overlay painted into each picture."""
    segmenter = Segmenter.load()

    def frames() -> Iterator[object]:
        style = overlay.OverlayStyle()
        with opener(uri) as clip:
            for result in pipeline.run(clip, segmenter):
                drawn = cv2.cvtColor(overlay.draw(result, style), cv2.COLOR_BGR2RGB)
                # What is drawn over the time code would make it unreadable.
                drawn[-ROWS:] = result.frame.pixels[-ROWS:, :, None]
                yield drawn

    with gr.Blocks(analytics_enabled=False) as page:
        picture = gr.Image(format="jpeg", elem_id="picture", show_label=False)
        page.load(frames, None, picture, show_progress="hidden")
    page.queue()
    mounted: FastAPI = gr.mount_gradio_app(FastAPI(), page, path="/")
    return mounted
