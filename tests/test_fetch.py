"""Fetching a set: resumed, verified, unpacked without escape, whole or not at all."""

from __future__ import annotations

import hashlib
import io
import os
import re
import resource
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from nerveseg.data import cards, fetch
from nerveseg.data.unpack import Budget, unpack
from nerveseg.errors import DataError, NervesegError, StoreError


class Publisher:
    """A web server on this machine that offers one file, and misbehaves when told to."""

    def __init__(self, content):
        self.content = content
        self.etag = '"v1"'
        self.ranges = True
        self.stop_after = None
        self.asked = []

    def answer(self, handler):
        self.asked.append(handler.headers.get("Range"))
        start = self._start(handler)
        if start is not None and start >= len(self.content):
            handler.send_response(416)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        body = self.content[start or 0 :]
        handler.send_response(200 if start is None else 206)
        handler.send_header("Content-Length", str(len(body)))
        handler.send_header("ETag", self.etag)
        if start is not None:
            total = len(self.content)
            handler.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        handler.end_headers()
        handler.wfile.write(body[: self.stop_after])

    def _start(self, handler):
        match = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range") or "")
        fresh = handler.headers.get("If-Range") in (None, self.etag)
        return int(match.group(1)) if match and self.ranges and fresh else None


@pytest.fixture
def publisher():
    offered = Publisher(zipped({"set-main/images/a.png": b"A" * 5000, "set-main/b.txt": b"b"}))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/gone.zip":
                self.send_error(404)
            else:
                offered.answer(self)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    offered.url = f"http://127.0.0.1:{server.server_port}/set.zip"
    yield offered
    server.shutdown()
    server.server_close()
    thread.join()


