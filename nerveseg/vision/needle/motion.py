"""How a needle moves in the picture: one Kalman filter over its line and its tip.

The state is the tip's place, the needle's direction, and the velocities of both::

    x, y, angle, x', y', angle'        pixels, radians, per second

The line is known by its tip and its direction, so that one filter holds both. A frame measures
three things, each against the filter's own prediction: how far the tip lies *along* the needle,
how far the line lies *across* it, and the direction. A frame that shows the shaft without its
tip measures the last two alone. ``angle`` is that of the way from entry to tip, ``atan2`` of
``y`` down and ``x`` right, over the whole circle: a needle from the right is no needle from the
left turned round.

Prediction and correction are OpenCV's (`cv2.KalmanFilter`). The noise of the motion is white
acceleration (Bar-Shalom, Li and Kirubarajan, *Estimation with Applications to Tracking and
Navigation*, 2001, section 6.3.2) of a hand that holds still, and a sudden change of speed is
added whenever the measurements say so: a still tip is smoothed and a moving one doesn't lag.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from nerveseg.types import Needle, Point
from nerveseg.vision.needle.settings import Motion

__all__ = ["MotionFilter"]

_Floats = npt.NDArray[np.float64]

_SHORTEST_LEVER = 0.02
"""Share of the diagonal: a shaft that shows less than this tells next to no direction."""

_ANYWHERE = 0.25
"""Share of the diagonal: how little is known of a tip that isn't seen."""

_SUDDEN = 2.5
_PERSISTENT = 1.5
"""Standard deviations: a surprise of the first at once, or of the second twice the same way."""


