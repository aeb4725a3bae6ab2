# SPDX-License-Identifier: Apache-2.0
"""Linux guests use their virtio disks and networks, and do not notice when mgmt is replaced."""
import hashlib
from pathlib import Path

import pytest

import gpt
from machine import DEMO_FILES

PATTERN = b"".join(hashlib.sha256(b"%d" % i).digest() for i in range(65536))  # 2 MiB
NETWORK = {"alpha": "10.0.0.1", "beta": "10.0.0.2"}


@pytest.fixture(scope="module")
def pair(platform, log_folder):
    """One machine with both guests at their prompts."""
    from conftest import start_machine
    image = log_folder / "pattern.img"
    image.write_bytes(PATTERN)
    arguments = ["--boot", "kernel" if platform == "qemu" else "iso",
                 "--config", Path(__file__).parent / "data" / "devices.cfg",
                 *DEMO_FILES,
                 "--file", f"pattern.img={image}"]
    machine = start_machine(platform, log_folder, "devices", [str(a) for a in arguments], 2000)
    try:
        machine.wait_for_shell()
        for name in NETWORK:
            with machine.console(name) as console:
                console.wait_for_prompt(300)
        yield machine
    finally:
        machine.close()


def digest(console, device, kib, seconds=60):
    """SHA-256 of the first KiB of a device, read past the page cache."""
    console.read("echo 3 >/proc/sys/vm/drop_caches")
    return console.read(f"dd if={device} bs=1k count={kib} 2>/dev/null | sha256sum",
                        seconds).split()[0]


def fill(console, device, mib, seconds=60):
    """Writes random data to a device, flushes it; returns its SHA-256."""
    console.read(f"dd if=/dev/urandom of=/tmp/data bs=1M count={mib} 2>/dev/null", seconds)
    console.read(f"dd if=/tmp/data of={device} bs=64k conv=fsync 2>/dev/null", seconds)
    return console.read("sha256sum /tmp/data", seconds).split()[0]


def test_disk_keeps_what_is_written(pair):
    with pair.console("alpha") as console:
        assert fill(console, "/dev/vda", 4) == digest(console, "/dev/vda", 4096)


@pytest.mark.long_on_bochs
def test_file_system_on_a_disk(pair):
    with pair.console("alpha") as console:
        console.read("mke2fs /dev/vda >/dev/null 2>&1 && mkdir -p /tmp/m")
        console.read("mount -t ext4 /dev/vda /tmp/m && cp /bin/busybox /tmp/m && umount /tmp/m")
        console.read("mount -t ext4 /dev/vda /tmp/m && cmp /bin/busybox /tmp/m/busybox")
        console.read("umount /tmp/m && e2fsck -fn /dev/vda >/dev/null 2>&1 || "
                     "! which e2fsck >/dev/null")


