# SPDX-License-Identifier: Apache-2.0
"""Linux guests use virtio-console, -balloon and -vsock with their own drivers."""
import gzip
import subprocess

import pytest

from machine import DEMO_FILES, ROOT

CMDLINE = "console=ttyS0 quiet hostname=alpha"
KEYS = ["memory=128M", "kernel=vmlinuz", "ramdisk=demo.cpio.gz",
        "ramdisk=tools.cpio.gz", f'cmdline="{CMDLINE}"']


def tool_archive(folder):
    """An initial RAM disk with scripts/tools/vsock.c, to be unpacked over the demo's."""
    tool = folder / "vsock"
    subprocess.run(["gcc", "-static", "-Os", "-s", "-o", tool, ROOT / "scripts/tools/vsock.c"],
                   check=True)
    data = bytearray()
    for name, mode, content in (("bin/vsock", 0o100755, tool.read_bytes()), ("TRAILER!!!", 0, b"")):
        fields = (1, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
        data += b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
        data += bytes(-len(data) % 4) + content
        data += bytes(-len(data) % 4)
    archive = folder / "tools.cpio.gz"
    archive.write_bytes(gzip.compress(bytes(data), mtime=0))
    return archive


@pytest.fixture(scope="module")
def machine(platform, log_folder):
    """One machine with a guest at its prompt that has all of the devices."""
    from conftest import start_machine
    arguments = ["--boot", "kernel" if platform == "qemu" else "iso",
                 *DEMO_FILES,
                 "--file", f"tools.cpio.gz={tool_archive(log_folder)}"]
    machine = start_machine(platform, log_folder, "ports", [str(a) for a in arguments], 2000)
    try:
        machine.wait_for_shell()
        machine.command(f"create alpha {' '.join(KEYS)} console=both console-port=agent.0 "
                        "console-port=log balloon=yes vsock=5,peer=6")
        machine.command("start alpha", 60)
        with machine.console("alpha") as console:
            console.wait_for_prompt(300)
        yield machine
    finally:
        machine.close()


def test_console_hvc0(machine):
    """The guest's shell on hvc0, beside that on the serial port; more than the ring holds at once."""
    with machine.console("alpha", "-t virtio -s 120x40") as console:
        console.wait_for_prompt(60)
        assert console.read("tty") == "/dev/hvc0"
        # Linux 6.1 takes the two numbers of this message in the other order (docs/caveats.md).
        assert sorted(console.read("stty size").split()) == ["120", "40"]
        assert console.read("seq 1 300").split() == [str(i) for i in range(1, 301)]
    with machine.console("alpha", "-t serial") as console:
        assert console.read("tty") == "/dev/ttyS0"


def test_ports_by_name(machine):
    """Bytes both ways over a named port; what nobody looked at is kept."""
    with machine.console("alpha") as console:
        assert console.read("cat /sys/class/virtio-ports/*/name").split() == ["agent.0", "log"]
        port = console.read("grep -lx agent.0 /sys/class/virtio-ports/*/name").split("/")[-2]
        console.read(f"(echo hello from the guest; head -n 1 >/tmp/said) <>/dev/{port} >&0 & true")
    with machine.console("alpha", "-n agent.0") as console:
        console.expect("hello from the guest")
        console.send("and hello to it\n")
    with machine.console("alpha") as console:
        console.read("until [ -s /tmp/said ]; do sleep 0.1; done")
        assert console.read("cat /tmp/said") == "and hello to it"
    assert "no console-port" in machine.command("console alpha -n 3", is_error_fine=True)


def test_consoles_outlive_mgmt(machine):
    with machine.console("alpha", "-t virtio") as console:
        console.read("word=kept")
    machine.restart_mgmt()
    with machine.console("alpha", "-t virtio -s 90x30") as console:
        assert console.read("echo $word") == "kept"
        assert sorted(console.read("stty size").split()) == ["30", "90"]


MIB = 1 << 20


def memory(machine):
    return machine.query("mem-stat alpha")


def wait_for_balloon(machine, mib, at_most_away=None):
    """Until so much is in the balloon; gives what the verb says then."""
    for _ in range(200):
        row = memory(machine)
        if row["balloon_bytes"] == mib * MIB and not (
                at_most_away is not None and row["given_back_bytes"] > at_most_away * MIB):
            return row
    raise AssertionError(f"the balloon has not {mib} MiB: {row}")


def wait_for_chunks(machine):
    """Until the last chunk of a balloon that does not grow has gone; gives what the verb says then."""
    last = None
    for _ in range(200):
        row = memory(machine)
        if last is not None and row["given_back_bytes"] == last["given_back_bytes"] and \
                machine.guest("alpha")["memory_bytes"] == 128 * MIB - row["given_back_bytes"]:
            return row
        last = row
    raise AssertionError(f"chunks still go: {last}")


def test_balloon(machine):
    """Memory really comes back to the machine, survives a new mgmt, and the guest gets it again."""
    free = machine.free_memory()
    assert memory(machine)["total_bytes"] > 64 * MIB
    machine.command("mem-set alpha 84M")
    wait_for_balloon(machine, 44)
    row = wait_for_chunks(machine)
    assert row["given_back_bytes"] > 24 * MIB, row
    assert machine.free_memory() >= free + row["given_back_bytes"] - MIB
    machine.restart_mgmt()
    assert memory(machine)["given_back_bytes"] == row["given_back_bytes"]
    with machine.console("alpha") as console:
        assert int(console.read("awk '/MemFree/ { print $2 }' /proc/meminfo")) < 64 * 1024
    machine.command("mem-set alpha 128M")
    wait_for_balloon(machine, 0, 0)
    with machine.console("alpha") as console:
        console.read("dd if=/dev/zero of=/tmp/big bs=1M count=24 2>/dev/null; rm /tmp/big", 120)
        assert console.read("dmesg | grep -i -E 'oops|balloon.*fail|bad page' | cat") == ""
    assert memory(machine)["refused_pages"] == 0


def test_vsock_to_mgmt(machine):
    """The text service and the echo; more than any buffer holds; and again after mgmt's restart."""
    with machine.console("alpha") as console:
        assert "name=alpha\nid=1\ncid=5\n" in console.read("vsock 2 1000 </dev/null") + "\n"
        assert console.run("vsock 2 99 </dev/null")[1] != 0
        console.read("dd if=/dev/urandom of=/tmp/data bs=1k count=300 2>/dev/null")
        sent = console.read("sha256sum </tmp/data")
        assert console.read("vsock 2 7 </tmp/data | sha256sum", 120) == sent
        console.read("(sleep 1000 | vsock 2 7 >/tmp/ended; echo ended >/tmp/ended) & true")
    machine.restart_mgmt()
    with machine.console("alpha") as console:
        # The connection of before is reset; new ones work.
        console.read("until grep -q ended /tmp/ended; do killall sleep 2>/dev/null; sleep 0.2; done")
        assert console.read("vsock 2 7 </tmp/data | sha256sum", 120) == sent
    row = machine.query("vsock list")[0]
    assert row["guest"] == "alpha" and row["forged_packets"] == 0
    assert row["sent_bytes"] >= 300 * 1024 and row["host_connections"] == 0, row


@pytest.mark.long_on_bochs
def test_vsock_between_guests(machine):
    """Only guests that name each other; flow control end to end."""
    machine.command(f"create beta {' '.join(KEYS).replace('alpha', 'beta')} vsock=6,peer=any")
    machine.command("start beta", 60)
    with machine.console("beta") as console:
        console.wait_for_prompt(300)
        console.read("(vsock listen 4000 </dev/null >/tmp/got; sha256sum </tmp/got >/tmp/sum) "
                     ">/dev/null 2>&1 & true")
    with machine.console("alpha") as console:
        console.read("dd if=/dev/urandom of=/tmp/data bs=1k count=1000 2>/dev/null")
        sent = console.read("sha256sum </tmp/data")
        console.read("vsock 6 4000 </tmp/data", 120)
        assert console.run("vsock 6 4001 </dev/null")[1] != 0
        assert console.run("vsock 7 4000 </dev/null")[1] != 0
    with machine.console("beta") as console:
        console.read("until [ -s /tmp/sum ]; do sleep 0.1; done")
        assert console.read("cat /tmp/sum") == sent
    machine.command("kill beta")
    machine.wait_for_state("beta", ("off",))
    machine.command("set beta vsock 5")
    assert "guest alpha has CID 5" in machine.command("start beta", 60, is_error_fine=True)
    machine.command("delete beta")


@pytest.mark.long_on_bochs
def test_balloon_ends_with_a_reset(machine):
    """The next life of the guest has all of its memory."""
    machine.command("mem-set alpha 96M")
    wait_for_balloon(machine, 32)
    machine.command("reset alpha", 120)
    with machine.console("alpha") as console:
        console.wait_for_prompt(300)
