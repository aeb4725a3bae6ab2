# SPDX-License-Identifier: Apache-2.0
"""Kernels that are not Linux: memtest86+ finds the partition's memory and passes its first tests."""


def test_memtest(lab):
    lab.command('create memtest memory=64M kernel=memtest cmdline="console=ttyS0,115200"')
    lab.command("start memtest", 60)
    lab.send("console memtest\r")
    lab.expect("Memtest86", 120)
    lab.expect(r"6[0-9](\.\d)?\s?M", 60)
    lab.expect(r"#[1-9]|Test #?\s*[1-9]", 240)
    lab.send("\x1d")
    lab.expect("bulkhead> ")
