# SPDX-License-Identifier: Apache-2.0
"""Our test guests give their verdict; guests that die say why, and nothing else is touched."""
import re

import pytest

from machine import GUESTS

# guest -> further keys; folders that are not in this table run with the usual ones
KEYS = {"smp": ["vcpus=4", "cmdline=vcpus=4"], "ipi": ["vcpus=4"],
        "steal": ["vcpus=2", 'cpus="0 shared"', "cmdline=p"],
        "posted": ["vcpus=2"],
        "spin": ["vcpus=2", 'cpus="0 shared"', "on-poweroff=preserve"]}
# not a test of behaviour: measured by scripts/bench, or run by a test of its own
OTHERS = ("bench", "linuxboot", "virtio")
NAMES = [path.stem for path in sorted(GUESTS.glob("*.elf")) if path.stem not in OTHERS]


def run_guest(machine, name, *keys, kernel=None, seconds=60):
    """Creates, starts and watches a guest to its end; gives its console text."""
    words = ["memory=16M", f"kernel={kernel or name}", "debug-exit=yes", "on-crash=preserve",
             "on-reboot=preserve", *keys]
    machine.command(f"create {name} " + " ".join(words))
    machine.command(f"start {name}", seconds, is_error_fine=True)
    row = machine.wait_for_state(name, ("off", "crashed"), seconds)
    machine.drain()
    machine.send(f"console {name}\r")
    machine.expect(r"Ctrl-\] leaves")
    machine.expect(r"(PASS|FAIL|\S)", 10)
    text = machine.child.before + machine.child.after
    try:
        machine.expect(r"\Z(?!)", 1)
    except AssertionError:
        text += machine.child.before if isinstance(machine.child.before, str) else ""
    machine.send("\x1d")
    machine.expect("bulkhead> ")
    return row, text


def verify(machine, name):
    _, text = run_guest(machine, name, *KEYS.get(name, []))
    assert re.search(r"\w+: PASS, \d+ checks", text), text
    if name == "spin":  # loops with PAUSE end early on a CPU that tells of them, and on no other
        is_told = {"ple", "pausefilter"} & set(machine.query("info")["features"].split())
        pauses = sum(row["total"] for row in machine.query("exits spin") if row["reason"] == "pause")
        assert bool(pauses) == bool(is_told)


@pytest.mark.parametrize("name", NAMES)
def test_verdict(lab, name):
    verify(lab, name)


# other machines than the usual one: all on one pCPU; AMD-V with next-RIP save, VT-x with APICv and without
# accessed and dirty bits of EPT
VARIANTS = {"qemu": [("--cpus", "1")], "bochs": [("--cpu", "ryzen"), ("--append", "mask=eptad")]}


def pytest_generate_tests(metafunc):
    if "variant" in metafunc.fixturenames:
        metafunc.parametrize("variant", VARIANTS[metafunc.config.getoption("--platform")], ids="=".join)


def test_verdict_elsewhere(boot, variant):
    names = ("apic", "privileged", "smp", "spin")
    machine = boot(*variant, *(word for name in names for word in ("--file", f"{name}={GUESTS / name}.elf")))
    machine.wait_for_shell()
    if variant[1].startswith("mask="):
        assert variant[1][len("mask="):] not in machine.query("info")["features"].split()
    for name in names:
        verify(machine, name)


# What interrupts cost between pCPUs, with what this CPU has and without: posted ones make no exit where the target runs, and a target
# that is idle for a moment looks itself.
@pytest.mark.bochs_only
@pytest.mark.parametrize("append, is_cut", [("mask=", True), ("mask=posted halt-poll=0", False)], ids=["cut", "plain"])
def test_interrupts_between_pcpus(boot, append, is_cut):
    names = ("posted", "bench")
    machine = boot("--cpus", "3", "--append", append,
                   *(word for name in names for word in ("--file", f"{name}={GUESTS / name}.elf")))
    machine.wait_for_shell()
    assert ("posted" in machine.query("info")["features"].split()) == is_cut
    _, text = run_guest(machine, "posted", "vcpus=2", "cpus=1-2", "on-poweroff=preserve")
    assert "posted: PASS" in text, text
    exits = next(row for row in machine.query("exits posted") if row["reason"] == "interrupt")["vcpu1"]
    counts = {row["kind"]: row["count"] for row in machine.query("stats posted")["interrupts"]}
    assert counts["from-other-pcpu"] > 250
    assert counts["posted"] > 200 if is_cut else counts["posted"] == 0
    assert exits < 20 if is_cut else exits > 200
    machine.command("delete posted")
    before = machine.query("stats")["pcpus"]
    machine.command('create bench memory=32M kernel=bench debug-exit=yes vcpus=2 cpus=1-2 on-crash=preserve '
                    'cmdline="cpus=2 only=wake.cross-ipi"')
    machine.command("start bench")
    assert machine.wait_for_state("bench", ("off", "crashed"))["state"] == "off"
    after = machine.query("stats")["pcpus"]
    for column, is_saved in (("notify_interrupts", is_cut), ("polled_messages", not is_cut)):
        for old, new in list(zip(before, after))[1:]:
            assert (new[column] - old[column] < 50) == is_saved, (column, before, after)


@pytest.mark.parametrize("end", ["triple", "delivery", "jump"])
def test_death_is_told(lab, end):
    free = lab.free_memory()
    row, _ = run_guest(lab, "outside", f'cmdline="end={end}"')
    assert row["state"] in ("crashed", "off")
    assert "triple" in lab.command("events", is_error_fine=True).lower() or \
        "triple" in lab.command("list -v").lower()
    lab.command("kill outside", is_error_fine=True)
    lab.command("delete outside")
    assert lab.free_memory() == free


def test_much_to_boot(lab):
    """The VMM's page tables for the boot files were paid out of what it has for itself: with 90 MiB it could not be started."""
    free = lab.free_memory()
    modules = " ramdisk=vmlinuz-cloud" * 12
    lab.command(f'create much memory=192M kernel=outside{modules} cmdline="end=spin"')
    lab.command("start much")
    assert lab.guest("much")["state"] == "running"
    lab.command("kill much")
    lab.command("delete much")
    assert lab.free_memory() == free


def test_spinning_guest_is_killed(lab):
    free = lab.free_memory()
    lab.command('create outside memory=16M kernel=outside cmdline="end=spin"')
    lab.command("start outside")
    assert lab.guest("outside")["state"] == "running"
    info = lab.query("info")
    assert 16 << 20 < info["memory_guests_bytes"] < 24 << 20
    assert info["memory_root_bytes"] < 128 << 20
    lab.command("kill outside")
    lab.command("delete outside")
    assert lab.free_memory() == free
