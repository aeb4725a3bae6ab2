# SPDX-License-Identifier: Apache-2.0
"""mgmt ends in every way while guests work: each time another goes on, and they do not notice.

Moments are random; the seed is printed, and BULKHEAD_SEED repeats a run.
"""
import os
import random
import time
from pathlib import Path

import pytest

from machine import DEMO_FILES

pytestmark = pytest.mark.long_on_bochs  # there test_linux.py replaces mgmt under running guests
ADDRESS = {"alpha": "10.0.0.1", "beta": "10.0.0.2"}
# Writes a disk, reads it back past the page cache, compares; again and again. Blocks differ in every round.
DISK_WORK = (
    "(i=0; while [ ! -e /tmp/stop ]; do i=$((i+1)); "
    "dd if=/dev/urandom of=/tmp/d bs=64k count=16 2>/dev/null; "
    "dd if=/tmp/d of=/dev/vda bs=64k conv=fsync 2>/tmp/dd || echo write $i $(cat /tmp/dd); "
    "echo 3 >/proc/sys/vm/drop_caches; "
    "dd if=/dev/vda bs=64k count=16 2>/dev/null | cmp - /tmp/d || echo differs $i; "
    "echo $i >>/tmp/rounds; done) >/tmp/bad 2>&1 & true")
# Counted lines over one TCP connection; the receiver checks that each follows the one before.
STREAM_OUT = ("(i=0; while [ ! -e /tmp/stop ]; do seq $((i+1)) $((i+2000)); i=$((i+2000)); sleep 0.05; done;"
              " echo end) | nc 10.0.0.2 7000 & true")
STREAM_IN = ("sleep 99999 | nc -l -p 7000 | awk '$1 == \"end\" { print \"end\", NR; exit } "
             "$1 != NR { print \"line\", NR, \"is\", $1; exit } "
             "NR % 1000 == 0 { print NR; fflush() }' >/tmp/lines & true")


@pytest.fixture(scope="module")
def pair(platform, log_folder):
    """One machine with two guests at their prompts, a disk each."""
    from conftest import start_machine
    arguments = ["--boot", "kernel" if platform == "qemu" else "iso",
                 "--config", str(Path(__file__).parent / "data" / "microreboot.cfg"),
                 *DEMO_FILES]
    machine = start_machine(platform, log_folder, "microreboot", arguments, 3000)
    try:
        machine.wait_for_shell()
        for name in ADDRESS:
            with machine.console(name) as console:
                console.wait_for_prompt(300)
        yield machine
    finally:
        machine.close()


def wait_for_more(machine, name, path, more):
    """Until the number in the last line of a guest's file has grown."""
    with machine.console(name) as console:
        last = f"n=$(tail -n 1 {path} 2>/dev/null); n=${{n:-0}}"
        console.read(f"{last}; end=$((n + {more})); until [ $n -ge $end ]; do sleep 0.1; {last}; done",
                     120)


@pytest.mark.parametrize("how, why", [("crash-mgmt", "it failed"), ("hang-mgmt", "it did not answer")])
def test_mgmt_fails(pair, how, why):
    restarts = [row["restarts"] for row in pair.query("list")]
    pair.end_mgmt(how)
    assert why in pair.query("events")[-1]["event"]
    assert [row["restarts"] for row in pair.query("list")] == restarts
    for name in ADDRESS:
        with pair.console(name) as console:
            assert console.read("echo $((40 + 2))", 30) == "42"


def end_at_random(machine, times):
    seed = int(os.environ.get("BULKHEAD_SEED", time.time_ns() % 1000000))
    print(f"BULKHEAD_SEED={seed}")
    moments = random.Random(seed)
    with machine.console("beta") as console:
        console.read("killall sleep 2>/dev/null; rm -f /tmp/lines; " + STREAM_IN)
    with machine.console("alpha") as console:
        console.read("rm -f /tmp/stop /tmp/bad /tmp/rounds; " + DISK_WORK)
        console.read(STREAM_OUT)
    for _ in range(times):
        machine.end_mgmt(f"restart-mgmt {moments.randrange(200000)}")
        wait_for_more(machine, "beta", "/tmp/lines", 2000)
        wait_for_more(machine, "alpha", "/tmp/rounds", 1)
    with machine.console("alpha") as console:
        console.read("touch /tmp/stop; wait", 120)
        assert console.read("cat /tmp/bad") == ""
        assert console.read("dmesg | grep -i -E 'i/o error|blocked for|needs reset' | cat") == ""
    with machine.console("beta") as console:
        console.read("until tail -n 1 /tmp/lines | grep -q -E 'end|line'; do sleep 0.1; done", 120)
        word, lines = console.read("tail -n 1 /tmp/lines").split()[:2]
        assert word == "end" and int(lines) > 2000 * times


def test_mgmt_ends_at_random_moments(pair):
    end_at_random(pair, 5)


@pytest.mark.long
def test_mgmt_ends_a_hundred_times(pair):
    end_at_random(pair, 100)
