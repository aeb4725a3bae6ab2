# SPDX-License-Identifier: Apache-2.0
"""Virtio devices from a driver of our own: good and broken rings, neighbours, restarts of mgmt."""
import re
import time

import pytest

from machine import Machine, clean

OPTIONS = "memory=16M kernel=virtio debug-exit=yes on-crash=preserve on-reboot=preserve " \
          "on-poweroff=preserve"
REASONS = [
    "holds more than the queue's size", "descriptor that does not exist", "outside its table",
    "too many descriptors", "outside the guest's memory", "length is not allowed",
    "readable descriptor follows", "without VIRTIO_F_INDIRECT_DESC", "indirect descriptor",
]


def start(machine: Machine, name, cmdline, *keys):
    machine.command(f'create {name} {OPTIONS} cmdline="{cmdline}" ' + " ".join(keys))
    machine.command(f"start {name}")


def rounds(machine: Machine, count):
    return f"rounds={count if machine.platform == 'qemu' else count // 10}"


def end(machine: Machine, name, seconds=300):
    """Waits for the guest's verdict; gives its console text."""
    machine.wait_for_state(name, ("off", "crashed"), seconds)
    machine.drain()
    machine.send(f"console {name}\r")
    machine.expect(r"virtio: (PASS|FAIL), [^\n]*\n", 30)
    text = clean(machine.child.before + machine.child.after)
    machine.send("\x1d")
    machine.expect("bulkhead> ")
    machine.drain(0.2)
    assert "virtio: PASS" in text, text
    return text


def remove(machine: Machine, *names):
    for name in names:
        machine.command(f"kill {name}", is_error_fine=True)
        machine.command(f"delete {name}")


def test_rings(lab):
    """Both kinds of rings, interrupts; then every kind of broken ring, each with a reason."""
    free = lab.free_memory()
    start(lab, "rings", "need=blk,net", "disk=ram:1M", "net=rings")
    text = end(lab, "rings")
    for part in ("split: done", "packed, indirect, event index: done", "packed chain without end",
                 "changes after the kick", "kicks", "resets"):
        assert part in text, text
    remove(lab, "rings")
    assert lab.free_memory() >= free - (1 << 20)  # the switch stays


def test_ports_vsock_balloon(lab):
    """The same broken rings, what is wrong for these devices alone, and lent or reported memory that is used."""
    free = lab.free_memory()
    start(lab, "ports", "need=console,vsock,balloon", "console=both", "console-port=p", "vsock=9",
          "balloon-reporting=yes", "on-poweroff=preserve")
    text = end(lab, "ports")
    for part in ("console: slot", "vsock: slot", "CID 9", "balloon: slot", "loop in a table", "reports: done"):
        assert part in text, text
    lab.send("console ports -t virtio\r")
    lab.expect(r"emergency!\r?\n(.|\n)*by the queue", 30)
    lab.expect("the guest is off", 30)
    lab.expect("bulkhead> ")
    remove(lab, "ports")
    assert lab.free_memory() >= free - (1 << 20)


def test_broken_rings_are_told(lab):
    start(lab, "liar", "need=blk", "disk=ram:1M")
    end(lab, "liar")
    events = lab.command("events", 60)
    assert re.search(r"blk device 0 is stopped until its driver resets it", events), events
    assert any(reason in events for reason in REASONS), events
    remove(lab, "liar")


def test_neighbours_go_on(lab):
    """One guest's broken rings; another's reads and writes."""
    start(lab, "good", f"need=blk break=no {rounds(lab, 1500)}", "disk=ram:1M")
    start(lab, "liar", "need=blk", "disk=ram:1M")
    end(lab, "liar")
    assert "broken: " not in end(lab, "good")
    remove(lab, "good", "liar")


def test_restarts_of_mgmt(lab):
    """mgmt is started again while a guest writes and reads; the guest sees a pause and no error."""
    start(lab, "steady", f"need=blk break=no {rounds(lab, 3000)}", "disk=ram:1M")
    for _ in range(3):
        time.sleep(1)
        lab.send("host restart-mgmt\r")
        lab.expect("starting it again|verbs", 60)
        lab.wait_for_shell()
    end(lab, "steady")
    # What was counted outlives mgmt: each round wrote and read 8 KiB, over 4 kinds of rings.
    count = 4 * int(rounds(lab, 3000).split("=")[1])
    row = next(row for row in lab.query("disk list") if row["guest"] == "steady")
    assert row["writes"] >= count and row["written_bytes"] >= 8192 * count, row
    assert row["reads"] >= count and row["flushes"] > 0
    spans = {row["where"]: row for row in lab.query("latency steady") if row["reason"] == "blk0"}
    assert spans["service"]["count"] >= 2 * count and spans["queue"]["count"] > 0, spans
    remove(lab, "steady")


def exits(machine: Machine, name):
    return {row["reason"]: row["total"] for row in machine.query(f"exits {name}")}


def test_kicks_hand_over(lab):
    """A guest on mgmt's pCPU kicks for each request: mgmt runs at once, and the answer is there when the guest goes on."""
    start(lab, "kicker", "bench=kicks rounds=1000", "disk=ram:1M", 'cpus="0 shared"')
    lab.wait_for_state("kicker", ("off", "crashed"), 60)
    counts = exits(lab, "kicker")
    assert counts["doorbell"] >= 990, counts  # the first may be the slow path's
    assert counts.get("hlt", 0) < 500, counts
    remove(lab, "kicker")


@pytest.mark.qemu_only  # on Bochs, whose seconds are long (docs/caveats.md), the neighbour takes minutes
def test_kicks_without_end(lab):
    """It does nothing else for ever; its neighbour on the same pCPU does its work, and mgmt answers."""
    start(lab, "kicker", "repeat=blk.qd1", "disk=ram:1M", 'cpus="0 shared"')
    start(lab, "other", "need=blk break=no rounds=20", "disk=ram:1M", 'cpus="0 shared"')
    end(lab, "other")
    before = exits(lab, "kicker")["doorbell"]
    remove(lab, "other")
    assert exits(lab, "kicker")["doorbell"] > before > 0
    remove(lab, "kicker")


@pytest.mark.qemu_only  # what matters is in ring 3
def test_taken_away_and_mgmt_restarts(lab):
    """A device is taken away, mgmt is started again before the guest has let go, the guest is reset: that waited for ever."""
    start(lab, "wire", "repeat=net", "net=two", "net=two")
    lab.command("net del wire 1")
    lab.send("host restart-mgmt\r")
    lab.expect("starting it again|verbs", 60)
    lab.wait_for_shell()
    lab.command("reset wire", 60)
    lab.wait_for_state("wire", ("off",), 60)  # it misses its second interface
    assert re.search(r"wire +reset\n.*wire +started", lab.command("events"))
    remove(lab, "wire")


@pytest.mark.qemu_only  # what matters is in ring 3
def test_mgmt_dies_while_a_guest_starts(lab):
    """root makes the partition; who asked for it is dead when it is given to it. The next mgmt had a guest that was "not started"."""
    options = OPTIONS.replace("16M", "400M")
    lab.command(f'create big {options} cmdline="repeat=blk.qd1" disk=ram:1M')
    lab.drain()
    lab.send("start big\r\x03host crash-mgmt 3000\r")
    lab.expect("mgmt was started again", 90)
    lab.wait_for_shell()
    lab.wait_for_state("big", ("running",), 60)
    remove(lab, "big")


def test_no_devices(lab):
    """A guest without the keys has no device and no hot-plug slots."""
    start(lab, "bare", "")
    assert "block:" not in end(lab, "bare")
    remove(lab, "bare")