class MotionFilter:
    """The filter of one needle, begun from one observation.

    With ``tip`` False the tip's place along the line is taken for unknown: only the line counts.
    """

    def __init__(self, needle: Needle, diagonal_px: float, motion: Motion, *, tip: bool) -> None:
        self._motion = motion
        self._px = diagonal_px
        self._dt_s = 0.0
        self._last_surprise = np.zeros(3)
        self._kalman = cv2.KalmanFilter(6, 3, 0, cv2.CV_64F)
        angle = _angle(needle) if _reach(needle) > 0 else math.pi / 2
        self._set_state(np.array([*needle.tip_xy, angle, 0.0, 0.0, 0.0]))
        along = 3 * motion.along_noise if tip else _ANYWHERE
        across, turn = 3 * motion.across_noise, self._angle_noise(needle)
        covariance = np.zeros((6, 6))
        covariance[:3, :3] = self._axes(along, across, turn)
        covariance[3:, 3:] = self._axes(
            motion.jump_along / 2, motion.jump_across / 2, motion.jump_turn / 2
        )
        self._kalman.errorCovPre = self._kalman.errorCovPost = covariance

    @property
    def tip_xy(self) -> Point:
        """The tip, as far as it is known by now."""
        x, y = self._state[:2]
        return float(x), float(y)

    @property
    def direction(self) -> Point:
        """Unit vector from entry to tip."""
        angle = float(self._state[2])
        return math.cos(angle), math.sin(angle)

    @property
    def advance(self) -> float:
        """Pixels per second along the needle; below zero for one that is drawn back."""
        (c, s), (x, y) = self.direction, self._state[3:5]
        return float(c * x + s * y)

    def on_line(self, point: Point) -> Point:
        """The nearest point of the needle's line."""
        (x, y), (along_x, along_y) = self.tip_xy, self.direction
        ahead = (point[0] - x) * along_x + (point[1] - y) * along_y
        return x + ahead * along_x, y + ahead * along_y

    def predict(self, dt_s: float, *, coasting: bool) -> None:
        """Move on by ``dt_s`` (0 or more) seconds; one who is ``coasting`` is losing speed."""
        motion = self._motion
        self._dt_s = dt_s
        kept = math.exp(-dt_s / motion.coast_s) if coasting else 1.0
        step = np.kron([[1.0, dt_s], [0.0, kept]], np.eye(3))
        hand = self._axes(motion.still_along, motion.still_across, motion.still_turn)
        reach = np.array([dt_s**2 / 2, dt_s])
        self._kalman.transitionMatrix = step
        self._kalman.processNoiseCov = np.kron(np.outer(reach, reach), hand)
        self._kalman.predict()

    def distance(self, needle: Needle) -> float:
        """Squared Mahalanobis distance of the whole needle (3 degrees of freedom)."""
        return self._distance(needle, [0, 1, 2])

    def line_distance(self, needle: Needle) -> float:
        """Squared Mahalanobis distance of its line alone (2 degrees of freedom)."""
        return self._distance(needle, [1, 2], tip=False)

    def correct(self, needle: Needle, *, tip: bool) -> None:
        """Take in an observation: the whole needle, or its line alone."""
        seen, noise, looks = self._measure(needle, tip=tip)
        before = np.asarray(self._kalman.errorCovPre)
        spread = np.diag(looks @ before @ looks.T + noise)
        surprise = np.where(looks.any(axis=1), seen / np.sqrt(spread), 0.0)
        self._kalman.errorCovPre = before + self._jump(*self._starts(surprise))
        self._last_surprise = surprise
        self._kalman.measurementMatrix = looks
        self._kalman.measurementNoiseCov = noise
        self._kalman.correct(looks @ np.asarray(self._kalman.statePre) + seen[:, None])
        # Rounding would make the covariance ever less symmetric, and in the end negative.
        after = np.asarray(self._kalman.errorCovPost)
        self._kalman.errorCovPost = (after + after.T) / 2
        self._limit()

    @property
    def _state(self) -> _Floats:
        return np.asarray(self._kalman.statePost, dtype=np.float64)[:, 0]

    def _set_state(self, state: _Floats) -> None:
        self._kalman.statePre = self._kalman.statePost = state[:, None].copy()

    def _axes(self, along: float, across: float, turn: float) -> _Floats:
        """Covariance of ``x, y, angle`` from deviations along and across (shares of diagonal)."""
        (c, s), px = self.direction, self._px
        basis = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
        return np.asarray(basis * np.array([along * px, across * px, turn]) ** 2 @ basis.T)

    def _jump(self, along: float, across: float, turn: float) -> _Floats:
        """What a change of speed at the last frame adds to the covariance, by shares 0..1."""
        motion = self._motion
        speeds = self._axes(
            along * motion.jump_along, across * motion.jump_across, turn * motion.jump_turn
        )
        reach = np.array([self._dt_s, 1.0])
        return np.asarray(np.kron(np.outer(reach, reach), speeds))

    def _starts(self, surprise: _Floats) -> npt.NDArray[np.bool_]:
        """Whether the needle has changed its speed: along, across, in angle."""
        last = self._last_surprise
        twice = (np.minimum(abs(surprise), abs(last)) > _PERSISTENT) & (surprise * last > 0)
        return np.asarray(twice | (abs(surprise) > _SUDDEN))

    def _measure(self, needle: Needle, *, tip: bool) -> tuple[_Floats, _Floats, _Floats]:
        """Measured minus predicted (along, across, angle), its noise, and the 3×6 matrix."""
        c, s = self.direction
        looks = np.zeros((3, 6))
        looks[0, :2], looks[1, :2], looks[2, 2] = (c * tip, s * tip), (-s, c), 1.0
        turned = _wrapped(_angle(needle) - float(self._state[2])) if _reach(needle) > 0 else 0.0
        turn_noise = self._angle_noise(needle)
        at, arm = self._line_beside_tip(needle, tip=tip)
        away = np.array(at) - self.tip_xy
        seen = np.array(
            [c * away[0] + s * away[1] if tip else 0.0, c * away[1] - s * away[0], turned]
        )
        across = math.hypot(self._motion.across_noise * self._px, arm * turn_noise)
        along = self._motion.along_noise * self._px
        return seen, np.diag(np.array([along, across, turn_noise]) ** 2), looks

    def _line_beside_tip(self, needle: Needle, *, tip: bool) -> tuple[Point, float]:
        """A point of the observed line beside the tip, and how far the shaft's echo is from it.

        Without a tip the line is drawn on from the middle of what shows, and its place gets
        less sure with the length of that arm.
        """
        if tip:
            return needle.tip_xy, 0.0
        (ax, ay), (bx, by) = needle.shaft_xy
        middle = ((ax + bx) / 2, (ay + by) / 2)
        angle = _angle(needle) if _reach(needle) > 0 else float(self._state[2])
        c, s = math.cos(angle), math.sin(angle)
        x, y = self.tip_xy
        arm = (x - middle[0]) * c + (y - middle[1]) * s
        return (middle[0] + arm * c, middle[1] + arm * s), abs(arm)

    def _angle_noise(self, needle: Needle) -> float:
        """Radians: both ends of the echo are off by the same noise, over the way between them."""
        lever = max(math.dist(*needle.shaft_xy), _SHORTEST_LEVER * self._px)
        return math.sqrt(2) * self._motion.across_noise * self._px / lever

    def _distance(self, needle: Needle, rows: list[int], *, tip: bool = True) -> float:
        seen, noise, looks = self._measure(needle, tip=tip)
        # A needle that starts to move is still the same one.
        spread = np.asarray(self._kalman.errorCovPre) + self._jump(1, 1, 1)
        spread = (looks @ spread @ looks.T + noise)[np.ix_(rows, rows)]
        return float(seen[rows] @ np.linalg.solve(spread, seen[rows]))

    def _limit(self) -> None:
        """No hand is faster than the limits, and the angle stays within the circle."""
        state = self._state.copy()
        top, speed = self._motion.top_speed * self._px, math.hypot(*state[3:5])
        state[3:5] *= min(1.0, top / speed) if speed > 0 else 1.0
        state[5] = np.clip(state[5], -self._motion.top_turn, self._motion.top_turn)
        state[2] = _wrapped(float(state[2]))
        self._kalman.statePost = state[:, None]


def _reach(needle: Needle) -> float:
    return math.dist(needle.entry_xy, needle.tip_xy)


def _angle(needle: Needle) -> float:
    (entry_x, entry_y), (x, y) = needle.entry_xy, needle.tip_xy
    return math.atan2(y - entry_y, x - entry_x)


def _wrapped(angle: float) -> float:
    """The same angle in -π..π."""
    return math.remainder(angle, 2 * math.pi)
