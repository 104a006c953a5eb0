"""Read the frames of DICOM files as 8-bit pictures; needs the extra `dicom`.

Only pixels are read. Names, dates and numbers in the header are dropped with it, but whatever is burned into the
pixels stays unless it is found and removed: this is not de-identification.
"""

import io
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from radrefine.errors import ImageError, MissingExtraError
from radrefine.images import DEFAULT_MAX_PIXELS
from radrefine.records import Image

if TYPE_CHECKING:
    from pydicom import Dataset

MOST_FRAMES: Final = 10_000
"""Frames of one file above which it is refused; the longest cine loops have some thousand."""

_MOST_COLOUR_BITS: Final = 8
_META_START: Final = 132
_DEFLATED: Final = b"1.2.840.10008.1.2.1.99"
_INFLATED_AT_ONCE: Final = 2**24
# As large as a file may be that is not deflated.
_MOST_INFLATED: Final = 256 * 2**20
# `warnings.catch_warnings` changes the whole process, so only one thread may be inside it.
_LOCK: Final = threading.Lock()


def count_frames(data: bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> int:
    """Count the frames of a DICOM file from its header alone.

    Args:
        data: The whole file.
        max_pixels: Rows times columns above which it is refused.

    Raises:
        ImageError: It is no DICOM file, holds no pictures, or more or larger ones than allowed.
        MissingExtraError: The extra `dicom` is not installed.
    """
    return _frames_of(_parse(data, pixels=False), max_pixels)


class DicomFile:
    """A DICOM file whose frames can be decoded, parsed once for all of them.

    Args:
        data: The whole file.
        max_pixels: Rows times columns above which it is refused.

    Attributes:
        frames: How many there are.

    Raises:
        ImageError: See `count_frames`.
        MissingExtraError: The extra `dicom` is not installed.
    """

    def __init__(self, data: bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> None:
        self.frames = _frames_of(_parse(data, pixels=False), max_pixels)
        self._dataset = _parse(data, pixels=True)
        _order_palette(self._dataset)

    def read(self, index: int) -> Image:
        """Decode one frame; see `read_frame`."""
        if not 0 <= index < self.frames:
            raise ImageError(f"frame {index} is not in the file, which holds {self.frames}")
        try:
            with _LOCK, warnings.catch_warnings():
                warnings.simplefilter("ignore")  # remarks on odd headers; what matters becomes an error below
                return _decode(self._dataset, index)
        except (MemoryError, ImageError):
            raise
        except Exception as error:  # pydicom and its decoders let many kinds of error out of damaged pixels
            raise ImageError(f"frame {index} cannot be decoded: {_first_line(error)}") from None


def read_frames(data: bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Iterator[Image]:
    """Yield the frames of a DICOM file in their order; see `read_frame`."""
    file = DicomFile(data, max_pixels=max_pixels)
    for index in range(file.frames):
        yield file.read(index)


def read_frame(data: bytes, index: int, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Image:
    """Decode one frame of a DICOM file.

    Colours come as RGB whatever the file holds them as (YBR, palette). Grey frames pass through the modality table and
    the window of the file; without a window, 8-bit frames stay as they are and deeper ones are stretched between their
    own darkest and brightest value. MONOCHROME1 is inverted, so that more is brighter. Orientation is that of the file.

    Args:
        data: The whole file.
        index: Number of the frame, from 0.
        max_pixels: Rows times columns above which it is refused.

    Returns:
        (H, W) or (H, W, 3) RGB, uint8.

    Raises:
        ImageError: See `count_frames`; also where the pixels cannot be decoded.
        MissingExtraError: The extra `dicom` is not installed.
    """
    return DicomFile(data, max_pixels=max_pixels).read(index)


def _pydicom() -> Any:
    try:
        import pydicom
    except ImportError:
        raise MissingExtraError("pydicom", "dicom") from None
    return pydicom


def _parse(data: bytes, *, pixels: bool) -> "Dataset":
    pydicom = _pydicom()
    try:
        with _LOCK, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _refuse_bomb(data)
            return pydicom.dcmread(io.BytesIO(data), stop_before_pixels=not pixels)
    except (MemoryError, ImageError):
        raise
    except Exception as error:  # damaged headers let many kinds of error out
        raise ImageError(f"not a DICOM file: {_first_line(error)}") from None


def _refuse_bomb(data: bytes) -> None:
    """Refuse a file of the deflated syntax that unpacks to more than a file may hold: pydicom unpacks all of it."""
    if _DEFLATED not in data:
        return
    from pydicom.filereader import read_dataset

    file = io.BytesIO(data)
    file.seek(_META_START)
    meta = read_dataset(file, is_implicit_VR=False, is_little_endian=True, stop_when=lambda tag, *_: tag >> 16 != 2)
    if str({element.keyword: element.value for element in meta}.get("TransferSyntaxUID")) != _DEFLATED.decode():
        return
    packed, unpacked = data[file.tell() :], 0
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    while packed:
        unpacked += len(inflater.decompress(packed, _INFLATED_AT_ONCE))
        if unpacked > _MOST_INFLATED:
            raise ImageError(f"it unpacks to more than the {_MOST_INFLATED:,} bytes allowed")
        packed = inflater.unconsumed_tail


def _frames_of(header: "Dataset", max_pixels: int) -> int:
    try:
        with _LOCK, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            rows, columns = int(header.get("Rows") or 0), int(header.get("Columns") or 0)
            frames = int(header.get("NumberOfFrames") or 1)
    except Exception as error:  # elements are parsed as they are asked for, and damaged ones let out many kinds
        raise ImageError(f"the header is damaged: {_first_line(error)}") from None
    if rows < 1 or columns < 1:
        raise ImageError("the DICOM file holds no picture; expected rows and columns of pixels")
    if rows * columns > max_pixels:
        raise ImageError(
            f"the header says {columns} x {rows} px, more than the {max_pixels:,} pixels allowed; "
            "raise --max-pixels if that size is real"
        )
    if not 1 <= frames <= MOST_FRAMES:
        raise ImageError(f"the header says {frames:,} frames; expected 1 to {MOST_FRAMES:,}")
    return frames


def _decode(dataset: "Dataset", index: int) -> Image:
    from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
    from pydicom.pixels.utils import pixel_array

    _check_stream(dataset, index)
    stored = pixel_array(dataset, index=index)
    kind = str(dataset.PhotometricInterpretation)
    if stored.ndim == 3:
        if stored.dtype != np.uint8:
            raise ImageError(f"colours of {stored.dtype}; expected {_MOST_COLOUR_BITS} bits per channel")
        return np.ascontiguousarray(stored)
    if kind == "PALETTE COLOR":
        return _coloured(stored, dataset)
    _drop_empty(dataset)
    values = apply_modality_lut(stored, dataset)
    if "WindowWidth" in dataset or "VOILUTSequence" in dataset:
        values = _stretched(apply_voi_lut(values, dataset), *_window(dataset, values))
    elif values.dtype != np.uint8:
        values = _stretched(values, float(values.min()), float(values.max()))
    elif dataset.BitsStored < 8:
        values = _stretched(values, 0.0, 2.0**dataset.BitsStored - 1)
    grey = np.asarray(values, np.uint8)
    # Where a file says both it asks for one inversion, not for two.
    inverse = kind == "MONOCHROME1" or dataset.get("PresentationLUTShape") == "INVERSE"
    return np.ascontiguousarray(255 - grey if inverse else grey)


def _coloured(stored: NDArray, dataset: "Dataset") -> Image:
    """Return the colours that a palette gives to stored values."""
    from pydicom.pixels.processing import apply_color_lut

    colours = apply_color_lut(stored, dataset)
    if colours.dtype == np.uint8:
        return np.ascontiguousarray(colours)
    # Some files hold 8-bit colours in words of 16; the whole table tells, one frame may show its dark end alone.
    table = apply_color_lut(np.arange(2 ** int(dataset.BitsStored), dtype=stored.dtype), dataset)
    return np.ascontiguousarray((colours if table.max() < 256 else colours >> 8).astype(np.uint8))


def _order_palette(dataset: "Dataset") -> None:
    """Bring the words of a palette into the order of this machine, in place, once for all frames.

    pydicom reads numbers and segmented tables in the order of the file, but not words of raw bytes.
    """
    if dataset.original_encoding[1]:
        return
    for colour in ("Red", "Green", "Blue"):
        table = dataset.get(f"{colour}PaletteColorLookupTableData")
        if isinstance(table, bytes) and len(table) % 2 == 0:
            setattr(
                dataset, f"{colour}PaletteColorLookupTableData", np.frombuffer(table, ">u2").astype("<u2").tobytes()
            )


def _drop_empty(dataset: "Dataset") -> None:
    """Remove what says how values are shown and says nothing: it is empty, as anonymisers leave it, zero, or half."""
    pairs = (("WindowCenter", "WindowWidth"), ("RescaleSlope", "RescaleIntercept"))
    for names in (*pairs, ("VOILUTSequence",), ("ModalityLUTSequence",)):
        values = [dataset.get(name) for name in names]
        if any(value is None or value == "" or value == [] for value in values):
            for name in names:
                dataset.pop(name, None)
    for name, other in (("WindowWidth", "WindowCenter"), ("RescaleSlope", "RescaleIntercept")):
        if name in dataset and not np.all(np.asarray(dataset[name].value, np.float64)):
            del dataset[name], dataset[other]
    # Scaling by one makes numbers with a fraction of bytes, which would be stretched, frame by frame.
    if (dataset.get("RescaleSlope"), dataset.get("RescaleIntercept")) == (1, 0):
        del dataset["RescaleSlope"], dataset["RescaleIntercept"]


def _window(dataset: "Dataset", values: NDArray) -> tuple[float, float]:
    """Return what the window maps to black and to white."""
    from pydicom.pixels.processing import apply_voi_lut

    if "VOILUTSequence" in dataset:
        table = dataset.VOILUTSequence[0].LUTDescriptor
        return 0.0, float(2 ** int(table[2]) - 1)
    # The ends of the window's scale, which the values themselves need not reach.
    ends = np.array([[-1e9, 1e9]], np.float64)
    low, high = apply_voi_lut(ends, dataset)[0]
    return float(low), float(high)


def _stretched(values: NDArray, low: float, high: float) -> NDArray[np.uint8]:
    if high <= low:
        return np.zeros(values.shape, np.uint8)
    scaled = (values.astype(np.float64) - low) * (255 / (high - low))
    return np.rint(scaled.clip(0, 255)).astype(np.uint8)


def _check_stream(dataset: "Dataset", index: int) -> None:
    """Refuse compressed pixels whose own header is larger than that of the file: decoders trust the former."""
    from pydicom.encaps import get_frame

    if not dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        return
    frames = int(dataset.get("NumberOfFrames") or 1)
    stream = get_frame(dataset.PixelData, index, number_of_frames=frames)
    said = _jpeg_size(stream)
    if said is not None and said != (int(dataset.Rows), int(dataset.Columns)):
        raise ImageError(f"its pixels are {said[1]} x {said[0]} px, the header says {dataset.Columns} x {dataset.Rows}")


def _jpeg_size(stream: bytes) -> tuple[int, int] | None:
    """Return rows and columns of a JPEG or JPEG-LS stream, None where it is something else."""
    if not stream.startswith(b"\xff\xd8"):
        return None
    position = 2
    while position + 9 <= len(stream) and stream[position] == 0xFF:
        code = stream[position + 1]
        if code == 0xF7 or (0xC0 <= code <= 0xCF and code not in (0xC4, 0xC8, 0xCC)):
            rows, columns = struct.unpack_from(">HH", stream, position + 5)
            return rows, columns
        position += 1 if code == 0xFF else 2 + struct.unpack_from(">H", stream, position + 2)[0]
    return None


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
