# SPDX-License-Identifier: Apache-2.0
"""Unmodified Debian kernels see a sane machine, and what one guest does leaves the other alone."""
import re
import time

import pytest

# What a kernel says when its machine is at fault; each line is looked for in dmesg.
COMPLAINTS = re.compile(
    r"firmware bug|\[hardware error\]|\bBUG:|\bWARNING:|call trace|unstable|tsc_sync.*warp|"
    r"acpi (bios )?(error|exception|warning)|spurious .*interrupt|nobody cared|stuck|"
    r"soft lockup|rcu.*stall|unhandled|failed to", re.IGNORECASE)
# Said on real machines of this kind too: devices that a small PC does not have.
HARMLESS = re.compile(
    r"mitigation|vulnerab|spectre|mds:|mmio stale|i8042|efi|pcspkr|rtc_cmos|microcode|"
    r"hibernat|integrity|tpm|regulatory|firmware_class|platform-microcode|loaded x\.509|"
    r"failed to get.*pcie|systemd|acpid|ipl", re.IGNORECASE)


@pytest.fixture(scope="module")
def demo(platform, log_folder):
    """One machine with the demo guests at their prompts."""
    from conftest import start_machine
    machine = start_machine(platform, log_folder, "linux",
                            ["--boot", "kernel" if platform == "qemu" else "iso"], 2000)
    try:
        machine.wait_for_shell()
        for name in ("alpha", "beta"):
            with machine.console(name) as console:
                console.wait_for_prompt()
        yield machine
    finally:
        machine.close()


def assert_answers(machine, name):
    with machine.console(name) as console:
        assert console.read("echo $((40 + 2))", 30) == "42"


def bring_back(machine, name):
    """The guest at its prompt again, whatever the test did to it."""
    if machine.guest(name)["state"] != "running":
        machine.command(f"start {name}", 60)
    with machine.console(name) as console:
        console.wait_for_prompt()


@pytest.mark.parametrize("name", ["alpha", "beta"])
def test_dmesg_has_no_complaint(demo, name):
    with demo.console(name) as console:
        lines = console.read("dmesg", 90).split("\n")
    bad = [line for line in lines if COMPLAINTS.search(line) and not HARMLESS.search(line)]
    assert len(lines) > 100
    assert not bad, "\n".join(bad)


def test_clock_is_stable(demo):
    with demo.console("alpha") as console:
        source = console.read(
            "cat /sys/devices/system/clocksource/clocksource0/current_clocksource")
        before, started = float(console.read("cut -d' ' -f1 /proc/uptime")), time.monotonic()
        console.read("sleep 3")
        after = float(console.read("cut -d' ' -f1 /proc/uptime"))
    assert source in ("kvm-clock", "tsc")
    assert 3 <= after - before
    if demo.platform == "qemu":
        assert after - before <= time.monotonic() - started + 2


def timer_counts(console):
    line = next(line for line in console.read("cat /proc/interrupts").split("\n")
                if line.strip().startswith("LOC:"))
    return [int(word) for word in line.split()[1:] if word.isdigit()]


def test_timer_lives_on_every_vcpu(demo):
    with demo.console("alpha") as console:
        before = timer_counts(console)
        console.read("for c in 0 1; do taskset -c $c sh -c 'i=0; while [ $i -lt 20000 ]; do "
                     "i=$((i+1)); done'; done; sleep 1", 90)
        after = timer_counts(console)
    assert len(before) == 2
    assert all(b > a for a, b in zip(before, after)), (before, after)


def test_cpu_hotplug(demo):
    with demo.console("alpha") as console:
        console.read("echo 0 >/sys/devices/system/cpu/cpu1/online", 60)
        assert console.read("nproc") == "1"
        console.read("echo 1 >/sys/devices/system/cpu/cpu1/online", 60)
        assert console.read("nproc") == "2"


def test_reboot_of_a_guest(demo):
    restarts = demo.guest("beta")["restarts"]
    with demo.console("beta") as console:
        console.send("reboot -f\r")
        console.expect("Linux version|Bulkhead demo guest", 120)
        console.wait_for_prompt()
    assert demo.guest("beta")["restarts"] == restarts + 1
    assert_answers(demo, "alpha")


def test_crash_of_a_guest_leaves_the_other(demo):
    with demo.console("beta") as console:
        console.send("echo c >/proc/sysrq-trigger\r")
        console.expect("Kernel panic|sysrq: Trigger a crash", 60)
    assert_answers(demo, "alpha")
    bring_back(demo, "beta")


def test_kill_of_a_guest_leaves_the_other(demo):
    demo.command("kill beta")
    assert demo.guest("beta")["state"] == "off"
    assert_answers(demo, "alpha")
    demo.command("start beta", 60)
    bring_back(demo, "beta")


def test_power_button(demo):
    demo.command("stop beta -w 60", 120)
    assert demo.guest("beta")["state"] == "off"
    demo.command("start beta", 60)
    bring_back(demo, "beta")


def test_pause_and_resume(demo):
    demo.command("pause beta")
    assert demo.guest("beta")["state"] == "paused"
    demo.command("resume beta")
    assert_answers(demo, "beta")


def test_console_shows_what_was_missed(demo):
    with demo.console("alpha") as console:
        console.send("(sleep 2; echo mis''sed-text) &\r")
        console.expect(r"# ")
    time.sleep(5)
    demo.send("console alpha\r")
    demo.expect("missed-text", 20)
    demo.send("\x1d")
    demo.expect("bulkhead> ")


def test_exits_and_stats(demo):
    exits = demo.query("exits alpha")
    assert exits, "no exits were counted"
    assert "rip" in demo.command("regs alpha 0")
    assert demo.query("stats alpha")
    spans = demo.query("latency alpha")
    assert {"kernel", "vmm"} <= {span["where"] for span in spans}, spans
    assert {span["where"] for span in spans} <= {"kernel", "vmm", "queue", "service"}, spans
    assert all(0 < span["mean_ns"] <= span["max_ns"] and span["p50_ns"] <= span["p99_ns"] for span in spans), spans
    rows = demo.query("exits alpha --histogram")
    for span in (span for span in spans if span["where"] in ("kernel", "vmm")):
        same = [row for row in rows if (row["reason"], row["where"]) == (span["reason"], span["where"])]
        assert sum(row["count"] for row in same) >= span["count"]
    assert "exits_per_second" in demo.query("exits alpha -w 1")[0]
    assert {"alpha", "beta"} <= {row["name"] for row in demo.query("top")}


def test_list_columns(demo):
    header = demo.command("list").split("\n")[0].split()
    assert header == ["ID", "NAME", "STATE", "VCPU", "PCPUS", "MEM", "CPU%", "EXIT/s", "UPTIME",
                      "RESTARTS"]
    rows = [line.split() for line in demo.command("list").split("\n")[1:] if line]
    assert all(len(row) == len(header) for row in rows)


def test_mgmt_is_replaced_under_running_guests(demo):
    starts = demo.query("info")["mgmt_starts"]
    restarts = [row["restarts"] for row in demo.query("list")]
    demo.drain()
    demo.send("host restart-mgmt\r")
    demo.expect("mgmt was started again", 30)
    demo.expect("bulkhead> ", 10)
    assert demo.query("info")["mgmt_starts"] == starts + 1
    assert [row["restarts"] for row in demo.query("list")] == restarts
    assert_answers(demo, "alpha")
    assert_answers(demo, "beta")


def test_machine_powers_off(demo):
    demo.poweroff()
