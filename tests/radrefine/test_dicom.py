"""DICOM files: frames in order, colours and greys as they are shown, sizes bounded, and the way through clean."""

import io
import struct
import sys
import tarfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from radrefine import agenda, cleaning, dicom
from radrefine.batch import clean_collection
from radrefine.chunks import clean_chunk
from radrefine.clean_options import CleanOptions
from radrefine.dicom import count_frames, read_frame, read_frames
from radrefine.errors import ImageError, MissingExtraError, SourceError
from radrefine.images import decode_image
from radrefine.members import FileLocator, FrameLocator, Member, read_bytes
from radrefine.progress import Progress
from radrefine.sources import open_members

pydicom = pytest.importorskip("pydicom")


def _dicom(pixels: np.ndarray, photometric: str = "MONOCHROME2", **fields: object) -> bytes:
    """Return an uncompressed DICOM file of (H, W), (N, H, W), or (H, W, 3) pixels."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, UltrasoundMultiFrameImageStorage, generate_uid

    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = UltrasoundMultiFrameImageStorage
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid(entropy_srcs=["test"])
    colour = pixels.shape[-1] == 3 and pixels.ndim > 2
    data.Rows, data.Columns = pixels.shape[-3:-1] if colour else pixels.shape[-2:]
    data.SamplesPerPixel = 3 if colour else 1
    if colour:
        data.PlanarConfiguration = 0
    elif pixels.ndim == 3:
        data.NumberOfFrames = len(pixels)
    bits = 8 * pixels.dtype.itemsize
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = bits, bits, bits - 1, 0
    data.PhotometricInterpretation = photometric
    for name, value in fields.items():
        setattr(data, name, value)
    content = pixels.tobytes()
    data.PixelData = content + b"\0" * (len(content) % 2)
    file = io.BytesIO()
    data.save_as(file, enforce_file_format=True)
    return file.getvalue()


def _example(name: str) -> bytes:
    from pydicom.data import get_testdata_file

    path = get_testdata_file(name, download=False)
    if path is None:
        pytest.skip(f"{name} is not installed; pip install pydicom-data")
    return Path(str(path)).read_bytes()


def test_frames_come_in_their_order() -> None:
    stack = np.stack([np.full((4, 6), 10 * number, np.uint8) for number in range(12)])
    data = _dicom(stack)

    assert count_frames(data) == 12
    np.testing.assert_array_equal(np.stack(list(read_frames(data))), stack)


def test_more_is_brighter_whichever_way_the_file_counts() -> None:
    grey = np.arange(24, dtype=np.uint8).reshape(4, 6)

    np.testing.assert_array_equal(read_frame(_dicom(grey), 0), grey)
    np.testing.assert_array_equal(read_frame(_dicom(grey, "MONOCHROME1"), 0), 255 - grey)


def test_the_window_of_the_file_is_applied() -> None:
    values = np.array([[0, 900, 950, 1000, 1050, 1100, 4000]], np.uint16)
    frame = read_frame(_dicom(values, WindowCenter=1000, WindowWidth=201), 0)

    np.testing.assert_allclose(frame, [[0, 0, 64, 128, 191, 255, 255]], atol=1)


@pytest.mark.parametrize(
    "empty",
    [
        {"WindowCenter": None, "WindowWidth": None},
        {"WindowWidth": 100},
        {"VOILUTSequence": []},
        {"RescaleSlope": None, "RescaleIntercept": None},
        {"WindowCenter": 128, "WindowWidth": 0},
        {"WindowCenter": [128, 50], "WindowWidth": [100, 0]},
        {"RescaleSlope": 0, "RescaleIntercept": 5},
    ],
)
def test_elements_without_a_value_are_as_if_they_were_not_there(empty: dict[str, object]) -> None:
    values = np.array([[100, 600, 1100]], np.uint16)

    np.testing.assert_array_equal(read_frame(_dicom(values, **empty), 0), read_frame(_dicom(values), 0))


def test_a_rescale_that_changes_nothing_leaves_bytes_as_they_are() -> None:
    frames = np.stack([np.full((4, 6), 30, np.uint8), np.full((4, 6), 200, np.uint8)])
    frames[:, 0, 0] = 107
    read = list(read_frames(_dicom(frames, RescaleSlope=1, RescaleIntercept=0)))
    np.testing.assert_array_equal(np.stack(read), frames)
    windowed = {"WindowCenter": 100, "WindowWidth": 80}
    told = read_frame(_dicom(frames[0], RescaleSlope=1, RescaleIntercept=0, **windowed), 0)
    np.testing.assert_array_equal(told, read_frame(_dicom(frames[0], **windowed), 0))


def test_a_damaged_header_is_refused_by_name() -> None:
    data = _dicom(np.zeros((4, 4), np.uint8))
    rows = data.index(b"\x28\x00\x10\x00US")
    with pytest.raises(ImageError, match=r"damaged|not a DICOM file"):
        count_frames(data[: rows + 4] + b"ZZ" + data[rows + 6 :])


def test_deep_frames_without_a_window_are_stretched() -> None:
    frame = read_frame(_dicom(np.array([[100, 600, 1100]], np.uint16)), 0)

    np.testing.assert_array_equal(frame, [[0, 128, 255]])


def test_white_is_the_largest_value_that_the_stored_bits_hold() -> None:
    grey = np.array([[0, 64, 127]], np.uint8)

    np.testing.assert_array_equal(read_frame(_dicom(grey, BitsStored=7, HighBit=6), 0), [[0, 129, 255]])
    np.testing.assert_array_equal(read_frame(_dicom(grey, "MONOCHROME1", BitsStored=7, HighBit=6), 0), [[255, 126, 0]])


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_a_file_that_asks_for_the_inverse_is_inverted_once(photometric: str) -> None:
    grey = np.array([[0, 50, 255]], np.uint8)

    np.testing.assert_array_equal(
        read_frame(_dicom(grey, photometric, PresentationLUTShape="INVERSE"), 0), [[255, 205, 0]]
    )


@pytest.mark.parametrize(
    ("bits", "table"),
    [
        (8, np.arange(256, dtype=np.uint8)),
        (8, np.arange(256, dtype=np.uint16)),  # against the standard, and seen
        (16, np.arange(256, dtype=np.uint16)),
        (16, np.arange(256, dtype=np.uint16) * 257),
        (16, np.arange(256, dtype=np.uint16) << 8),
    ],
)
def test_palettes_of_any_width_give_their_colours(bits: int, table: np.ndarray) -> None:
    stored = np.array([[0, 1, 100, 255], [3, 3, 7, 9]], np.uint8)
    tables: dict[str, object] = {}
    for colour in ("Red", "Green", "Blue"):
        tables[f"{colour}PaletteColorLookupTableDescriptor"] = [len(table), 0, bits]
        tables[f"{colour}PaletteColorLookupTableData"] = (table if colour != "Blue" else table[::-1]).tobytes()

    colours = read_frame(_dicom(stored, "PALETTE COLOR", **tables), 0)

    np.testing.assert_array_equal(colours, np.dstack([stored, stored, 255 - stored]))


def test_a_dark_frame_of_a_palette_stays_dark() -> None:
    table = (np.arange(256, dtype=np.uint16) * 257).tobytes()
    tables: dict[str, object] = {}
    for colour in ("Red", "Green", "Blue"):
        tables[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        tables[f"{colour}PaletteColorLookupTableData"] = table

    assert read_frame(_dicom(np.zeros((4, 4), np.uint8), "PALETTE COLOR", **tables), 0).max() == 0


@pytest.mark.parametrize(
    ("big", "little"),
    [("OBXXXX1A_expb.dcm", "OBXXXX1A_rle.dcm"), ("gdcm-US-ALOKA-16_big.dcm", "gdcm-US-ALOKA-16.dcm")],
)
def test_palettes_of_either_byte_order_give_the_same_colours(big: str, little: str) -> None:
    np.testing.assert_array_equal(read_frame(_example(big), 0), read_frame(_example(little), 0))


def test_every_frame_of_a_palette_of_the_other_byte_order_has_its_colours() -> None:
    stored = np.stack([np.arange(16, dtype=np.uint8).reshape(4, 4)] * 3)
    table = np.arange(256) * 256 + (255 - np.arange(256))  # neither byte is that of the other order
    tables: dict[str, object] = {}
    for colour in ("Red", "Green", "Blue"):
        tables[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        tables[f"{colour}PaletteColorLookupTableData"] = table.astype(">u2").tobytes()
    data = pydicom.dcmread(io.BytesIO(_dicom(stored, "PALETTE COLOR", **tables)))
    data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRBigEndian
    file = io.BytesIO()
    pydicom.dcmwrite(file, data, implicit_vr=False, little_endian=False, enforce_file_format=True)

    for frame in read_frames(file.getvalue()):
        np.testing.assert_array_equal(frame, np.stack([stored[0]] * 3, axis=-1))


def test_colours_come_as_they_are_shown() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (4, 5, 3)).astype(np.uint8)

    np.testing.assert_array_equal(read_frame(_dicom(rgb, "RGB"), 0), rgb)
    red = np.empty((2, 2, 3), np.uint8)
    red[:] = (76, 85, 255)  # red in YBR
    np.testing.assert_allclose(read_frame(_dicom(red, "YBR_FULL"), 0)[0, 0], (255, 0, 0), atol=3)
    np.testing.assert_array_equal(read_frame(_example("color-pl.dcm"), 0), read_frame(_example("color-px.dcm"), 0))


def test_palettes_are_resolved_in_every_frame() -> None:
    one, two = _example("OBXXXX1A.dcm"), _example("OBXXXX1A_rle_2frame.dcm")
    frame = read_frame(one, 0)

    assert frame.shape == (600, 800, 3) and len(np.unique(frame.reshape(-1, 3), axis=0)) > 2
    assert count_frames(two) == 2
    np.testing.assert_array_equal(read_frame(two, 0), frame)


@pytest.mark.parametrize("name", ["JPGLosslessP14SV1_1s_1f_8b", "examples_ybr_color"])
def test_real_files_give_the_known_pictures(shared_data: Path, name: str) -> None:
    folder = shared_data / "artifacts"
    known = decode_image((folder / "screens" / f"{name}_0.png").read_bytes())
    frame = read_frame((folder / "dicom" / f"{name}.dcm").read_bytes(), 0)

    assert frame.shape == known.shape
    assert np.abs(frame.astype(int) - known).mean() < 2


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"no dicom", "not a DICOM file"),
        (_dicom(np.zeros((4, 4), np.uint8), NumberOfFrames=10**6), "frames"),
        (_dicom(np.zeros((4, 4), np.uint8), Rows=60000, Columns=60000), "pixels allowed"),
        (_dicom(np.zeros((4, 4), np.uint8), NumberOfFrames=3), "cannot be decoded"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(data: bytes, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        read_frame(data, 2)


def _deflated(data: bytes) -> bytes:
    """Return an uncompressed DICOM file in the deflated syntax."""
    plain, packed = b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99"
    place = data.index(plain)
    start = 144 + struct.unpack_from("<L", data, 140)[0]
    inflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    meta = data[: place - 2] + struct.pack("<H", len(packed)) + packed + data[place + len(plain) : start]
    return (
        meta[:140]
        + struct.pack("<L", len(meta) - 144)
        + meta[144:]
        + inflater.compress(data[start:])
        + inflater.flush()
    )


def test_a_deflated_file_is_read_and_a_bomb_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    stack = np.random.default_rng(0).integers(0, 255, (3, 40, 60), np.uint8)
    data = _deflated(_dicom(stack))
    np.testing.assert_array_equal(np.stack(list(read_frames(data))), stack)
    monkeypatch.setattr(dicom, "_MOST_INFLATED", 4000)
    with pytest.raises(ImageError, match="unpacks to more than the 4,000 bytes"):
        count_frames(data)


def test_a_file_is_opened_once_for_the_frames_that_follow_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[int] = []

    class Counted(dicom.DicomFile):
        def __init__(self, data: bytes, **more: int) -> None:
            opened.append(len(data))
            super().__init__(data, **more)

    monkeypatch.setattr(dicom, "DicomFile", Counted)
    stack = np.arange(5 * 48, dtype=np.uint8).reshape(5, 6, 8)
    file = tmp_path / "a.dcm"
    file.write_bytes(_dicom(stack))
    places = [FrameLocator(FileLocator(str(file)), number) for number in range(5)]
    for number in (0, 1, 2, 3, 4):
        np.testing.assert_array_equal(decode_image(read_bytes(places[number])), stack[number])
    assert len(opened) == 1
    read_bytes(places[3])  # the file was let go after its last frame
    assert len(opened) == 2
    file.write_bytes(_dicom(stack[:, :, :4] + 1))
    np.testing.assert_array_equal(decode_image(read_bytes(places[4])), stack[4, :, :4] + 1)
    assert len(opened) == 3


def test_files_from_a_packed_archive_are_handed_out_a_few_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tarfile.open(tmp_path / "set.tar.gz", "w:gz") as archive:
        for number in range(6):
            data = _dicom(np.full((3, 40, 60), number, np.uint8))
            info = tarfile.TarInfo(f"CT/chest/{number}.dcm")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    monkeypatch.setattr(agenda, "_CHUNK_BYTES", 10_000)  # a file has 7,200 and a header
    pieces: list[list[str]] = []
    monkeypatch.setattr(
        cleaning,
        "clean_chunk",
        lambda settings, tasks: pieces.append([t.path for t in tasks]) or clean_chunk(settings, tasks),
    )
    clean_collection(tmp_path / "set.tar.gz", tmp_path / "out", CleanOptions(jobs=1, backend="threading"))
    assert [len(piece) for piece in pieces] == [6, 6, 6]


def test_a_missing_extra_names_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'radrefine\[dicom\]'"):
        count_frames(b"")


def test_clean_writes_a_picture_per_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleaning, "_REPORT_EVERY", 0)
    told: list[Progress] = []
    source = tmp_path / "set" / "US" / "neck"
    source.mkdir(parents=True)
    ramp = np.arange(48 * 64).reshape(48, 64) // 64 + 30
    stack = np.stack([ramp + 20 * number for number in range(3)]).astype(np.uint8)
    (source / "a.dcm").write_bytes(_dicom(stack))
    (source / "b.dcm").write_bytes(b"damaged")
    (source / "c.png").write_bytes(_png(stack[0]))
    summary = clean_collection(tmp_path / "set", tmp_path / "out", progress=told.append)

    assert all(one.done <= one.total for one in told if one.total is not None)  # three files, five pictures
    folder = tmp_path / "out" / "images" / "US" / "neck"
    assert sorted(path.name for path in folder.rglob("*.png")) == ["0000.png", "0001.png", "0002.png", "c.png"]
    for number, frame in enumerate(stack):
        np.testing.assert_array_equal(decode_image((folder / "a.dcm" / f"{number:04d}.png").read_bytes()), frame)
    assert summary.failed == 1
    again = clean_collection(tmp_path / "set", tmp_path / "out")
    assert again.kept == 4


def _png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Pillow.fromarray(image).save(file, "PNG")
    return file.getvalue()


def test_the_limit_of_pixels_holds_for_frames_too(tmp_path: Path) -> None:
    (tmp_path / "src" / "US").mkdir(parents=True)
    (tmp_path / "src" / "US" / "a.dcm").write_bytes(_dicom(np.zeros((2, 40, 60), np.uint8)))
    with pytest.raises(SourceError, match=r"a.dcm was refused: .* raise --max-pixels"):
        clean_collection(tmp_path / "src", tmp_path / "out", CleanOptions(jobs=1, max_pixels=2399))
    enough = clean_collection(tmp_path / "src", tmp_path / "out", CleanOptions(jobs=1, max_pixels=2400))
    assert enough.failed == 0 and len(list((tmp_path / "out" / "images").rglob("*.png"))) == 2
    frames = open_members(tmp_path / "src", max_pixels=10**9).members()
    assert {frame.locator.max_pixels for frame in frames if isinstance(frame, Member)} == {10**9}


def test_jpeg_2000_gives_the_pixels_of_the_uncompressed_file() -> None:
    packed, plain = (list(read_frames(_example(name))) for name in ("US1_J2KR.dcm", "US1_UNCR.dcm"))

    assert len(packed) == len(plain) == 1
    np.testing.assert_array_equal(packed[0], plain[0])