@pytest.mark.long_on_bochs
def test_kinds_of_disks(pair):
    whole = hashlib.sha256(PATTERN).hexdigest()
    with pair.console("alpha") as console:
        for device in ("vdb", "vdc", "vdd"):
            assert digest(console, f"/dev/{device}", len(PATTERN) // 1024) == whole, device
        assert console.read("cat /sys/block/vdb/ro /sys/block/vdc/ro").split() == ["1", "0"]
        assert console.read("cat /sys/block/vdb/serial") == "patterned"
        assert console.read("cat /sys/block/vda/serial") == "alpha-0"
        written = fill(console, "/dev/vdc", 1)
        assert digest(console, "/dev/vdc", 1024) == written
        # Half a block: the rest of it still comes from the file.
        console.read("printf x | dd of=/dev/vdc bs=1 seek=1500000 conv=notrunc,fsync 2>/dev/null")
        expected = bytearray(PATTERN)
        expected[1500000] = ord("x")
        tail = hashlib.sha256(bytes(expected[1 << 20:])).hexdigest()
        console.read("echo 3 >/proc/sys/vm/drop_caches")
        assert console.read("dd if=/dev/vdc bs=1M skip=1 2>/dev/null | sha256sum").split()[0] == tail
        # The others have not changed.
        for device in ("vdb", "vdd"):
            assert digest(console, f"/dev/{device}", len(PATTERN) // 1024) == whole, device
        assert fill(console, "/dev/vdd", 1) == digest(console, "/dev/vdd", 1024)


@pytest.mark.long_on_bochs
def test_disks_outlive_a_kill(pair):
    with pair.console("beta") as console:
        written = fill(console, "/dev/vda", 2)
    pair.command("kill beta")
    pair.wait_for_state("beta", ("off",))
    pair.command("start beta", 60)
    with pair.console("beta") as console:
        console.wait_for_prompt(300)
        assert digest(console, "/dev/vda", 2048) == written


@pytest.mark.long_on_bochs
def test_random_numbers(pair):
    with pair.console("alpha") as console:
        assert "virtio_rng" in console.read("cat /sys/class/misc/hw_random/rng_available")
        console.read("echo virtio_rng.0 >/sys/class/misc/hw_random/rng_current")
        one, other = (console.read("dd if=/dev/hwrng bs=64 count=1 2>/dev/null | sha256sum")
                      for _ in range(2))
        assert one != other and len(one) > 64


def test_guests_ping_each_other(pair):
    with pair.console("alpha") as console:  # two pairs of queues, and the switch's MTU
        assert console.read("grep -c virtio.*-input[.] /proc/interrupts") == "2"
        assert console.read("cat /sys/class/net/eth0/mtu") == "1500"
    for name, other in (("alpha", "beta"), ("beta", "alpha")):
        with pair.console(name) as console:
            answer = console.read(f"ping -c 3 {NETWORK[other]}", 60)
            assert "3 packets received, 0% packet loss" in answer
            assert "64 bytes" in console.read(f"ping -c 1 -s 1400 {NETWORK[other]} | "
                                              "sed s/1408/64/", 60)


def test_rules_outlive_mgmt(pair):
    """Pings are denied, before and after mgmt is replaced, and counted; then let through again."""
    echo = f"ping -c 1 -W 1 {NETWORK['beta']} | grep -c 'bytes from' | cat"

    def denied():
        return pair.query("switch rules lan")[0]["frames"]

    pair.command("switch add lan")
    assert "column 30" in pair.command("switch rules lan add deny in proto=tpc",
                                       is_error_fine=True)
    pair.command("switch rules lan add deny port=beta.0 in proto=icmp icmp-type=8")
    with pair.console("alpha") as console:
        assert console.read(echo) == "0"
    count = denied()
    assert count >= 1
    pair.restart_mgmt()
    assert "rule = " in pair.command("show config") and denied() >= count
    with pair.console("alpha") as console:
        assert console.read(echo) == "0"
    assert denied() > count
    pair.command("switch rules lan del 1")
    with pair.console("alpha") as console:
        assert console.read(echo) == "1"
    # Where nothing is let through by itself, one rule for the port that answers is not enough.
    pair.command("switch set lan policy=deny rule='allow port=beta.0'")
    with pair.console("alpha") as console:
        assert console.read(echo) == "0"
    pair.command("switch rules lan add allow port=alpha.0")
    with pair.console("alpha") as console:
        assert console.read(echo) == "1"
    pair.command("switch set lan policy=allow")


@pytest.mark.long_on_bochs
def test_tcp_stream(pair):
    """Large segments, with checksum and segmentation left to the receiver."""
    with pair.console("beta") as console:
        console.read("(nc -l -p 7000 >/tmp/got; sha256sum /tmp/got >/tmp/sum) >/dev/null 2>&1 "
                     "& true")
    with pair.console("alpha") as console:
        console.read("dd if=/dev/urandom of=/tmp/data bs=1M count=4 2>/dev/null")
        sent = console.read("sha256sum /tmp/data").split()[0]
        console.read(f"nc {NETWORK['beta']} 7000 </tmp/data", 120)
    with pair.console("beta") as console:
        console.read("until [ -s /tmp/sum ]; do sleep 0.2; done", 60)
        assert console.read("cat /tmp/sum").split()[0] == sent


@pytest.mark.long_on_bochs
@pytest.mark.parametrize("times", [3])
def test_mgmt_is_replaced_while_data_flows(pair, times):
    """Each new mgmt goes on where the one before died: no error, no lost write, no lost link."""
    with pair.console("beta") as console:
        console.read(f"ping -i 0.2 {NETWORK['alpha']} >/tmp/ping 2>&1 & true")
    with pair.console("alpha") as console:
        console.read("(i=0; while [ ! -e /tmp/stop ]; do i=$((i+1)); "
                     "dd if=/dev/urandom of=/tmp/d bs=64k count=8 2>/dev/null; "
                     "dd if=/tmp/d of=/dev/vda bs=64k conv=fsync 2>>/tmp/errors || echo write; "
                     "echo 3 >/proc/sys/vm/drop_caches; "
                     "dd if=/dev/vda bs=64k count=8 2>/dev/null | cmp - /tmp/d || echo differs; "
                     "echo $i >/tmp/rounds; done) >/tmp/bad 2>&1 & true")
    for _ in range(times):
        pair.restart_mgmt()
        with pair.console("alpha") as console:
            before = int(console.read("cat /tmp/rounds 2>/dev/null || echo 0"))
            console.read(f"until [ $(cat /tmp/rounds 2>/dev/null || echo 0) -ge {before + 3} ]; "
                         "do sleep 0.2; done", 120)
    with pair.console("alpha") as console:
        console.read("touch /tmp/stop; wait; sleep 1")
        assert console.read("cat /tmp/bad") == ""
        assert console.read("dmesg | grep -i -E 'i/o error|blocked for|needs reset' | cat") == ""
    with pair.console("beta") as console:
        console.read("killall -INT ping; sleep 1")
        assert int(console.read("grep -c 'bytes from' /tmp/ping")) >= times
        assert "3 packets received, 0% packet loss" in console.read(
            f"ping -c 3 {NETWORK['alpha']}", 60)


@pytest.mark.long_on_bochs
def test_hot_plug(pair):
    """A disk and an interface come and go while the guest runs."""
    with pair.console("beta") as console:
        before = console.read("ls /sys/block /sys/class/net").split()
    pair.command("disk add beta ram:4M,serial=plugged")
    pair.command("net add beta lan,vlan=7")
    with pair.console("beta") as console:
        console.read("until [ -e /sys/block/vdb ] && [ -e /sys/class/net/eth1 ]; do sleep 0.2; done",
                     60)
        assert console.read("cat /sys/block/vdb/serial") == "plugged"
        assert fill(console, "/dev/vdb", 1) == digest(console, "/dev/vdb", 1024)
        console.read("ip link set eth1 up")
    rows = {(row["guest"], row["number"]): row for row in pair.query("disk list")}
    assert rows["beta", 1]["state"] == "in use" and rows["beta", 1]["writes"] > 0
    assert [row["net"] for row in pair.query("net list") if row["guest"] == "beta"] == \
        ["lan", "lan, vlan=7"]
    ports = {row["port"]: row for row in pair.query("switch port lan")}
    assert ports["beta.1"]["vlan"] == "7" and ports["beta.0"]["vlan"] is None
    pair.command("disk del beta 1")
    pair.command("net del beta 1")
    with pair.console("beta") as console:
        console.read("while [ -e /sys/block/vdb ] || [ -e /sys/class/net/eth1 ]; do sleep 0.2; done",
                     60)
        assert console.read("ls /sys/block /sys/class/net").split() == before
    assert "there" in pair.command("disk del beta 1", is_error_fine=True)


@pytest.mark.long_on_bochs
def test_disks_are_given_back(pair):
    free = pair.free_memory()
    pair.command("kill alpha")
    pair.wait_for_state("alpha", ("off",))
    pair.command("delete alpha")
    assert pair.free_memory() > free + (160 << 20)


DEVICE_CONFIG = """
[guest alpha]
memory = 160M
kernel = vmlinuz
ramdisk = demo.cpio.gz
cmdline = "console=ttyS0 quiet hostname=alpha"
disk = nvme0:data
disk = virtio-blk0:first, overlay
autostart = yes
"""


@pytest.mark.qemu_only
def test_partitions_of_the_machines_disks(boot, log_folder):
    """By their GPT names; and a new mgmt, with new drivers, goes on with them."""
    config = log_folder / "partitions.cfg"
    config.write_text(DEVICE_CONFIG)
    drives = []
    for name, model in (("one", "nvme,serial=one"), ("two", "virtio-blk-pci,disable-legacy=on")):
        path = log_folder / f"{name}.img"
        path.write_bytes(gpt.image(16, {"first": 4, "data": 8}))
        drives += ["-drive", f"file={path},if=none,id={name},format=raw",
                   "-device", f"{model},drive={name}"]
    machine = boot("--boot", "kernel", "--config", str(config),
                   *DEMO_FILES, "--", *drives)
    machine.wait_for_shell()
    with machine.console("alpha") as console:
        console.wait_for_prompt(300)
        sizes = console.read("cat /sys/block/vda/size /sys/block/vdb/size").split()
        assert sizes == ["16384", "8192"]
        written = fill(console, "/dev/vda", 2)
        hidden = fill(console, "/dev/vdb", 2)
    machine.restart_mgmt()
    with machine.console("alpha") as console:
        assert digest(console, "/dev/vda", 2048, 120) == written
        assert digest(console, "/dev/vdb", 2048, 120) == hidden
        assert console.read("dmesg | grep -i -E 'i/o error|blocked for' | cat") == ""
    machine.poweroff()
    # What was flushed is on the medium; what went into the overlay is not.
    one = (log_folder / "one.img").read_bytes()[5 << 20:7 << 20]
    assert hashlib.sha256(one).hexdigest() == written
    assert not any((log_folder / "two.img").read_bytes()[1 << 20:5 << 20])
