# SPDX-License-Identifier: Apache-2.0
"""Resources: clear messages when they do not suffice, and all of them back in the pool afterwards."""
import re
import time

import pytest

ROUNDS = {"qemu": 1000, "bochs": 50}


@pytest.mark.parametrize("what, keys", [
    ("bad kernel image", "memory=16M kernel=garbage"),
    ("missing kernel", "memory=16M kernel=nothing-there"),
    ("too much memory", "memory=512G kernel=hello"),
    ("too little for the kernel", "memory=2M kernel=vmlinuz-cloud"),
    ("no such pCPU", "memory=16M kernel=hello cpus=200"),
])
def test_clear_error(lab, what, keys):
    free = lab.free_memory()
    created = lab.command(f"create unfit {keys}", is_error_fine=True)
    said = created + "\n" + lab.command("start unfit", 60, is_error_fine=True)
    assert re.search(r"^error: .{10,}", said, re.MULTILINE), f"{what}: {said}"
    lab.command("delete unfit", is_error_fine=True)
    assert lab.free_memory() == free


def test_taken_cpus(lab):
    lab.command('create first memory=16M kernel=outside cpus=1 cmdline="end=spin"')
    lab.command('create second memory=16M kernel=outside cpus=1 cmdline="end=spin"')
    lab.command("start first")
    said = lab.command("start second", is_error_fine=True)
    assert re.search(r"^error: .*\b1\b", said, re.MULTILINE), said
    assert lab.guest("first")["state"] == "running"


def test_many_small_guests(lab):
    """Create and destroy: free memory is the same to the byte, and the last start costs what the
    first did."""
    rounds = ROUNDS[lab.platform]

    def once():
        started = time.monotonic()
        lab.send("create small memory=4M kernel=hello debug-exit=yes\rstart small\rkill small\r"
                 "delete small\r")  # typed ahead: no time between the verbs
        lab.expect("guest small (is running|has ended)")
        lab.expect("guest small is deleted")
        return time.monotonic() - started

    once()
    lab.drain(0.5)
    free = lab.free_memory()
    times = [once() for _ in range(rounds)]
    lab.drain(0.5)
    assert lab.free_memory() == free
    tenth = max(rounds // 10, 1)
    assert sorted(times[-tenth:])[tenth // 2] < 2 * sorted(times[:tenth])[tenth // 2] + 0.2
