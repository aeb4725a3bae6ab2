# SPDX-License-Identifier: Apache-2.0
"""The trace: what the kernel wrote, saved over the serial line, converted, and held against the counters. Stolen time."""
import base64
import hashlib
import json
import re
import struct
import subprocess
import sys
import time

import pytest

from machine import ROOT

CONVERTER = ROOT / "scripts/trace2json"
BEGIN, END = "-----BEGIN BULKHEAD TRACE 1-----", "-----END BULKHEAD TRACE-----"
ENTER, EXIT, INJECT, SWITCH, SIGNAL, CALL, CALL_END, INTERRUPT = range(1, 9)
REASONS = "io mmio cpuid"


def run_converter(text):
    """(status, JSON or None, what it said)."""
    done = subprocess.run([sys.executable, str(CONVERTER)], input=text, capture_output=True,
                          text=True, timeout=120, check=False)
    return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr


def block(cpus, lost=0, hz=1000000000):
    """A block as `trace save` prints it; cpus: a list of (first, records)."""
    lines = [BEGIN, f"tsc-hz {hz}", f"reasons {REASONS}", "domain 2 mgmt", "guest 7 2 alpha"]
    sha = hashlib.sha256()
    count = 0
    for number, (first, records) in enumerate(cpus):
        lines.append(f"cpu {number} {first} {first + len(records)}")
        data = [struct.pack("<QIHBB", *record) for record in records]
        for at in range(0, len(data), 3):
            piece = b"".join(data[at:at + 3])
            sha.update(piece)
            lines.append(base64.b64encode(piece).decode())
        count += len(records)
    lines += [f"records {count} lost {lost}", f"sha256 {sha.hexdigest()}", END]
    return "\n".join(["[noise] before", *lines, "bulkhead> after"])


SMALL = [
    (1000, 0x10, 3, 0, SWITCH), (2000, 0, 7, 1, ENTER), (3000, 0, 7, 1, EXIT),
    (3500, 5, 3, 19, CALL), (3600, 0, 3, 19, CALL_END), (4000, 1, 7, 1, ENTER),
    (5000, 2, 7, 1, EXIT), (5100, 0x80000040, 7, 1, INJECT), (6000, 4, 7, 1, ENTER),
    (7000, 0x30, 0, 0, INTERRUPT), (8000, 0x20, 70, 0, SIGNAL), (9000, 0x20, 2, 0, SWITCH),
]


def check_shape(trace):
    """Every event is whole, and the slices of a thread follow each other in time. Perfetto binds an arrow to what has begun last on
    its thread in the order of the file, so that must be the signal, and the slice of the thread that it woke."""
    ends, begun, arrows, named = {}, {}, {}, set()
    now = 0
    for event in trace["traceEvents"]:
        assert {"ph", "pid", "tid", "name"} <= event.keys()
        assert isinstance(event["name"], str)
        assert event["ph"] in "MXisf" and isinstance(event["pid"], int) and isinstance(event["tid"], int)
        key = (event["pid"], event["tid"])
        if event["ph"] == "M":
            named |= {event["pid"]} if event["name"] == "process_name" else {key}
            continue
        assert event["ts"] >= now and key in named and event["pid"] in named
        now = event["ts"]
        if event["ph"] in "Xi":
            begun[key] = event
        if event["ph"] == "X":
            assert event["ts"] >= ends.get(key, 0) - 0.002, (key, event)
            assert event["dur"] >= 0
            ends[key] = event["ts"] + event["dur"]
        if event["ph"] == "s":
            assert begun[key]["ts"] == now and event["id"] not in arrows, event
            arrows[event["id"]] = event["name"], event["cat"]
        if event["ph"] == "f":
            assert begun[key]["ts"] == now and event["bp"] == "e", event
            assert arrows[event["id"]] == (event["name"], event["cat"])


def exits_of(trace, guest):
    return {row["reason"]: row["count"] for row in trace["otherData"]["exits"]
            if row["guest"] == guest}


def test_converter_tells_who_did_what():
    status, trace, said = run_converter(block([(0, SMALL), (5, [])], lost=5))
    assert status == 0, said
    check_shape(trace)
    slices = [(event["name"], event["ts"], event["dur"]) for event in trace["traceEvents"]
              if event["ph"] == "X" and event["pid"] == 7]
    assert slices == [("guest", 1, 1), ("io (VMM)", 2, 1), ("guest", 3, 1),
                      ("cpuid (kernel)", 4, 1), ("guest", 5, 3), ("halted or waiting", 8, 0)]
    names = {(event["pid"], event["name"]) for event in trace["traceEvents"]}
    assert (7, "interrupt 64") in names
    by_name = {event["name"]: event for event in trace["traceEvents"] if event["ph"] in "Xi"}
    assert by_name["event-signal"]["args"] == {"argument": 5, "result": 0}
    assert by_name["vector 48"]["ph"] == "i"
    assert by_name["alpha vCPU 1"]["dur"] == 8 and "mgmt" in by_name
    flows = [event["ph"] for event in trace["traceEvents"] if event.get("cat") == "wake"]
    assert flows == ["s", "f"]
    assert exits_of(trace, "alpha") == {"io": 1, "cpuid": 1}
    assert trace["otherData"]["lost"] == 5


