"""Images and labels of a split folder, as batches of tensors.

`split` reads the folder and proves that nothing leaks, `images` decodes and keeps, `transforms` augments,
`loader` puts batches together. Order and augmentation depend on seed, epoch and index only, never on the workers.
"""

from pgnm.data.images import decode_image
from pgnm.data.loader import Loader, build_loader
from pgnm.data.split import Split, find_split, load_split

__all__ = ["Loader", "Split", "build_loader", "decode_image", "find_split", "load_split"]
