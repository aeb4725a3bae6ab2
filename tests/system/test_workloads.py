# SPDX-License-Identifier: Apache-2.0
"""fio and iperf of Debian between guests, to mgmt and to the emulator's network, the same on both platforms.

Amounts are bytes, not times: Bochs has a clock of its own. test_debian.py has more of it, on disks that QEMU alone has.
"""
import json
import socket
import subprocess
from pathlib import Path

import pytest

from machine import BUILD, DEMO_FILES

pytestmark = pytest.mark.long_on_bochs  # unpacking fio and its libraries takes a minute there
TOOLS = [BUILD / "debian" / f"{name}.cpio.gz" for name in ("fio", "iperf")]
FIO = ("fio --max-jobs=1 --name=v --filename=/dev/vda --direct=1 --ioengine=libaio --rw=randwrite --bsrange=4k-32k --size=1M "
       "--verify=crc32c --verify_fatal=1 --output-format=json")
GATEWAY, MGMT, BETA = "10.0.2.2", "10.0.2.15", "10.0.2.51"


@pytest.fixture(scope="module")
def guests(platform, log_folder):
    """One machine with an e1000 on the emulator's network; alpha has fio and a disk, both have iperf."""
    from conftest import start_machine
    if not all(path.exists() for path in TOOLS):
        pytest.skip("no build/debian/fio.cpio.gz: root makes it by make debian-disk")
    arguments = ["--boot", "kernel" if platform == "qemu" else "iso", "--nic", "e1000",
                 "--config", str(Path(__file__).parent / "data" / "workloads.cfg"), *DEMO_FILES]
    for path in TOOLS:
        arguments += ["--file", f"{path.name}={path}"]
    machine = start_machine(platform, log_folder, "workloads", arguments, 2000)
    try:
        machine.wait_for_shell(300)
        for name in ("alpha", "beta"):
            with machine.console(name) as console:
                console.wait_for_prompt(300)
        yield machine
    finally:
        machine.close()


def report(console, line, seconds=300):
    """The JSON that a program of alpha prints."""
    text = console.read(line, seconds)
    return json.loads(text[text.index("{"):text.rindex("}") + 1])


@pytest.mark.parametrize("depth", [1, 32] + [pytest.param(depth, marks=pytest.mark.long) for depth in (2, 4, 8, 16)])
def test_fio_at_depth(guests, depth):
    with guests.console("alpha") as console:
        job = report(console, f"{FIO} --iodepth={depth} --randseed={depth}")["jobs"][0]
    assert job["error"] == 0 and job["read"]["io_bytes"] >= 1 << 20 and job["write"]["io_bytes"] >= 1 << 20


def check_stream(stream, size):
    """The receiver counts what it had when the sender said that it was done."""
    assert "error" not in stream, stream
    assert stream["end"]["sum_sent"]["bytes"] >= size and stream["end"]["sum_received"]["bytes"] >= size // 4


@pytest.mark.parametrize("direction", ["", "-R"])
def test_iperf3_between_guests(guests, direction):
    with guests.console("beta") as console:
        console.read("pidof iperf3 >/dev/null || iperf3 -s -D")
    with guests.console("alpha") as console:
        check_stream(report(console, f"iperf3 -c {BETA} -n 8M -J {direction}"), 8 << 20)


@pytest.fixture(scope="module")
def server():
    """Port of an iperf3 outside, which guests see at GATEWAY."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with subprocess.Popen(["iperf3", "-s", "--forceflush", "-B", "127.0.0.1", "-p", str(port)], stdout=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        yield port
        process.kill()


@pytest.mark.parametrize("direction", ["", "-R"])
def test_iperf3_to_the_emulators_network(guests, server, direction):
    with guests.console("alpha") as console:
        check_stream(report(console, f"iperf3 -c {GATEWAY} -p {server} -n 2M -J {direction}"), 2 << 20)


def test_iperf_to_mgmt(guests):
    for _ in range(60):
        if guests.query("net stat")["interface"]["address"].startswith(MGMT):
            break
        guests.command(f"ping {GATEWAY} 1", is_error_fine=True)
    guests.command("iperf start")
    with guests.console("alpha") as console:
        console.read(f"iperf -c {MGMT} -n 4M", 120)
    state = guests.query("iperf")["iperf"]
    assert state["bytes"] >= 4 << 20 and state["refused"] == 0
    guests.command("iperf stop")