def test_converter_sorts_what_was_finished_at_once():
    records = [(100, 0, 7, 0, ENTER), (300, 0x80000041, 7, 0, INJECT), (200, 1, 7, 0, EXIT),
               (400, 2, 7, 0, ENTER)]
    status, trace, said = run_converter(block([(0, records)]))
    assert status == 0, said
    check_shape(trace)


@pytest.mark.parametrize("change, reason", [
    (lambda text: "nothing", "no line"),
    (lambda text: text[:text.index(END)], "no end"),
    (lambda text: text.replace("records 12", "records 13"), "holds 12"),
    (lambda text: re.sub("sha256 ....", "sha256 0000", text), "SHA-256"),
    (lambda text: text.replace("cpu 0 0 12", "cpu 0 0 13"), "1 records of pCPU 0 are missing"),
    (lambda text: text.replace("cpu 0 0 12", "cpu 0 0 11"), "more records"),
    (lambda text: text.replace("cpu 0 0 12", "cpu 0 12 0"), "out of order"),
    (lambda text: text.replace("tsc-hz 1000000000", "tsc-hz 0"), "tsc-hz"),
    (lambda text: text.replace("tsc-hz 1000000000", "tsc-hz many"), "not understood"),
    (lambda text: text.replace("domain 2", "d$main 2"), "no base64"),
    (lambda text: text.replace("cpu 0 0 12\n", ""), "belong to no pCPU"),
])
def test_converter_refuses(change, reason):
    status, trace, said = run_converter(change(block([(0, SMALL)])))
    assert (status, trace) == (1, None)
    assert reason in said, said


def test_converter_refuses_unknown_kinds():
    status, _, said = run_converter(block([(0, [(1, 0, 0, 0, 77)])]))
    assert status == 1 and "kind 77" in said


def save(machine):
    """`trace save`, converted."""
    machine.drain()
    machine.send("trace save\r")
    machine.expect(re.escape(END), 240)
    text = machine.child.before + machine.child.after
    machine.expect(r"bulkhead> ")
    status, trace, said = run_converter(text)
    assert status == 0, said
    check_shape(trace)
    return trace


def test_trace_of_a_guest(lab):
    """Start, run a guest to its end, stop, save: exits are those that the counters tell."""
    free = lab.free_memory()
    assert "error" in lab.command("trace", is_error_fine=True)
    assert "error" in lab.command("trace save", is_error_fine=True)
    assert "error" in lab.command("trace start everything", is_error_fine=True)
    assert "error" in lab.command("trace start --size 4K", is_error_fine=True)
    lab.command("trace start exits,injections,scheduling,signals --size 1M")
    assert "error" in lab.command("trace save", is_error_fine=True)  # it is still written
    state = lab.query("trace")["trace"]
    assert state["is_on"] and state["kinds"] == "exits,injections,scheduling,signals"
    lab.command("create steal memory=16M kernel=steal on-poweroff=preserve")
    lab.command("start steal", is_error_fine=True)
    lab.wait_for_state("steal", ("off", "crashed"))
    lab.command("trace stop")
    counted = {row["reason"]: row["total"] for row in lab.query("exits steal")}
    pcpus = lab.query("trace")["pcpus"]
    assert sum(row["lost"] for row in pcpus) == 0
    shown = lab.query("trace show 50")
    assert len(shown) == 50 and shown == sorted(shown, key=lambda row: row["ns"])
    trace = save(lab)
    exits = exits_of(trace, "steal")
    for reason in ("io", "cpuid", "msr-read", "msr-write"):
        assert exits.get(reason, 0) == counted.get(reason, 0), (reason, exits, counted)
    assert exits["msr-write"] >= 5
    assert trace["otherData"]["records"] == sum(row["kept"] for row in pcpus)
    lab.command("kill steal", is_error_fine=True)
    lab.command("delete steal")
    assert free - lab.free_memory() > 1 << 20
    lab.command("trace drop")
    assert lab.free_memory() == free


