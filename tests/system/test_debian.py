# SPDX-License-Identifier: Apache-2.0
"""A Debian on a disk: login on the console and over the network, and files that outlive sudden ends."""
import subprocess
from pathlib import Path

import pytest

from machine import BUILD

DISK = BUILD / "debian" / "debian.img"
SSH = "dbclient -y -i /root/.ssh/id_dropbear root@10.0.0.1"


def copy_of_disk(folder, name):
    """A sparse copy that a machine may write to."""
    path = folder / name
    subprocess.run(["cp", "--sparse=always", str(DISK), str(path)], check=True)
    return path


def arguments_for(config, *disks):
    """Arguments of scripts/boot; the disks are the machine's NVMe disks, read-only ones in a tuple."""
    words = ["--boot", "kernel", "--config", str(Path(__file__).parent / "data" / config),
             "--file", f"vmlinuz={BUILD / 'third_party/linux-cloud/vmlinuz'}",
             "--file", f"demo.cpio.gz={BUILD / 'demo/demo.cpio.gz'}"]
    for number, disk in enumerate(disks):
        words += ["--drive", f"file={disk},if=none,id=d{number},format=raw",
                  "--device", f"nvme,serial=d{number},drive=d{number}"]
    return words


def log_in(machine, name, seconds=200):
    """From getty's prompt to root's."""
    with machine.console(name) as console:
        console.send("\r")
        console.expect("login: ", seconds)
        console.send("root\r")
        console.expect("assword: ", 60)
        console.send("bulkhead\r")
        console.expect(f"{name}:~# ", 60)


@pytest.fixture(scope="module")
def debian(platform, log_folder):
    """One machine; `deb` has its disk for itself, `other` an overlay of the image."""
    from conftest import start_machine
    if not DISK.exists():
        pytest.skip("no build/debian/debian.img: root makes it by make debian-disk")
    disk = copy_of_disk(log_folder, "deb.img")
    machine = start_machine(platform, log_folder, "debian",
                            arguments_for("debian.cfg", disk, f"{DISK},snapshot=on"), 900)
    machine.disk = disk
    try:
        machine.wait_for_shell()
        with machine.console("other") as console:
            console.wait_for_prompt()
        log_in(machine, "deb")
        yield machine
    finally:
        machine.close()
        disk.unlink()


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
