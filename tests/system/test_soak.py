# SPDX-License-Identifier: Apache-2.0
"""An operator who does what comes to mind, in an order drawn from a seed, with two guests under load.

BULKHEAD_SEED repeats a run, BULKHEAD_STEPS (100) says how long it is. Every step is answered as it should be, guests that run go on
with their work, and when all is taken away again the machine has the memory that it had.
"""
import os
import random
import time
from pathlib import Path

import pytest

from machine import DEMO_FILES

pytestmark = [pytest.mark.long, pytest.mark.qemu_only]
# A disk that is written and compared past the page cache, and pings: both counted in /tmp/rounds and /tmp/ping. Begun once in a guest's life.
WORK = ("[ -e /tmp/ping ] || {{ (i=0; while :; do i=$((i+1)); dd if=/dev/urandom of=/tmp/d bs=16k count=16 2>/dev/null; "
        "dd if=/tmp/d of=/dev/vda bs=16k conv=fsync 2>/tmp/dd || echo write $i $(cat /tmp/dd); echo 3 >/proc/sys/vm/drop_caches; "
        "dd if=/dev/vda bs=16k count=16 2>/dev/null | cmp - /tmp/d || echo differs $i; echo $i >/tmp/rounds; done) >/tmp/bad 2>&1 & "
        "ping -i 0.2 {} >/tmp/ping 2>&1 & true; }}")
PEER = {"alpha": "10.0.0.2", "beta": "10.0.0.1"}


