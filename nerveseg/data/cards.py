"""Dataset cards: one TOML file says who published a set, how it lies on disk and what it labels.

A card is found by name among the cards that travel with nerveseg, or given as a path to any
``.toml`` file; see ``datasets/README.md`` for how to write one for a folder of your own.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast
from urllib.parse import urlsplit

import platformdirs

from nerveseg import anatomy, resources
from nerveseg.errors import DataError

__all__ = ["Archive", "Card", "Options", "SplitRule", "data_root", "default_root", "load", "names"]

Options: TypeAlias = Mapping[str, Any]
"""A TOML table whose keys belong to one layout; each layout checks its own."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_LONGEST_CARD_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Archive:
    """What `fetch` downloads; ``sha256`` is ``None`` while nobody has recorded it.

    ``strip`` leading folders are dropped on unpacking (a GitHub archive has one).
    ``url`` is ``None`` for a set behind a form or a login: it has to be taken ``--from`` disk.
    """

    url: str | None = None
    sha256: str | None = None
    strip: int = 0


@dataclass(frozen=True, slots=True)
class SplitRule:
    """How look-alikes are found; both thresholds are correlations in -1..1.

    Two frames belong together at ``threshold``, or at ``neighbour_threshold`` when the numbers
    in their file names are at most ``reach`` apart: such frames often show one volunteer.
    """

    threshold: float = 0.6
    neighbour_threshold: float = 0.4
    reach: int = 2


@dataclass(frozen=True, slots=True)
class Card:
    """A dataset as its card describes it; ``known`` are the classes that it labels at all.

    ``use`` is ``train`` where the licence lets shipped weights be trained on it, else
    ``measure``. ``path`` is the card's own file.
    """

    name: str
    title: str
    publisher: str
    licence: str
    citation: str
    homepage: str
    use: Literal["train", "measure"]
    folder: str
    path: Path
    kind: str
    layout: Options
    classes: Mapping[str, Options]
    archive: Archive = field(default_factory=Archive)
    split: SplitRule = field(default_factory=SplitRule)
    quirks: tuple[str, ...] = ()

    @property
    def known(self) -> frozenset[str]:
        """The classes this set labels; every other class is unknown there, not absent."""
        return frozenset(self.classes)

    @property
    def has_files(self) -> bool:
        """Whether there is anything to download: a phantom is made on the spot."""
        return self.kind != "phantom"


def names() -> list[str]:
    """Names of the cards that travel with nerveseg, sorted."""
    return sorted(path.stem for path in resources.datasets_dir().glob("*.toml"))


def load(name_or_path: str | Path) -> Card:
    """The card of that name, or the one in that ``.toml`` file; `DataError` says what is wrong."""
    path = _find(name_or_path)
    try:
        if path.stat().st_size > _LONGEST_CARD_BYTES:
            raise DataError(f"{path} is too large to be a dataset card; give a .toml card")
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"dataset card {path} can't be read: {error}") from error
    return _card(table, path)


def data_root(card: Card, root: Path | None = None) -> Path:
    """Folder in which the card's data lies.

    ``root`` if given; else the first that exists of ``$NERVESEG_DATA/<publisher's folder>``,
    `default_root` and, for a card of your own, the folder the card lies in. Raises
    `DataError` with the command that fetches the data.
    """
    if not card.has_files:
        return card.path.parent
    if root is not None:
        if not root.is_dir():
            raise DataError(f"{root} is not a folder; give the folder that holds {card.name}")
        return root
    for place in _places(card):
        if place.is_dir():
            return place
    raise DataError(
        f"the data of {card.name} is not at {default_root(card)}; "
        f"run `nerveseg data fetch {card.name}` or set NERVESEG_DATA to the folder of your sets"
    )


def default_root(card: Card) -> Path:
    """Where `fetch` puts the card's data when nobody says otherwise.

    ``datasets/data/<name>`` in a checkout; an installed package is no place for data, so there
    it is the user's data folder.
    """
    cards_dir = resources.datasets_dir()
    if (cards_dir.parent / "pyproject.toml").is_file():
        return cards_dir / "data" / card.name
    return platformdirs.user_data_path("nerveseg", appauthor=False) / "datasets" / card.name


