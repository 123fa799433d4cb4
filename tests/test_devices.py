"""What there is to scan with, and how `nerveseg devices` shows it."""

from __future__ import annotations

import json
import socket
from types import SimpleNamespace

import pytest

from nerveseg.video import devices
from nerveseg.video.devices import Device, list_devices
from tests.commands import runner


def camera(index, name, path=None):
    return SimpleNamespace(index=index, name=name, path=path)


def nobody(host, port):
    return False


@pytest.fixture
def run(capsys):
    return runner(capsys)


@pytest.fixture
def there(monkeypatch):
    """A function that settles what `nerveseg devices` finds."""

    def settle(*found):
        monkeypatch.setattr(devices, "list_devices", lambda: found)

    return settle


def test_cameras_come_by_their_number():
    found = [camera(2, "HDMI grabber"), camera(0, "USB  probe\n")]
    assert list_devices(cameras=lambda: found, answers=nobody) == (
        Device("uvc:0", "USB probe"),
        Device("uvc:2", "HDMI grabber"),
    )


def test_a_camera_without_a_name_is_a_camera():
    assert list_devices(cameras=lambda: [camera(0, None)], answers=nobody)[0].name == "camera"


def test_a_camera_that_may_not_be_opened_says_what_to_do(monkeypatch):
    asked = []
    monkeypatch.setattr("os.access", lambda path, mode: asked.append(path))
    cameras = [camera(0, "USB probe", "/dev/video0")]
    found = list_devices(cameras=lambda: cameras, answers=nobody)
    assert asked == ["/dev/video0"]
    assert "no permission" in found[0].note
    assert "usermod -aG video" in found[0].note


@pytest.mark.parametrize("path", [r"\\?\usb#vid_1234", None, ""])
def test_a_path_that_is_no_file_has_no_permissions(path):
    found = list_devices(cameras=lambda: [camera(0, "probe", path)], answers=nobody)
    assert found == (Device("uvc:0", "probe"),)


def test_a_server_on_this_computer_is_listed():
    asked = []

    def answers(host, port):
        asked.append((host, port))
        return True

    (found,) = list_devices(cameras=list, answers=answers)
    assert asked == [("127.0.0.1", 18944)]
    assert found.uri == "igtl://127.0.0.1:18944"


@pytest.mark.parametrize("listening", [True, False])
def test_whether_something_answers_is_found_out_by_knocking(monkeypatch, listening):
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(devices, "PORT", server.getsockname()[1])
        if not listening:
            server.close()
        assert len(list_devices(cameras=list)) == int(listening)


def test_this_computers_own_cameras_can_be_asked_for():
    assert all(device.uri.startswith("uvc:") for device in list_devices(answers=nobody))


def test_a_system_that_lists_no_cameras_is_no_error(monkeypatch):
    def broken(backend):
        raise OSError("no driver")

    monkeypatch.setattr("cv2_enumerate_cameras.enumerate_cameras", broken)
    assert list_devices(answers=nobody) == ()


def test_the_table_has_a_line_for_each(run, there):
    there(Device("uvc:0", "USB probe"), Device("uvc:10", "HDMI grabber", "no permission: ask"))
    result = run("devices")
    assert result.code == 0
    assert result.out.splitlines() == [
        "SOURCE  NAME          NOTE",
        "uvc:0   USB probe",
        "uvc:10  HDMI grabber  no permission: ask",
    ]


def test_as_json_it_is_a_list(run, there):
    there(Device("uvc:0", "Sonde à ultrasons"))
    result = run("devices", "--json")
    assert json.loads(result.out) == [{"uri": "uvc:0", "name": "Sonde à ultrasons", "note": ""}]


def test_with_nothing_there_it_says_what_to_try(run, there):
    there()
    result = run("devices")
    assert result.code == 0
    for word in ("No camera", "phantom:", "file:", "igtl://", "rtsp://"):
        assert word in result.out


def test_with_nothing_there_the_json_is_an_empty_list(run, there):
    there()
    assert json.loads(run("devices", "--json").out) == []
