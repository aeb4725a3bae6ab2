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
FIO = "fio --max-jobs=4 --name=v --filename=/dev/vdb --direct=1 --ioengine=libaio --verify=crc32c --verify_fatal=1"
# Rounds of fio at three depths until /tmp/stop is there: every round writes other data and reads it back. What goes wrong is in /tmp/bad.
FIO_ROUNDS = ("(i=0; while [ ! -e /tmp/stop ]; do for depth in 1 4 32; do i=$((i+1)); "
              f"{FIO} --rw=randwrite --bsrange=4k-32k --size=3M --iodepth=$depth --randseed=$((seed+i)) "
              ">/tmp/fio 2>&1 || { echo round $i; cat /tmp/fio; }; echo $i >>/tmp/rounds; done; done) >/tmp/bad 2>&1 & true")
STREAM = "(iperf3 -c 10.0.0.1 -t 86400 --forceflush >/tmp/iperf 2>&1; echo $? >/tmp/iperf.done) & true"
# Waits until the disk has served $1 requests more, and TCP has carried $2 bytes more; or something went wrong.
PROGRESS = ("count() { read -r _ _ _ _ w _ </sys/block/vdb/stat; read -r r _ </sys/block/vdb/stat; io=$((r + w)); "
            "read -r tx </sys/class/net/eth0/statistics/tx_bytes; }; "
            "progress() { count; io_end=$((io + $1)); tx_end=$((tx + $2)); until [ $io -ge $io_end -a $tx -ge $tx_end ]; do "
            "[ ! -s /tmp/bad -a ! -e /tmp/iperf.done ] || { tail /tmp/bad /tmp/iperf; return 1; }; sleep 0.1; count; done; }")


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


def log_in(machine, name, seconds=300, options=""):
    """From getty's prompt to root's."""
    with machine.console(name, options) as console:
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


@pytest.mark.qemu_only
def test_login_on_the_console(debian):
    with debian.console("deb") as console:
        assert console.read("cat /proc/1/comm") == "systemd"
        assert console.read("findmnt -no SOURCE,FSTYPE /").split() == ["/dev/vda", "ext4"]
        assert console.read("systemctl --failed --no-legend") == ""


@pytest.mark.qemu_only
def test_login_on_the_virtio_console(debian):
    log_in(debian, "deb", options="-t virtio")
    with debian.console("deb", "-t virtio") as console:
        assert console.read("tty") == "/dev/hvc0"
        console.send("logout\r")
        console.expect("deb login: ")


@pytest.mark.qemu_only
def test_login_over_the_network(debian):
    with debian.console("other") as console:
        assert console.read(f"{SSH} 'hostname; id -un' 2>/dev/null", 120).split() == ["deb", "root"]


def start_work(machine, seed):
    """fio with verify on `other`, and one TCP connection from there to `deb`."""
    with machine.console("deb") as console:
        console.read("pgrep iperf3 >/dev/null || iperf3 -s -D")
    with machine.console("other") as console:
        console.read(f"rm -f /tmp/stop /tmp/bad /tmp/rounds /tmp/iperf*; seed={seed}; {PROGRESS}")
        console.read(FIO_ROUNDS)
        console.read(STREAM)
        console.read("progress 100 1000000", 120)


def end_work(machine, rounds_min):
    """All rounds were sound, and the connection held until it was ended here."""
    with machine.console("other") as console:
        console.read("pkill -INT iperf3; touch /tmp/stop; until [ -e /tmp/iperf.done ]; do sleep 0.1; done; wait", 300)
        assert console.read("cat /tmp/bad") == ""
        assert int(console.read("tail -n 1 /tmp/rounds")) >= rounds_min
        assert console.read("grep -i -E 'error|terminated' /tmp/iperf") == "iperf3: interrupt - the client has terminated"
    for name in ("deb", "other"):
        with machine.console(name) as console:
            assert console.read("dmesg | grep -i -E 'i/o error|blocked for|needs reset|rcu.*stall' | cat") == ""
            assert console.read("echo $((40 + 2))") == "42"


def end_at_random(machine, ways):
    """mgmt ends in each of the ways (0 to 300 ms after it is told) while fio verifies and TCP flows."""
    moments = seeded()
    start_work(machine, moments.randrange(1 << 30))
    restarts = [row["restarts"] for row in machine.query("list")]
    for way in moments.sample(ways, len(ways)):
        machine.end_mgmt(f"{way} {moments.randrange(300000)}")
        with machine.console("other") as console:
            console.read("progress 100 1000000", 120)
    end_work(machine, len(ways) // 2)
    assert [row["restarts"] for row in machine.query("list")] == restarts


@pytest.mark.qemu_only
def test_mgmt_ends_under_fio_and_iperf3(debian):
    end_at_random(debian, ["restart-mgmt"] * 3 + ["crash-mgmt"] * 2)


@pytest.mark.long
@pytest.mark.qemu_only
def test_mgmt_ends_a_hundred_times_under_fio_and_iperf3(debian):
    end_at_random(debian, ["restart-mgmt"] * 65 + ["crash-mgmt"] * 30 + ["hang-mgmt"] * 5)


@pytest.mark.long
@pytest.mark.qemu_only
@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16, 32])
def test_fio_at_depth(debian, depth):
    with debian.console("other") as console:
        for mode in ("randwrite", "randrw", "write"):
            text = console.read(f"{FIO} --output-format=json --rw={mode} --bsrange=4k-64k --size=16M --iodepth={depth}", 600)
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
    assert "killed" not in debian.command("stop deb -w 120", 150)
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