def _places(card: Card) -> list[Path]:
    shared = os.environ.get("NERVESEG_DATA")
    places = [Path(shared) / card.folder] if shared else []
    places.append(default_root(card))
    if card.path.parent != resources.datasets_dir():
        places.append(card.path.parent)
    return places


def _find(name_or_path: str | Path) -> Path:
    given = Path(name_or_path)
    if given.suffix == ".toml":
        return given.resolve()
    shipped = resources.datasets_dir() / f"{name_or_path}.toml"
    if _NAME.fullmatch(str(name_or_path)) and shipped.is_file():
        return shipped
    raise DataError(
        f"no dataset card named {str(name_or_path)!r}; known are {', '.join(names())}, "
        "or give the path of a .toml card"
    )


def _card(table: dict[str, Any], path: Path) -> Card:
    reader = _Table(table, path)
    layout = reader.table("layout")
    name = reader.text("name")
    if not _NAME.fullmatch(name):
        raise reader.wrong("name", "lower-case letters, digits, '.', '_' and '-'")
    use = reader.text("use")
    if use not in ("train", "measure"):
        raise reader.wrong("use", '"train" or "measure"')
    return Card(
        name=name,
        title=reader.text("title", name),
        publisher=reader.text("publisher", ""),
        licence=reader.text("licence"),
        citation=reader.text("citation", "").strip(),
        homepage=reader.text("homepage", ""),
        use=cast('Literal["train", "measure"]', use),
        folder=reader.text("folder", name),
        path=path,
        kind=_Table(layout, path, "layout.").text("kind"),
        layout=layout,
        classes=_classes(reader),
        archive=_archive(_Table(reader.table("archive", {}), path, "archive.")),
        split=_split(_Table(reader.table("split", {}), path, "split.")),
        quirks=tuple(reader.texts("quirks")),
    )


def _classes(reader: _Table) -> dict[str, Options]:
    classes = reader.table("classes")
    allowed = anatomy.default().classes
    for name, options in classes.items():
        if name not in allowed or not isinstance(options, dict):
            raise reader.wrong(f"classes.{name}", f"a table for one of {', '.join(allowed)}")
    if not classes:
        raise reader.wrong("classes", "at least one table such as [classes.nerve]")
    return classes


def _archive(reader: _Table) -> Archive:
    url = reader.text("url", "") or None
    if url is not None and urlsplit(url).scheme not in ("http", "https"):
        raise reader.wrong("url", "an http or https address")
    sha256 = reader.text("sha256", "").lower() or None
    if sha256 is not None and not _SHA256.fullmatch(sha256):
        raise reader.wrong("sha256", "64 hexadecimal digits")
    return Archive(url=url, sha256=sha256, strip=int(reader.number("strip", 0)))


def _split(reader: _Table) -> SplitRule:
    rule = SplitRule()
    return SplitRule(
        threshold=reader.number("threshold", rule.threshold),
        neighbour_threshold=reader.number("neighbour_threshold", rule.neighbour_threshold),
        reach=int(reader.number("reach", rule.reach)),
    )


class _Table:
    """Typed access to a TOML table, with errors that name the file and the key."""

    def __init__(self, table: dict[str, Any], path: Path, prefix: str = "") -> None:
        self._table, self._path, self._prefix = table, path, prefix

    def wrong(self, key: str, expected: str) -> DataError:
        got = self._table.get(key, "nothing")
        return DataError(f"{self._path}: {self._prefix}{key} is {got!r}, expected {expected}")

    def text(self, key: str, default: str | None = None) -> str:
        value = self._table.get(key, default)
        if not isinstance(value, str):
            raise self.wrong(key, "a text")
        return value

    def texts(self, key: str) -> list[str]:
        value = self._table.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.wrong(key, "a list of texts")
        return cast("list[str]", value)

    def number(self, key: str, default: float) -> float:
        value = self._table.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.wrong(key, "a number")
        return float(value)

    def table(self, key: str, default: dict[str, Any] | None = None) -> dict[str, Any]:
        value = self._table.get(key, default)
        if not isinstance(value, dict):
            raise self.wrong(key, "a table")
        return value
