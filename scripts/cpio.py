# SPDX-License-Identifier: Apache-2.0
"""Archives for the kernel's initramfs."""
import gzip
import os


class Archive:
    """A cpio archive in the newc format of the kernel's buffer-format.rst."""

    def __init__(self):
        self.data = bytearray()
        self.number = 0

    def add(self, name, mode, content=b"", device=(0, 0)):
        self.number += 1
        fields = (self.number, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(name) + 1, 0)
        self.data += b"070701" + b"".join(b"%08X" % field for field in fields)
        self.data += name.encode() + b"\0"
        self.pad()
        self.data += content
        self.pad()

    def pad(self):
        self.data += bytes(-len(self.data) % 4)

    def finish(self):
        self.number = -1
        self.add("TRAILER!!!", 0)
        return bytes(self.data)

    def write(self, out, level=9):
        """The finished archive in gzip's format; the same content gives the same bytes."""
        out.parent.mkdir(parents=True, exist_ok=True)
        with open(f"{out}.new", "wb") as file:
            with gzip.GzipFile("", "wb", level, file, mtime=0) as packed:
                packed.write(self.finish())
        os.replace(f"{out}.new", out)
