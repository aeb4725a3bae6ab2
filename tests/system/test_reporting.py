# SPDX-License-Identifier: Apache-2.0
"""Free-page reporting: what a Linux guest frees is the machine's, until the guest touches it again."""
import pytest

from machine import DEMO_FILES

MIB = 1 << 20
IDLE_MIB = 48  # that an idle guest gives back at least; Linux reports while it has more than 64 MiB free
# Without clearing of pages by the guest, its disk and its processes are the first to touch them.
KEYS = ["memory=192M", "kernel=vmlinuz", "ramdisk=demo.cpio.gz", "balloon-reporting=yes", "vcpus=2",
        "disk=ram:16M", 'cmdline="console=ttyS0 quiet hostname=alpha init_on_alloc=0"']

pytestmark = pytest.mark.qemu_only


@pytest.fixture(scope="module")
def machine(platform, log_folder):
    from conftest import start_machine
    arguments = ["--boot", "kernel", "--memory", "304M", *DEMO_FILES]
    machine = start_machine(platform, log_folder, "reporting", [str(a) for a in arguments], 600)
    try:
        machine.wait_for_shell()
        machine.command(f"create alpha {' '.join(KEYS)}")
        machine.free_at_start = machine.free_memory()
        machine.command("start alpha", 60)
        with machine.console("alpha") as console:
            console.wait_for_prompt(300)
        yield machine
    finally:
        machine.close()


def wait_for(machine, is_reached):
    """Until mem-stat says so; gives what it says."""
    for _ in range(300):
        row = machine.query("mem-stat alpha")
        if is_reached(row):
            return row
    raise AssertionError(f"not reached: {row}")


def is_given_back(row):
    return row["given_back_bytes"] >= IDLE_MIB * MIB


def nearly_all(row, left_mib):
    """MiB of the guest's free memory, more than it has without what it gave back."""
    assert row["free_bytes"] > (left_mib + 16) * MIB, row
    return row["free_bytes"] // MIB - left_mib


def test_free_memory_goes_and_comes(machine):
    """The machine gets what is free, the guest gets it back by using it, and its data stay through mgmt's restart."""
    # A report counts once it is answered.
    row = wait_for(machine, lambda row: is_given_back(row) and row["reported_bytes"] >= IDLE_MIB * MIB)
    assert row["is_reporting"] and row["balloon_bytes"] == 0
    # 16 MiB for its disk, as much for what it costs beside its memory and touches meanwhile.
    assert machine.free_memory() >= machine.free_at_start - 224 * MIB + row["given_back_bytes"]
    with machine.console("alpha") as console:
        console.read("mkdir -p /mnt/t; mount -t tmpfs -o size=170M t /mnt/t")
        console.read(f"dd if=/dev/zero of=/mnt/t/fill bs=1M count={nearly_all(row, 48)} 2>/dev/null")
        console.read("dd if=/dev/urandom of=/mnt/t/big bs=1M count=16 2>/dev/null", 120)
        total = console.read("sha256sum </mnt/t/big", 60)
    after = machine.query("mem-stat alpha")
    assert after["touched_bytes"] > row["touched_bytes"], after
    machine.restart_mgmt()
    with machine.console("alpha") as console:
        assert console.read("sha256sum </mnt/t/big", 60) == total
        console.read("dd if=/mnt/t/big of=/dev/vda bs=1M 2>/dev/null; sync; rm /mnt/t/*; "
                     "echo 3 >/proc/sys/vm/drop_caches")
    wait_for(machine, is_given_back)
    # The disk writes into memory that the guest has not touched again.
    with machine.console("alpha") as console:
        assert console.read("dd if=/dev/vda bs=1M count=16 2>/dev/null | sha256sum", 60) == total
        assert console.read("dmesg | grep -i -E 'oops|bad page|I/O error|stalled' | cat") == ""
        console.read("echo 3 >/proc/sys/vm/drop_caches")


@pytest.mark.long
def test_no_memory_left(machine):
    """Others have what the guest gave back: it waits, can be paused meanwhile, and goes on when there is some."""
    row = wait_for(machine, is_given_back)
    size = machine.free_memory() // MIB - 8
    machine.command(f"create hog memory={size}M kernel=vmlinuz")
    machine.command("start hog", 120)
    machine.wait_for_state("hog", ("running",))
    machine.command("pause hog")
    with machine.console("alpha") as console:
        size = nearly_all(row, 24)
        console.read(f"(dd if=/dev/zero of=/mnt/t/big bs=1M count={size} 2>/dev/null; "
                     "wc -c </mnt/t/big >/mnt/t/count) & true")
    wait_for(machine, lambda row: row["is_short"])
    assert "waits for memory" in machine.command("events")
    machine.command("pause alpha")
    machine.command("resume alpha")
    machine.command("kill hog", 60)
    with machine.console("alpha") as console:
        console.read("until [ -s /mnt/t/count ]; do sleep 0.1; done", 120)
        assert int(console.read("cat /mnt/t/count")) == size * MIB
    assert not machine.query("mem-stat alpha")["is_short"]


@pytest.mark.long
def test_next_life_has_all(machine):
    """A reset brings all of it back before the guest starts again."""
    machine.command("reset alpha", 120)
    with machine.console("alpha") as console:
        console.wait_for_prompt(300)
    wait_for(machine, is_given_back)