class Operator:
    """What was done, and what must therefore be so."""

    def __init__(self, machine, draw):
        self.machine, self.draw = machine, draw
        self.state = {name: "off" for name in PEER}
        self.is_ready = {name: False for name in PEER}  # booted, and its work begun
        self.disks = {name: [] for name in PEER}
        self.nets = {name: [] for name in PEER}
        self.rules = 0

    def guest(self, *states):
        """A guest in one of the states, or None."""
        names = [name for name in PEER if self.state[name] in (states or ("running",))]
        return self.draw.choice(names) if names else None

    def make_ready(self, name):
        if not self.is_ready[name]:
            with self.machine.console(name, "-t serial") as console:
                console.wait_for_prompt(200)
                for tries in range(5):  # the prompt may have been that of an earlier life
                    try:
                        console.read("true", 20)
                        break
                    except AssertionError:
                        assert tries < 4
                        console.send("\x03\r")
                console.read(WORK.format(PEER[name]))
            self.is_ready[name] = True

    def look(self):
        """All is as it was left, and the work of the guests that run goes on."""
        states = {row["name"]: row["state"].replace("defined", "off") for row in self.machine.query("list")}
        assert states == self.state
        for name in [name for name in PEER if self.state[name] == "running"]:
            self.make_ready(name)
            with self.machine.console(name, "-t serial") as console:
                console.read("r=$(cat /tmp/rounds 2>/dev/null || echo 0); until [ $(cat /tmp/rounds 2>/dev/null || echo 0) -gt $r ]; do "
                             "[ ! -s /tmp/bad ] || break; sleep 0.1; done; [ ! -s /tmp/bad ] || { cat /tmp/bad; false; }", 120)
                assert console.read("dmesg | grep -i -E 'i/o error|blocked for|needs reset|rcu.*stall|BUG:|WARNING:' | cat") == ""

    # The steps. Each gives what it did.

    def start(self):
        name = self.guest("off")
        if name:
            self.machine.command(f"start {name}", 120)
            self.state[name], self.is_ready[name] = "running", False
        return f"start {name}"

    def kill(self):
        name = self.guest("running", "paused")
        if name:
            self.machine.command(f"kill {name}", 60)
            self.state[name] = "off"
        return f"kill {name}"

    def stop(self):
        name = self.guest()
        if name and self.is_ready[name]:
            assert "killed" not in self.machine.command(f"stop {name} -w 90", 120)
            self.state[name] = "off"
        return f"stop {name}"

    def reset(self):
        name = self.guest()
        if name:
            self.machine.command(f"reset {name}", 60)
            self.is_ready[name] = False
        return f"reset {name}"

    def pause(self):
        name = self.guest("running")
        if name:
            self.machine.command(f"pause {name}", 60)
            self.state[name] = "paused"
        return f"pause {name}"

    def resume(self):
        name = self.guest("paused")
        if name:
            self.machine.command(f"resume {name}", 60)
            self.state[name] = "running"
        return f"resume {name}"

    def end_mgmt(self):
        way = f"{self.draw.choice(['restart-mgmt', 'restart-mgmt', 'crash-mgmt'])} {self.draw.randrange(300000)}"
        self.machine.end_mgmt(way)
        return way

    def begin_and_end_mgmt(self):
        """mgmt ends while it does something else; whatever became of that, it is one of two things."""
        name = self.draw.choice(list(PEER))
        what = self.draw.choice(["pause", "resume", "kill", "start", "reset"])
        self.machine.drain()
        self.machine.send(f"{what} {name}\r\x03host crash-mgmt {self.draw.randrange(3000)}\r")
        self.machine.expect("mgmt was started again", 90)
        self.machine.wait_for_shell()
        # A pause or resume that is under way ends before the next one is taken.
        while what in ("pause", "resume") and "has not answered" in self.machine.command(f"{what} {name}", 60, is_error_fine=True):
            time.sleep(1)
        row = self.machine.wait_for_state(name, ("running", "paused", "off", "defined"), 120)
        before, self.state[name] = self.state[name], row["state"].replace("defined", "off")
        assert (before, self.state[name]) in {(state, state) for state in ("running", "paused", "off")} | {
            "pause": {("running", "paused")}, "resume": {("paused", "running")}, "start": {("off", "running"), ("paused", "running")},
            "kill": {("running", "off"), ("paused", "off")}, "reset": {("paused", "running")}}[what], (what, before, row)
        if what in ("kill", "start", "reset"):
            self.is_ready[name] = False
        return f"{what} {name}, mgmt ends"

    def plug_disk(self):
        name = self.guest("running", "off", "paused")
        if len(self.disks[name]) < 3:
            numbers = {row["number"] for row in self.machine.query("disk list") if row["guest"] == name}
            self.machine.command(f"disk add {name} ram:1M")
            added = {row["number"] for row in self.machine.query("disk list") if row["guest"] == name} - numbers
            assert len(added) == 1
            self.disks[name] += added
        return f"disk add {name}"

    def unplug_disk(self):
        name = self.guest("running", "off", "paused")
        number = self.disks[name].pop(self.draw.randrange(len(self.disks[name]))) if self.disks[name] else None
        if number is not None:
            self.machine.command(f"disk del {name} {number}")
        return f"disk del {name} {number}"

    def plug_net(self):
        name = self.guest("running", "off", "paused")
        if not self.nets[name]:
            self.machine.command(f"net add {name} lan,vlan={self.draw.randrange(1, 100)},queues={self.draw.randrange(1, 3)}")
            self.nets[name] = [1]
        return f"net add {name}"

    def unplug_net(self):
        name = self.guest("running", "off", "paused")
        if self.nets[name]:
            self.machine.command(f"net del {name} {self.nets[name].pop()}")
        return f"net del {name}"

    def rule(self):
        if self.rules and self.draw.random() < 0.5:
            self.machine.command(f"switch rules lan del {self.draw.randrange(self.rules) + 1}")
            self.rules -= 1
            return "rule del"
        self.machine.command(f"switch rules lan add {self.draw.choice(['allow', 'deny'])} in proto=icmp src=10.0.0.{self.draw.randrange(9)}")
        self.rules += 1
        return "rule add"

    def lend(self):
        name = self.guest("running")
        if name == "alpha" and self.is_ready[name]:
            self.machine.command(f"mem-set alpha {self.draw.choice([84, 92, 100, 112])}M")
        return "mem-set"

    def watch(self):
        name = self.guest("running", "paused") or "alpha"
        line = self.draw.choice([f"stats {name}", f"exits {name}", "list -v", "stats", f"latency {name}", "events", "devices alpha", "log",
                                 "trace start", "trace show", "trace drop", "show config", "switch port", "mem-stat alpha", "top --json",
                                 f"regs {name} 0", f"set {name} weight {self.draw.randrange(1, 999)}"])
        self.machine.command(line, is_error_fine=True)
        return line

    def virtio_console(self):
        if self.state["alpha"] == "running" and self.is_ready["alpha"]:
            with self.machine.console("alpha", "-t virtio") as console:
                console.wait_for_prompt(60)
                assert console.read("tty") == "/dev/hvc0"
        return "console -t virtio"

    def step(self):
        steps = [(self.start, 4), (self.kill, 2), (self.stop, 1), (self.reset, 1), (self.pause, 3), (self.resume, 5), (self.end_mgmt, 4),
                 (self.begin_and_end_mgmt, 4), (self.plug_disk, 3), (self.unplug_disk, 3), (self.plug_net, 2), (self.unplug_net, 2), (self.rule, 2),
                 (self.lend, 2), (self.watch, 4), (self.virtio_console, 2)]
        return self.draw.choices([step for step, _ in steps], [weight for _, weight in steps])[0]()

    def take_away(self):
        self.machine.command("trace drop", is_error_fine=True)
        for name in PEER:
            self.machine.command(f"kill {name}", is_error_fine=True)
            self.machine.command(f"delete {name}")
            self.state[name], self.is_ready[name] = "off", False


@pytest.mark.parametrize("cpus", [1, 2])
def test_operator(boot, cpus):
    seed = int(os.environ.get("BULKHEAD_SEED", time.time_ns() % 1000000))
    print(f"BULKHEAD_SEED={seed}")
    config = Path(__file__).parent / "data" / "soak.cfg"
    machine = boot("--cpus", str(cpus), "--config", str(config), *DEMO_FILES, "--file", f"soak.cfg={config}", limit_seconds=7200)
    machine.wait_for_shell()
    operator = Operator(machine, random.Random(seed))
    for name in PEER:  # what only grows has grown
        machine.command(f"start {name}", 120)
        operator.state[name] = "running"
    operator.look()
    operator.take_away()
    free = machine.free_memory()
    machine.command("load soak.cfg")
    for number in range(int(os.environ.get("BULKHEAD_STEPS", "100"))):
        print(number, operator.step())
        if number % 5 == 4:
            operator.look()
    for name in [name for name in PEER if operator.state[name] == "paused"]:
        machine.command(f"resume {name}")
        operator.state[name] = "running"
    operator.look()
    operator.take_away()
    assert machine.free_memory() == free
