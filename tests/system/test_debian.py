# SPDX-License-Identifier: Apache-2.0
"""A Debian on a disk: login on the console and over the network, and files that outlive sudden ends."""
import json
import os
import random
import re
import signal
import struct
import subprocess
import time
from pathlib import Path

import pytest

from machine import BUILD, DEMO_FILES

DISK = BUILD / "debian" / "debian.img"
SSH = "dbclient -y -i /root/.ssh/id_dropbear root@10.0.0.1"
FIO = ("fio --max-jobs=4 --name=v --filename=/dev/vdb --direct=1 --ioengine=libaio --verify=crc32c --verify_fatal=1 "
       "--output-format=json")


def seeded():
    """Random moments that a run can repeat."""
    seed = int(os.environ.get("BULKHEAD_SEED", time.time_ns() % 1000000))
    print(f"BULKHEAD_SEED={seed}")
    return random.Random(seed)


def copy_of_disk(path):
    """A sparse copy that a machine may write to."""
    if not DISK.exists():
        pytest.skip("no build/debian/debian.img: root makes it by make debian-disk")
    subprocess.run(["cp", "--sparse=always", str(DISK), str(path)], check=True)
    return path


def arguments_for(config):
    """Arguments of scripts/boot, but for the disks."""
    return ["--boot", "kernel", "--config", str(Path(__file__).parent / "data" / config),
            *DEMO_FILES]


def logged_disk(disk, log):
    """QEMU's words for a disk of which every write and flush is logged."""
    log.write_bytes(b"")
    return ["-blockdev", f"driver=file,filename={disk},node-name=disk",
            "-blockdev", f"driver=file,filename={log},node-name=log",
            "-blockdev", "driver=blklogwrites,node-name=logged,file=disk,log=log",
            "-device", "nvme,serial=logged,drive=logged"]


def plain_disk(path, name, options=""):
    return ["-drive", f"file={path},if=none,id={name},format=raw{options}",
            "-device", f"nvme,serial={name},drive={name}"]


def blank_disk(path):
    """An empty ext4."""
    path.unlink(missing_ok=True)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-U", "b01cead0-0000-4000-8000-000000000002",
                    "-E", "hash_seed=b01cead0-0000-4000-8000-000000000002", str(path), "24M"],
                   check=True, stdout=subprocess.DEVNULL)
    return path


def log_in(machine, name, seconds=300):
    """From getty's prompt to root's."""
    with machine.console(name) as console:
        console.send("\r")
        console.expect("login: ", seconds)
        console.send("root\r")
        console.expect("assword: ", 60)
        console.send((DISK.parent / "password").read_text(encoding="ascii").strip() + "\r")
        console.expect(f"{name}:~# ", 60)


def check_file_system(image):
    """Its journal is replayed as at a mount; then nothing may be left to mend."""
    first = subprocess.run(["e2fsck", "-p", str(image)], stdout=subprocess.PIPE, text=True)
    assert first.returncode in (0, 1), first.stdout
    second = subprocess.run(["e2fsck", "-fn", str(image)], stdout=subprocess.PIPE, text=True,
                            stderr=subprocess.STDOUT)
    assert second.returncode == 0, second.stdout


def after_power_loss(log, image):
    """Puts onto the image what was written before the last flush of the log, and no more."""
    data = log.read_bytes()
    magic, version, _, sector_bytes = struct.unpack_from("<QQQI", data)
    assert magic == 0x6A736677736872 and version == 1
    pending, at, flushes = [], sector_bytes, 0
    with open(image, "r+b") as file:
        while at + sector_bytes <= len(data):
            sector, count, flags, _ = struct.unpack_from("<QQQQ", data, at)
            is_flush, is_discard = flags & 1, flags & 4
            bytes_count = 0 if is_discard else count * 512
            if not flags and not count:
                break  # the log's end
            at += sector_bytes
            pending.append((sector * 512, at, bytes_count))
            if is_flush:
                for where, start, size in pending:
                    file.seek(where)
                    file.write(data[start:start + size])
                pending, flushes = [], flushes + 1
            at += (bytes_count + sector_bytes - 1) // sector_bytes * sector_bytes
    return flushes


