"""How smooth a movement is, by the spectrum of its speed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["spectral_arc_length"]

_PADDING = 16
_LEAST_AMPLITUDE = 0.05
_TOP_HZ = 10.0


def spectral_arc_length(speed: npt.NDArray[np.float64], rate_hz: float) -> float | None:
    """SPARC: minus the arc length of a movement's normalised speed spectrum.

    ``speed`` is ``float64`` ``(n,)``, evenly sampled ``rate_hz`` times a second, in any unit:
    neither unit nor scale of the speed matters. About -1.5 for one even stroke; each pause and
    hesitation takes it further down. With ``V`` the amplitude spectrum and
    ``A(f) = V(f) / V(0)``::

        SPARC = - integral from 0 to fc of sqrt((1 / fc)² + (dA/df)²) df

    ``fc`` is the last frequency, at most 10 Hz, at which ``A`` reaches 0.05. ``None`` where
    nothing moves or fewer than 4 samples are there. From Balasubramanian, Melendez-Calderon,
    Roby-Brami and Burdet, *On the analysis of movement smoothness*, J NeuroEng Rehabil 12:112,
    2015 (and, as SPAL, IEEE Trans Biomed Eng 59(8), 2012).
    """
    if len(speed) < 4 or not np.any(speed > 0):
        return None
    # Padding makes the spectrum's steps fine enough for the length of its curve.
    points = _PADDING * 2 ** int(np.ceil(np.log2(len(speed))))
    amplitude = np.abs(np.fft.rfft(speed, points))
    amplitude /= amplitude[0]
    frequency = np.fft.rfftfreq(points, 1 / rate_hz)
    loud = np.flatnonzero((amplitude >= _LEAST_AMPLITUDE) & (frequency <= _TOP_HZ))
    amplitude, frequency = amplitude[: loud[-1] + 1], frequency[: loud[-1] + 1]
    if len(frequency) < 2:
        return None
    steps = np.hypot(np.diff(frequency) / frequency[-1], np.diff(amplitude))
    return -float(steps.sum())
