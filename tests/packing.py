"""Compression as other programs do it."""

import bz2
import gzip
import lzma

from common import files

# What the ending of a name says, and what packs a file so.
PACKERS = {".gz": gzip.compress, ".xz": lzma.compress, ".bz2": bz2.compress}
if files.zstd:
    PACKERS[".zst"] = files.zstd.compress


def compress(path, data):
    path.write_bytes(PACKERS.get(path.suffix, bytes)(data))
    return str(path)
