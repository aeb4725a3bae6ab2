# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the system tests: `boot` starts machines, `lab` is one machine that tests share."""
import itertools
import re
from pathlib import Path

import pytest

from machine import BUILD, GUESTS, Machine

NUMBERS = itertools.count(1)
WAYS = {
    "qemu": [("uefi", "bios"), ("pxe", "bios"), ("iso", "bios"), ("iso", "uefi"),
             ("kernel", "bios")],
    "bochs": [("iso", "bios")],
}


def pytest_addoption(parser):
    parser.addoption("--platform", choices=("qemu", "bochs"), default="qemu")
    parser.addoption("--all", action="store_true", help="those marked long and long_on_bochs, too")
    parser.addoption("--again", action="store_true", help="keep the logs apart: a second try")


def pytest_generate_tests(metafunc):
    if "way" in metafunc.fixturenames:
        ways = WAYS[metafunc.config.getoption("--platform")]
        metafunc.parametrize("way", ways, ids=["-".join(way) for way in ways])


def pytest_collection_modifyitems(config, items):
    is_bochs, is_all = config.getoption("--platform") == "bochs", config.getoption("--all")
    marks = ({"qemu_only"} if is_bochs else {"bochs_only"}) | (set() if is_all else {"long"}) | \
        ({"long_on_bochs"} if is_bochs and not is_all else set())
    dropped = [item for item in items if marks & {mark.name for mark in item.iter_markers()}]
    items[:] = [item for item in items if item not in dropped]
    config.hook.pytest_deselected(items=dropped)


@pytest.fixture(scope="session")
def platform(request):
    return request.config.getoption("--platform")


@pytest.fixture(scope="session")
def log_folder(platform, request):
    is_again = request.config.getoption("--again")
    folder = BUILD / "results" / platform / ("logs-again" if is_again else "logs")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def start_machine(platform, log_folder, name, arguments, limit_seconds):
    log = log_folder / f"{next(NUMBERS):02}-{re.sub('[^A-Za-z0-9_.-]+', '-', name)}.log"
    print(f"serial log: {log}")
    return Machine(platform, arguments, log, limit_seconds)


@pytest.fixture
def boot(platform, log_folder, request):
    """boot(*arguments of scripts/boot) starts a machine that ends with the test."""
    machines = []

    def start(*arguments, limit_seconds=900):
        if "--boot" not in arguments:
            arguments += ("--boot", "kernel" if platform == "qemu" else "iso")
        machines.append(start_machine(platform, log_folder, request.node.name, arguments,
                                      limit_seconds))
        return machines[-1]

    yield start
    for machine in machines:
        machine.close()


def lab_arguments(platform):
    files = {path.stem: path for path in sorted(GUESTS.glob("*.elf"))}
    files.update({
        "vmlinuz-cloud": BUILD / "third_party/linux-cloud/vmlinuz",
        "demo.cpio.gz": BUILD / "demo/demo.cpio.gz",
        "memtest": BUILD / "third_party/memtest/memtest86+x64.bin",
        "garbage": Path(__file__).resolve(),
        "bad.cfg": Path(__file__).parent / "data" / "bad.cfg",
        "more.cfg": Path(__file__).parent / "data" / "more.cfg",
    })
    arguments = ["--boot", "kernel" if platform == "qemu" else "iso"]
    arguments += ["--cpus", "2"] if platform == "bochs" else []
    for name, path in files.items():
        arguments += ["--file", f"{name}={path}"]
    return arguments


class Lab:
    """The shared machine; started again when a test has lost it."""

    def __init__(self, platform, log_folder):
        self.platform, self.log_folder, self.machine = platform, log_folder, None

    def get(self):
        if self.machine is None or not self.is_well():
            self.end()
            self.machine = start_machine(self.platform, self.log_folder, "lab",
                                         lab_arguments(self.platform), 2400)
            self.machine.wait_for_shell()
        return self.machine

    def is_well(self):
        try:
            self.machine.send("\x1d\r")
            self.machine.drain(0.3)
            return "bulkhead" in self.machine.command("version", 10).lower() or True
        except (AssertionError, OSError):
            return False

    def end(self):
        if self.machine is not None:
            self.machine.close()
            self.machine = None


@pytest.fixture(scope="session")
def lab_keeper(platform, log_folder):
    keeper = Lab(platform, log_folder)
    yield keeper
    keeper.end()


@pytest.fixture
def lab(lab_keeper):
    """A machine at its prompt without guests; guests that a test leaves are removed."""
    machine = lab_keeper.get()
    yield machine
    try:
        for row in machine.query("list"):
            machine.command(f"kill {row['name']}", is_error_fine=True)
            machine.command(f"delete {row['name']}", is_error_fine=True)
    except (AssertionError, ValueError):
        lab_keeper.end()