def zipped(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def write_card(folder, *, url=None, sha256=None, strip=1):
    lines = ['name = "mine"', 'licence = "mine"', 'use = "train"', "[archive]", f"strip = {strip}"]
    lines += [f'url = "{url}"'] if url else []
    lines += [f'sha256 = "{sha256}"'] if sha256 else []
    lines += ['[layout]\nkind = "labelme"', "[classes.nerve]"]
    path = folder / "mine.toml"
    path.write_text("\n".join(lines))
    return path


def tree(folder):
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def leftovers(folder):
    return {path.name for path in folder.iterdir()} - {"mine.toml", "data"}


def test_a_download_is_verified_unpacked_and_leaves_nothing_else(tmp_path, publisher):
    sha256 = hashlib.sha256(publisher.content).hexdigest()
    card = write_card(tmp_path, url=publisher.url, sha256=sha256)
    seen = []
    fetched = fetch.fetch(card, tmp_path / "data", progress=lambda *step: seen.append(step))
    assert tree(tmp_path / "data") == {"images/a.png", "b.txt"}
    assert (tmp_path / "data/images/a.png").read_bytes() == b"A" * 5000
    assert fetched.verified
    assert fetched.note is None
    assert seen[-1] == (len(publisher.content), len(publisher.content))
    assert leftovers(tmp_path) == set()


def test_without_a_hash_on_the_card_the_hash_got_is_told(tmp_path, publisher):
    fetched = fetch.fetch(write_card(tmp_path, url=publisher.url), tmp_path / "data")
    assert not fetched.verified
    assert hashlib.sha256(publisher.content).hexdigest() in fetched.note


def test_a_set_that_is_there_is_left_alone(tmp_path, publisher):
    card = write_card(tmp_path, url=publisher.url)
    fetch.fetch(card, tmp_path / "data")
    (tmp_path / "data" / "mine.txt").write_text("kept")
    assert fetch.fetch(card, tmp_path / "data").already
    assert len(publisher.asked) == 1
    assert (tmp_path / "data" / "mine.txt").read_text() == "kept"


def test_a_transfer_that_broke_off_goes_on_where_it_stopped(tmp_path, publisher):
    card = write_card(tmp_path, url=publisher.url)
    publisher.stop_after = 1000
    with pytest.raises(DataError, match="run it again"):
        fetch.fetch(card, tmp_path / "data")
    assert not (tmp_path / "data").exists()
    publisher.stop_after = None
    fetched = fetch.fetch(card, tmp_path / "data")
    assert publisher.asked == [None, "bytes=1000-"]
    assert fetched.sha256 == hashlib.sha256(publisher.content).hexdigest()
    assert leftovers(tmp_path) == set()


@pytest.mark.parametrize("change", ["another version", "no ranges"])
def test_bytes_that_no_longer_fit_are_fetched_anew(tmp_path, publisher, change):
    card = write_card(tmp_path, url=publisher.url)
    publisher.stop_after = 1000
    with pytest.raises(DataError):
        fetch.fetch(card, tmp_path / "data")
    publisher.stop_after = None
    publisher.ranges = change != "no ranges"
    if change == "another version":
        publisher.content, publisher.etag = zipped({"set-2/c.txt": b"c" * 3000}), '"v2"'
    fetch.fetch(card, tmp_path / "data")
    expected = {"c.txt"} if change == "another version" else {"images/a.png", "b.txt"}
    assert tree(tmp_path / "data") == expected


def test_a_transfer_that_ended_just_before_unpacking_is_not_fetched_again(tmp_path, publisher):
    card = write_card(tmp_path, url=publisher.url)
    (tmp_path / ".data.download").write_bytes(publisher.content)
    (tmp_path / ".data.download.version").write_text(publisher.etag)
    fetch.fetch(card, tmp_path / "data")
    assert tree(tmp_path / "data") == {"images/a.png", "b.txt"}


def test_a_wrong_hash_is_refused_and_the_next_call_starts_anew(tmp_path, publisher):
    card = write_card(tmp_path, url=publisher.url, sha256="0" * 64)
    for _ in range(2):
        with pytest.raises(DataError, match="its card says 0000"):
            fetch.fetch(card, tmp_path / "data")
    assert publisher.asked == [None, None]
    assert not (tmp_path / "data").exists()
    assert leftovers(tmp_path) == set()


def test_what_is_no_archive_is_refused(tmp_path, publisher):
    publisher.content = b"<html>please log in</html>"
    with pytest.raises(DataError, match="neither a zip nor a tar"):
        fetch.fetch(write_card(tmp_path, url=publisher.url), tmp_path / "data")
    assert leftovers(tmp_path) == set()


@pytest.mark.parametrize("path", ["/gone.zip", None])
def test_a_server_that_refuses_or_is_not_there_is_one_line(tmp_path, publisher, path):
    url = "http://127.0.0.1:9/x.zip" if path is None else publisher.url.replace("/set.zip", path)
    with pytest.raises(DataError, match="can't be fetched") as caught:
        fetch.fetch(write_card(tmp_path, url=url), tmp_path / "data")
    assert "127.0.0.1" in str(caught.value)


def test_a_set_behind_a_form_says_where_to_get_it():
    with pytest.raises(DataError, match="--from PATH") as caught:
        fetch.fetch("kaggle-ultrasound-nerve", source=None)
    assert "kaggle.com" in str(caught.value)


def test_a_folder_on_disk_is_copied_without_its_links(tmp_path):
    source = tmp_path / "download"
    (source / "images").mkdir(parents=True)
    (source / "images" / "a.png").write_bytes(b"A")
    (source / "secret").symlink_to("/etc/passwd")
    (source / "etc").symlink_to("/etc")
    fetch.fetch(write_card(tmp_path), tmp_path / "data", source=source)
    assert tree(tmp_path / "data") == {"images/a.png"}


@pytest.mark.parametrize("suffix", ["zip", "tar", "tar.gz", "tar.xz"])
def test_an_archive_on_disk_is_unpacked_whatever_its_kind(tmp_path, suffix):
    archive = tmp_path / f"set.{suffix}"
    if suffix == "zip":
        archive.write_bytes(zipped({"top/a/b.txt": b"b"}))
    else:
        with tarfile.open(archive, "w:" + suffix.partition(".")[2]) as opened:
            add(opened, "top/a/b.txt", b"b")
    fetch.fetch(write_card(tmp_path), tmp_path / "data", source=archive)
    assert (tmp_path / "data/a/b.txt").read_bytes() == b"b"


def add(opened, name, content=b"x", *, kind=tarfile.REGTYPE, link=""):
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname, entry.size = kind, link, len(content)
    opened.addfile(entry, io.BytesIO(content) if kind == tarfile.REGTYPE else None)


ESCAPING_NAMES = ["../out.txt", "top/../../out.txt", "/tmp/out.txt", "C:\\out.txt", "..\\out.txt"]


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize("name", ESCAPING_NAMES)
def test_an_archive_that_tries_to_leave_its_folder_is_refused(tmp_path, kind, name):
    archive = tmp_path / "evil"
    if kind == "zip":
        archive.write_bytes(zipped({"top/good.txt": b"x", name: b"x"}))
    else:
        with tarfile.open(archive, "w") as opened:
            add(opened, "top/good.txt")
            add(opened, name)
    with pytest.raises(DataError, match="leads out"):
        fetch.fetch(write_card(tmp_path), tmp_path / "data", source=archive)
    assert leftovers(tmp_path) == {"evil"}
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_in_a_tar_are_refused(tmp_path, kind):
    archive = tmp_path / "evil.tar"
    with tarfile.open(archive, "w") as opened:
        add(opened, "top/link", b"", kind=kind, link="/etc")
        add(opened, "top/link/passwd")
    with pytest.raises(DataError, match="a link or a device"):
        fetch.fetch(write_card(tmp_path), tmp_path / "data", source=archive)


def test_a_link_in_a_zip_is_refused(tmp_path):
    entry = zipfile.ZipInfo("top/link")
    entry.external_attr = 0o120777 << 16
    archive = tmp_path / "evil.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr(entry, "/etc/passwd")
    with pytest.raises(DataError, match="no plain file"):
        fetch.fetch(write_card(tmp_path), tmp_path / "data", source=archive)


def test_a_bomb_is_stopped_by_what_it_really_writes(tmp_path):
    archive = tmp_path / "bomb.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("zeros", bytes(20_000_000))
    with pytest.raises(DataError, match="more than"):
        unpack(archive, tmp_path / "out", budget=Budget(max_bytes=2_000_000))
    assert (tmp_path / "out" / "zeros").stat().st_size <= 2_000_000


def test_too_many_entries_are_refused(tmp_path):
    archive = tmp_path / "many.zip"
    archive.write_bytes(zipped({f"{i}": b"" for i in range(20)}))
    with pytest.raises(DataError, match="more than"):
        unpack(archive, tmp_path / "out", budget=Budget(max_entries=10))


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_a_damaged_archive_is_one_line(tmp_path, kind):
    archive = tmp_path / f"set.{kind}"
    noise = os.urandom(200_000)
    if kind == "zip":
        archive.write_bytes(zipped({"top/a": noise}).replace(noise[:100], b"\0" * 100))
    else:
        with tarfile.open(archive, "w:gz") as opened:
            add(opened, "top/a", noise)
        os.truncate(archive, 100_000)
    with pytest.raises(DataError, match="damaged"):
        fetch.fetch(write_card(tmp_path), tmp_path / "data", source=archive)
    assert not (tmp_path / "data").exists()


@pytest.fixture
def small_disk():
    """The kernel refuses to let any file grow beyond 64 kB, as a full disk or quota would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("origin", ["publisher", "archive", "folder"])
def test_a_full_disk_is_a_store_error_and_leaves_no_half_set(tmp_path, publisher, origin, request):
    noise = os.urandom(200_000)
    publisher.content = zipped({"top/a": noise})
    source = None if origin == "publisher" else tmp_path / "source"
    if origin == "archive":
        source.write_bytes(publisher.content)
    elif origin == "folder":
        source.mkdir()
        (source / "a").write_bytes(noise)
    card = write_card(tmp_path, url=publisher.url)
    request.getfixturevalue("small_disk")
    with pytest.raises(StoreError, match="File too large"):
        fetch.fetch(card, tmp_path / "data", source=source)
    assert not (tmp_path / "data").exists()
    assert not [p for p in leftovers(tmp_path) if p.startswith(".data.") and "download" not in p]


def test_a_place_that_may_not_be_written_is_a_store_error(tmp_path, publisher):
    (tmp_path / "file").write_text("in the way")
    card = write_card(tmp_path, url=publisher.url)
    with pytest.raises(StoreError, match="choose another folder"):
        fetch.fetch(card, tmp_path / "file" / "data")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_a_store_error(tmp_path, publisher):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    with pytest.raises(StoreError, match="Permission denied"):
        fetch.fetch(write_card(tmp_path, url=publisher.url), locked / "data")


@pytest.mark.parametrize("make", [lambda p: p / "gone", lambda p: p], ids=["missing", "around"])
def test_a_source_that_can_not_be_taken_is_one_line(tmp_path, make):
    with pytest.raises(NervesegError):
        fetch.fetch(write_card(tmp_path), tmp_path / "data", source=make(tmp_path))


def test_the_default_place_is_where_the_reader_looks():
    card = cards.load("dl-track")
    assert cards.default_root(card).parts[-3:] == ("datasets", "data", "dl-track")
