"""Pictures, folders, DICOM and MetaImage: what each format asks for on its own."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest
import SimpleITK

from nerveseg.errors import SourceError
from nerveseg.video import sources
from tests import video_files as files
from tests.video_files import FRAMES, HEIGHT, WIDTH, picture, read_all, textured

# --- pictures ---


def save(path: Path, pixels: np.ndarray) -> Path:
    assert cv2.imwrite(str(path), pixels)
    return path


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_are_scaled_from_lowest_to_highest(suffix, tmp_path):
    deep = np.linspace(1000, 5000, 32 * 32).reshape(32, 32).astype(np.uint16)
    pixels = sources.read_image(save(tmp_path / f"deep{suffix}", deep))
    expected = np.rint((deep - 1000.0) * 255 / 4000)
    assert np.abs(pixels - expected).max() <= 1
    assert (pixels.min(), pixels.max()) == (0, 255)


def test_a_flat_sixteen_bit_picture_is_black(tmp_path):
    flat = save(tmp_path / "flat.png", np.full((32, 32), 777, np.uint16))
    assert not sources.read_image(flat).any()


def test_colour_becomes_luma(tmp_path):
    colour = np.zeros((20, 30, 3), np.uint8)
    colour[:] = (10, 100, 200)
    pixels = sources.read_image(save(tmp_path / "colour.png", colour))
    assert np.abs(pixels - (0.114 * 10 + 0.587 * 100 + 0.299 * 200)).max() <= 1


def test_transparency_is_laid_over_black(tmp_path):
    clear = np.full((20, 30, 4), 200, np.uint8)
    clear[..., 3] = 255
    clear[:, :10, 3] = 0
    clear[:, 10:20, 3] = 128
    pixels = sources.read_image(save(tmp_path / "clear.png", clear))
    assert [int(pixels[0, column]) for column in (0, 15, 25)] == [0, 100, 200]


def test_a_palette_is_looked_up(tmp_path):
    indices = np.arange(32 * 32).reshape(32, 32) % 3
    path = tmp_path / "palette.png"
    path.write_bytes(files.palette_png(indices, [(250, 250, 250), (0, 0, 0), (90, 90, 90)]))
    np.testing.assert_array_equal(sources.read_image(path), np.array([250, 0, 90])[indices])


def test_the_size_is_checked_before_anything_is_decoded(tmp_path):
    path = tmp_path / "huge.png"
    # No pixels follow: whoever tries to decode them reports damage, not the size.
    path.write_bytes(files.png_header(10_000, 10_000))
    with pytest.raises(SourceError, match="10000x10000 pixels, expected at most 64 million"):
        sources.read_image(path)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp"])
def test_a_single_pixel_is_too_small(suffix, tmp_path):
    with pytest.raises(SourceError, match="1x1 pixels, too small"):
        sources.read_image(save(tmp_path / f"dot{suffix}", np.zeros((1, 1), np.uint8)))


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_damaged_pixels_are_refused_and_nothing_is_printed(suffix, tmp_path, capfd):
    path = save(tmp_path / f"damaged{suffix}", textured(0))
    content = bytearray(path.read_bytes())
    half = len(content) // 2
    content[half : half + 200] = np.random.default_rng(0).bytes(200)
    path.write_bytes(content)
    with pytest.raises(SourceError, match="damaged"):
        sources.read_image(path)
    assert capfd.readouterr().err == ""


def test_a_tiff_without_all_of_its_strip_is_refused(tmp_path, capfd):
    path = tmp_path / "strip.tif"
    content = files.plain_tiff(picture(3))
    path.write_bytes(content)
    np.testing.assert_array_equal(sources.read_image(path), picture(3))
    path.write_bytes(content[:-1000])
    with pytest.raises(SourceError, match="damaged"):
        sources.read_image(path)
    assert capfd.readouterr().err == ""


def test_content_counts_not_the_name(tmp_path):
    path = files.write_image(tmp_path / "shot.png").rename(tmp_path / "shot.mp4")
    assert len(read_all(path)) == 1


def test_a_folder_is_read_in_natural_order(tmp_path):
    for number in (10, 9, 1):
        save(tmp_path / f"f{number}.png", picture(number))
    (tmp_path / "._f1.png").write_bytes(b"companion")
    (tmp_path / "notes.txt").write_text("no picture")
    assert [path.name for path in sources.list_images(tmp_path)] == ["f1.png", "f9.png", "f10.png"]


def test_pictures_that_share_a_stem_keep_their_names_apart(tmp_path):
    save(tmp_path / "a.png", picture(0))
    save(tmp_path / "a.bmp", picture(1))
    save(tmp_path / "b.png", picture(2))
    with sources.open(tmp_path) as clip:
        assert [clip.frame_name(i) for i in range(3)] == ["a.bmp", "a.png", "b"]


def test_broken_pictures_in_a_folder_are_skipped_and_counted(tmp_path):
    folder = files.write_folder(tmp_path / "shots")
    (folder / "shot3.png").write_bytes(b"")
    (folder / "shot5.png").write_bytes(b"no picture")
    with sources.open(folder) as clip:
        indices = [frame.index for frame in clip]
    assert indices == [i for i in range(FRAMES) if i not in (3, 5)]
    assert clip.broken_frames == 2
    assert "shot3.png is empty" in clip.problems[0]


def test_a_folder_of_broken_pictures_is_an_error(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(SourceError, match="none of the pictures"):
        read_all(tmp_path)


def test_a_folder_without_pictures_is_an_error(tmp_path):
    with pytest.raises(SourceError, match="holds no pictures"):
        sources.open(tmp_path)


# --- DICOM ---


def cine(tmp_path: Path, **elements) -> Path:
    return files.write_dicom(tmp_path / "a.dcm", [picture(i) for i in range(4)], **elements)


def test_monochrome1_is_turned_over(tmp_path):
    (frame, *_) = read_all(cine(tmp_path, PhotometricInterpretation="MONOCHROME1"))
    np.testing.assert_array_equal(frame.pixels, 255 - picture(0))


@pytest.mark.parametrize("interpretation", ["RGB", "YBR_FULL"])
def test_colour_dicom_becomes_luma(interpretation, tmp_path):
    red = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    red[..., 0] = 200
    stored = (
        red if interpretation == "RGB" else cv2.cvtColor(red, cv2.COLOR_RGB2YCrCb)[..., [0, 2, 1]]
    )
    path = files.write_dicom(tmp_path / "a.dcm", [stored], PhotometricInterpretation=interpretation)
    (frame,) = read_all(path)
    assert np.abs(frame.pixels.astype(int) - 60).max() <= 1


def test_deep_dicom_is_windowed(tmp_path):
    deep = np.tile(np.arange(0, 4096, 64, dtype=np.uint16), (HEIGHT, 1))
    path = files.write_dicom(
        tmp_path / "a.dcm", [deep], BitsStored=12, HighBit=11, WindowCenter=1000, WindowWidth=1000
    )
    (frame,) = read_all(path)
    expected = np.clip((deep - 500.0) * 255 / 999, 0, 255)
    assert np.abs(frame.pixels - expected).max() <= 1


def test_without_a_window_the_stored_bits_are_the_range(tmp_path):
    deep = np.tile(np.arange(0, 1024, 16, dtype=np.uint16), (HEIGHT, 1))
    path = files.write_dicom(tmp_path / "a.dcm", [deep], BitsStored=12, HighBit=11)
    (frame,) = read_all(path)
    assert frame.pixels.max() == pytest.approx(1008 / 4095 * 255, abs=1)


@pytest.mark.parametrize(
    ("elements", "times", "fps"),
    [
        ({"FrameTime": 50}, [0, 0.05, 0.1, 0.15], 20),
        ({"FrameTimeVector": [0, 30, 50, 40]}, [0, 0.03, 0.08, 0.12], 25),
        ({"FrameTime": None, "CineRate": 10}, [0, 0.1, 0.2, 0.3], 10),
        ({"FrameTime": None}, [0, 1, 2, 3], None),
        ({"FrameTimeVector": [0, 30, 0, 40], "FrameTime": 50}, [0, 0.05, 0.1, 0.15], 20),
    ],
)
def test_dicom_times(elements, times, fps, tmp_path):
    with sources.open(cine(tmp_path, **elements)) as clip:
        assert [frame.time_s for frame in clip] == pytest.approx(times)
        assert clip.fps == (pytest.approx(fps) if fps else None)


def test_a_damaged_jpeg_inside_a_cine_is_skipped_and_counted(tmp_path, capfd):
    frames = [cv2.cvtColor(textured(i), cv2.COLOR_BGR2GRAY) for i in range(6)]
    path = files.write_dicom(tmp_path / "a.dcm", frames, jpeg=True)
    content = path.read_bytes()
    third = [at for at in range(len(content)) if content[at : at + 3] == b"\xff\xd8\xff"][2]
    path.write_bytes(content[:third] + bytes(300) + content[third + 300 :])
    with sources.open(path) as clip:
        assert [frame.index for frame in clip] == [0, 1, 3, 4, 5]
        assert clip.broken_frames == 1
    assert capfd.readouterr().err == ""


def test_a_video_wrapped_in_dicom_is_refused_with_a_way_out(tmp_path):
    path = cine(tmp_path)
    data = files.pydicom.dcmread(path)
    data.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.102"
    data["PixelData"].is_undefined_length = True
    data.PixelData = files.encapsulate([b"\0\0\0\1" * 8])
    data.save_as(path)
    with pytest.raises(SourceError, match="export the clip as MP4"):
        sources.open(path)


def test_a_dicom_without_pictures_is_refused(tmp_path):
    data = files.pydicom.dcmread(cine(tmp_path))
    del data.Rows, data.PixelData
    data.save_as(tmp_path / "report.dcm")
    with pytest.raises(SourceError, match="holds no pictures"):
        sources.open(tmp_path / "report.dcm")


# --- MetaImage ---


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("compressed", [False, True])
def test_meta_images_agree_with_simpleitk(dtype, compressed, tmp_path):
    stack = np.random.default_rng(0).integers(0, 200, (5, 20, 30)).astype(dtype)
    image = SimpleITK.GetImageFromArray(stack)
    image.SetSpacing((0.1, 0.1, 1.0))
    SimpleITK.WriteImage(image, str(tmp_path / "a.mha"), useCompression=compressed)
    with sources.open(tmp_path / "a.mha") as clip:
        frames = np.stack([frame.pixels for frame in clip])
        assert clip.mm_per_px == pytest.approx(0.1)
    low, high = (0, 255) if dtype == np.uint8 else (stack[0].min(), stack[0].max())
    expected = np.clip((stack.astype(float) - low) * 255 / (high - low), 0, 255)
    assert np.abs(frames - expected).max() <= 1


def test_invalid_frames_are_skipped_and_counted(tmp_path):
    stack = np.stack([picture(i) for i in range(4)])
    path = files.write_meta(tmp_path / "a.mha", stack, extra="Seq_Frame0002_ImageStatus = INVALID")
    with sources.open(path) as clip:
        assert [frame.index for frame in clip] == [0, 1, 3]
        assert clip.broken_frames == 1


def test_a_spacing_of_one_is_no_spacing(tmp_path):
    path = files.write_meta(tmp_path / "a.mha", picture(0)[None], extra="ElementSpacing = 1 1 1")
    with sources.open(path) as clip:
        assert clip.mm_per_px is None
        assert clip.fps is None


def test_a_picture_stored_from_the_far_end_is_turned(tmp_path):
    upright = np.arange(HEIGHT * WIDTH, dtype=np.uint32).reshape(1, HEIGHT, WIDTH) % 251
    stack = upright.astype(np.uint8)[:, ::-1]
    extra = "UltrasoundImageOrientation = MN"
    (frame,) = read_all(files.write_meta(tmp_path / "a.mha", stack, extra=extra))
    np.testing.assert_array_equal(frame.pixels, upright[0])


@pytest.mark.parametrize("named", ["../secret.raw", "/etc/passwd", "missing.raw", "LIST"])
def test_a_header_cannot_point_outside_its_folder(named, tmp_path):
    (tmp_path / "secret.raw").write_bytes(bytes(WIDTH * HEIGHT))
    folder = tmp_path / "in"
    folder.mkdir()
    path = files.write_meta(folder / "a.mhd", picture(0)[None])
    path.write_bytes(path.read_bytes().split(b"LOCAL")[0] + named.encode() + b"\n")
    with pytest.raises(SourceError, match="expected a file in the same folder"):
        sources.open(path)


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("DimSize = 64 48 1", "DimSize = 64 48 99999999", "99,999,999 frames"),
        ("DimSize = 64 48 1", "DimSize = 999999 999999 1", "at most 36 million"),
        ("DimSize = 64 48 1", "DimSize = -64 48 1", "DimSize is -64 48 1"),
        ("DimSize = 64 48 1", "DimSize = many", "no good MetaImage header"),
        ("MET_UCHAR", "MET_STRING", "ElementType is MET_STRING"),
        ("BinaryData = True", "BinaryData = False", "pixels are text"),
        ("ObjectType = Image", "ObjectType = Mesh", "ObjectType is Mesh"),
        ("ElementDataFile = LOCAL\n", "", "ends without ElementDataFile"),
    ],
)
def test_header_values_are_checked(old, new, line, tmp_path):
    path = files.write_meta(tmp_path / "a.mha", picture(0)[None])
    content = path.read_bytes()
    assert old.encode() in content
    path.write_bytes(content.replace(old.encode(), new.encode()))
    with pytest.raises(SourceError, match=line):
        sources.open(path)


def test_memory_stays_that_of_a_few_frames(tmp_path):
    stack = np.zeros((200, 240, 320), np.uint8)
    path = files.write_meta(tmp_path / "a.mha", stack)
    del stack
    tracemalloc.start()
    with sources.open(path) as clip:
        assert sum(1 for _ in clip) == 200
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * 240 * 320
