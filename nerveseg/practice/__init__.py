"""Practice: what a trainee's attempt measures. Pure values in, pure values out."""

from nerveseg.practice.insertion import InsertionMetrics, NeedleSample, measure, sample_of

__all__ = ["InsertionMetrics", "NeedleSample", "measure", "sample_of"]