def test_ring_wraps_and_outlives_mgmt(lab):
    """The oldest records go; state and records stay when mgmt is started again."""
    lab.command("trace start --size 64K")
    lab.command("create mmio memory=16M kernel=mmio debug-exit=yes")
    lab.command("start mmio", is_error_fine=True)
    lab.wait_for_state("mmio", ("off", "crashed"))
    lab.send("host restart-mgmt\r")
    lab.expect(r"mgmt was started again", 60)
    lab.expect(r"bulkhead> ", 60)
    state = lab.query("trace")["trace"]
    assert state["is_on"] and state["memory_bytes"] == 65536 and state["kinds"] == "all"
    lab.command("trace stop")
    before = lab.query("trace")["pcpus"]
    assert any(row["lost"] > 0 for row in before)
    trace = save(lab)
    assert lab.query("trace")["pcpus"] == before
    assert trace["otherData"]["lost"] == sum(row["lost"] for row in before)
    assert trace["otherData"]["records"] == sum(row["kept"] for row in before)
    lab.command("delete mmio")


def test_stolen_time(lab):
    """Two guests on one pCPU: the one is told how long it waited for the other."""
    lab.command('create hog memory=16M kernel=outside cpus="1 shared" cmdline="end=spin"')
    lab.command("start hog")
    lab.command('create steal memory=16M kernel=steal cpus="1 shared" on-poweroff=preserve '
                "cmdline=wait")
    lab.command("start steal", is_error_fine=True)
    lab.wait_for_state("steal", ("off", "crashed"), 120)
    told = lab.query("stats steal")
    lab.drain()
    lab.send("console steal\r")
    lab.expect(r"stolen: (\d+) ms\s+steal: PASS", 10)
    stolen_ms = int(lab.child.match.group(1))
    lab.send("\x1d\r")
    lab.expect(r"bulkhead> ")
    assert told["guest"]["steal_ms"] >= stolen_ms >= 20
    assert told["vcpus"][0]["steal_ms"] == told["guest"]["steal_ms"]
    rows = {row["name"]: row for row in lab.query("stats")["guests"]}
    assert rows["hog"]["steal_ms"] > 0 and rows["steal"]["steal_ms"] >= stolen_ms
    for name in ("hog", "steal"):
        lab.command(f"kill {name}", is_error_fine=True)
        lab.command(f"delete {name}")


def test_stats_of_the_machine(lab):
    figures = lab.query("stats")
    assert set(figures) == {"machine", "pcpus", "guests", "switches"}
    assert figures["machine"]["memory_free_bytes"] <= figures["machine"]["memory_bytes"]
    assert len(figures["pcpus"]) == figures["machine"]["pcpus"]
    for row in figures["pcpus"]:
        shares = row["idle_percent"], row["guest_percent"], row["system_percent"]
        assert all(0 <= share <= 100 for share in shares) and 99.7 <= sum(shares) <= 100.3
    assert sum(row["timer_interrupts"] + row["device_interrupts"]
               for row in figures["pcpus"]) > 0
    assert sum(row["syncs"] for row in figures["pcpus"]) > 0
    assert figures["pcpus"][0]["switches"] > 0


def test_time_begins_with_the_guest(lab):
    """A guest's counted time is no more than it has lived, however long the machine has run before."""
    while lab.query("info")["uptime_seconds"] < 10:
        time.sleep(1)
    lab.command("create late memory=16M kernel=outside cmdline=end=spin")
    lab.command("start late")
    row = next(row for row in lab.query("stats")["guests"] if row["name"] == "late")
    lived_ms = (lab.guest("late")["uptime_seconds"] + 1) * 1000
    assert row["guest_ms"] + row["kernel_ms"] + row["vmm_ms"] + row["halted_ms"] <= lived_ms
    lab.command("kill late")
    lab.command("delete late")


def stolen_ticks(console):
    """Column steal of the first line of /proc/stat, in ticks of 10 ms."""
    return int(console.read("head -n 1 /proc/stat").split()[8])


@pytest.mark.long_on_bochs
def test_linux_counts_stolen_time(lab):
    """/proc/stat of an unmodified Linux tells it, and agrees with what the kernel counted."""
    lab.command('create alpha memory=192M kernel=vmlinuz-cloud ramdisk=demo.cpio.gz '
                'cpus="1 shared" cmdline="console=ttyS0 quiet hostname=alpha"')
    lab.command("start alpha", is_error_fine=True)
    with lab.console("alpha") as console:
        console.wait_for_prompt()
        before = stolen_ticks(console)
    lab.command('create hog memory=16M kernel=outside cpus="1 shared" cmdline="end=spin"')
    lab.command("start hog")
    with lab.console("alpha") as console:
        for _ in range(10):
            console.read("i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); done", 120)
            ticks = stolen_ticks(console)
            if ticks - before >= 20:
                break
    assert ticks - before >= 20
    counted = lab.query("stats alpha")["guest"]["steal_ms"]
    assert ticks * 10 <= counted + 20
    for name in ("hog", "alpha"):
        lab.command(f"kill {name}")
        lab.command(f"delete {name}")