@pytest.fixture(scope="module")
def debian(platform, log_folder):
    """One machine; `deb` has its disk for itself, `other` an overlay of the image and a disk that is logged."""
    from conftest import start_machine
    disk = copy_of_disk(log_folder / "deb.img")
    data, log = blank_disk(log_folder / "data.img"), log_folder / "data.writes"
    machine = start_machine(platform, log_folder, "debian", arguments_for("debian.cfg") +
                            ["--", *plain_disk(disk, "d0"), *plain_disk(DISK, "d1", ",snapshot=on"),
                             *logged_disk(data, log)], 1800)
    machine.disk, machine.writes = disk, log
    try:
        machine.wait_for_shell()
        with machine.console("other") as console:
            console.wait_for_prompt()
        log_in(machine, "deb")
        yield machine
    finally:
        machine.close()
        for path in (disk, data, log):
            path.unlink()


def restart_mgmt(machine, moment_us):
    machine.drain()
    machine.send(f"host restart-mgmt {moment_us}\r")
    machine.expect("mgmt was started again", 60)
    machine.wait_for_shell()


def result_of(console, path):
    """The JSON that a program in the background left, once it has ended well."""
    console.read(f"until [ -s {path}.done ]; do sleep 0.2; done", 300)
    assert console.read(f"cat {path}.done {path}.errors") == "0"
    text = console.read(f"cat {path}")
    return json.loads(text[text.index("{"):text.rindex("}") + 1])


@pytest.mark.qemu_only
def test_login_on_the_console(debian):
    with debian.console("deb") as console:
        assert console.read("cat /proc/1/comm") == "systemd"
        assert console.read("findmnt -no SOURCE,FSTYPE /").split() == ["/dev/vda", "ext4"]
        assert console.read("systemctl --failed --no-legend") == ""


@pytest.mark.qemu_only
def test_login_over_the_network(debian):
    with debian.console("other") as console:
        assert console.read(f"{SSH} 'hostname; id -un' 2>/dev/null", 120).split() == ["deb", "root"]


@pytest.mark.qemu_only
def test_fio_and_iperf3_while_mgmt_is_replaced(debian):
    """fio reads back what it wrote, and TCP runs its time, over new mgmts at random moments."""
    moments = seeded()
    with debian.console("deb") as console:
        console.read("iperf3 -s -D")
    with debian.console("other") as console:
        console.read(f"({FIO} --rw=randwrite --bs=4k --size=4M --loops=2 --iodepth=32 "
                     ">/tmp/fio 2>/tmp/fio.errors; echo $? >/tmp/fio.done) & true")
        console.read("(iperf3 -c 10.0.0.1 -t 4 -J >/tmp/iperf 2>/tmp/iperf.errors; echo $? >/tmp/iperf.done) & true")
    for _ in range(2):
        restart_mgmt(debian, moments.randrange(300000))
    with debian.console("other") as console:
        job = result_of(console, "/tmp/fio")["jobs"][0]
        assert job["error"] == 0 and job["read"]["io_bytes"] >= 4 << 20
        stream = result_of(console, "/tmp/iperf")
        assert "error" not in stream and stream["end"]["sum_received"]["bytes"] > 1 << 20
        assert console.read("dmesg | grep -i -E 'i/o error|blocked for|needs reset' | cat") == ""


@pytest.mark.long
@pytest.mark.qemu_only
@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16, 32])
def test_fio_at_depth(debian, depth):
    with debian.console("other") as console:
        for mode in ("randwrite", "randrw", "write"):
            text = console.read(f"{FIO} --rw={mode} --bsrange=4k-64k --size=16M --iodepth={depth}", 600)
            job = json.loads(text[text.index("{"):text.rindex("}") + 1])["jobs"][0]
            assert job["error"] == 0 and job["read"]["io_bytes"] > 0, mode


