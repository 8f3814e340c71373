"""Text in compressed parts that are one gzip stream when they are sent one after the other, and can be unpacked one by one.

    packing = Packing()
    parts = [packing.add(b"..."), packing.add(b"...")]
    whole = HEAD + b"".join(parts) + tail(packing.crc32, packing.size_bytes)

Several gzip streams in a row would be simpler, but many clients read the first one only.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

HEAD = bytes((0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 255))
"""Of RFC 1952: deflate, no name, no time, no system."""

LAST_BLOCK = bytes((3, 0))
"""An empty block that says that it is the last one."""

LEVEL = 5
RAW = -15


@dataclass(slots=True)
class Packing:
    """What the tail needs to know of all parts so far."""

    size_bytes: int = 0
    crc32: int = 0

    def add(self, text: bytes) -> bytes:
        """The next part. It refers to none before it."""
        packer = zlib.compressobj(LEVEL, zlib.DEFLATED, RAW)
        part = packer.compress(text) + packer.flush(zlib.Z_FULL_FLUSH)
        self.size_bytes += len(text)
        self.crc32 = zlib.crc32(text, self.crc32)
        return part


def tail(crc32: int, size_bytes: int) -> bytes:
    return LAST_BLOCK + crc32.to_bytes(4, "little") + (size_bytes % 2**32).to_bytes(4, "little")


def unpacked(part: bytes) -> bytes:
    return zlib.decompressobj(RAW).decompress(part)
