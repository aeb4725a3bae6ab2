# SPDX-License-Identifier: Apache-2.0
"""A disk image with a GUID partition table (UEFI 2.10 5.3), without tools of the machine."""
import struct
import zlib

SECTOR, ENTRIES = 512, 128
LINUX = bytes.fromhex("af3dc60f838472478e793d69d8477de4")


def _header(own, other, table, last, entries):
    fields = (b"EFI PART", 0x10000, 92, 0, 0, own, other, 34, last, bytes(range(16)), table,
              ENTRIES, 128, zlib.crc32(entries))
    header = struct.pack("<8sIIIIQQQQ16sQIII", *fields)
    crc = struct.pack("<I", zlib.crc32(header))
    return (header[:16] + crc + header[20:]).ljust(SECTOR, b"\0")


def image(mib, partitions):
    """Bytes of a disk; partitions: {name: MiB}, one after the other from 1 MiB on."""
    sectors = mib * 2048
    entries, first = b"", 2048
    for number, (name, size) in enumerate(partitions.items()):
        entries += struct.pack("<16s16sQQQ72s", LINUX, bytes([number + 1] * 16), first,
                               first + size * 2048 - 1, 0, name.encode("utf-16-le"))
        first += size * 2048
    entries = entries.ljust(ENTRIES * 128, b"\0")
    disk = bytearray(sectors * SECTOR)
    disk[SECTOR:2 * SECTOR] = _header(1, sectors - 1, 2, sectors - 34, entries)
    disk[2 * SECTOR:34 * SECTOR] = entries
    disk[-33 * SECTOR:-SECTOR] = entries
    disk[-SECTOR:] = _header(sectors - 1, 1, sectors - 33, sectors - 34, entries)
    return bytes(disk)