@pytest.mark.long
@pytest.mark.qemu_only
@pytest.mark.parametrize("how", ["-R", "-P 4", "-u -b 20M"])
def test_iperf3_ways(debian, how):
    with debian.console("other") as console:
        console.read("pgrep iperf3 || true")
        text = console.read(f"iperf3 -c 10.0.0.1 -t 3 -J {how}", 120)
        assert "error" not in json.loads(text[text.index("{"):text.rindex("}") + 1])


@pytest.mark.qemu_only
def test_tcp_between_guest_and_mgmt(debian):
    """mgmt fetches a file that a guest serves, and its digest is the guest's."""
    with debian.console("deb") as console:
        digest = console.read("head -c 1500000 /dev/urandom >/tmp/served; sha256sum /tmp/served").split()[0]
        console.read("(cd /tmp; python3 -m http.server 8000 >/dev/null 2>&1) & "
                     "until (exec 3<>/dev/tcp/127.0.0.1/8000) 2>/dev/null; do sleep 0.2; done", 120)
    fetched = debian.query(f"fetch http://10.0.0.1:8000/served served sha256={digest}", 120)
    assert fetched["sha256"] == digest and fetched["size_bytes"] == 1500000
    assert debian.query("ping 10.0.0.2 2")["summary"]["received"] == 2


def install_for_ever(machine):
    """Packages are unpacked again and again; comes back when that is well under way."""
    with machine.console("deb") as console:
        console.read("(i=0; while :; do dpkg --force-depends --unpack /srv/packages/*.deb; i=$((i+1)); "
                     "done >/root/installed 2>&1) & true")
        console.read("until [ $(grep -c ^Unpacking /root/installed) -ge 2 ]; do sleep 0.3; done", 300)


@pytest.mark.qemu_only
def test_file_system_after_kill(debian, log_folder):
    """A guest that is killed in the middle of an installation leaves a sound file system."""
    install_for_ever(debian)
    debian.command("kill deb")
    debian.wait_for_state("deb", ("off",))
    image = log_folder / "killed.img"
    subprocess.run(["cp", "--sparse=always", str(debian.disk), str(image)], check=True)
    try:
        check_file_system(image)
    finally:
        image.unlink()


@pytest.mark.long
@pytest.mark.qemu_only
def test_login_after_kill(debian):
    """After the test above: the guest replays its journal and goes on with the installation."""
    debian.command("start deb", 300)
    log_in(debian, "deb")
    with debian.console("deb") as console:
        console.read("dpkg --force-depends --unpack /srv/packages/*.deb >/dev/null 2>&1", 600)
        # Manuals are left out of the image.
        assert console.read("dpkg --verify tcc libc6-dev | grep -v ' /usr/share/' | cat") == ""
        assert console.read("dmesg | grep -i 'ext4-fs error' | cat") == ""
    debian.command("stop deb -w 120", 150)
    check_file_system(debian.disk)


@pytest.mark.qemu_only
def test_flushed_records_after_power_loss(debian, log_folder):
    """The emulator dies; all that was not flushed is taken away. What was acknowledged is there."""
    with debian.console("other") as console:
        console.read("mount /dev/vdc /mnt && cp /usr/local/bin/journal /mnt && sync")
        console.send("journal write /mnt/records\r")
        console.expect(r"ack 100\r?\n", 120)
    os.kill(debian.child.pid, signal.SIGKILL)  # the emulator dies with scripts/boot
    debian.child.wait()
    said = debian.log.read_text(errors="replace")
    acknowledged = max(int(number) for number in re.findall(r"ack (\d+)\r?\n", said))
    image, out = blank_disk(log_folder / "lost.img"), log_folder / "records"
    try:
        assert after_power_loss(debian.writes, image) > 100
        check_file_system(image)
        for name in ("records", "journal"):
            subprocess.run(["debugfs", "-R", f"dump /{name} {out}.{name}", str(image)], check=True,
                           stderr=subprocess.DEVNULL)
        os.chmod(f"{out}.journal", 0o755)
        found = subprocess.run([f"{out}.journal", "check", f"{out}.records"], stdout=subprocess.PIPE,
                               check=True, text=True).stdout
        assert int(found.split()[1]) > acknowledged >= 100
    finally:
        image.unlink()
