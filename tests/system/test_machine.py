# SPDX-License-Identifier: Apache-2.0
"""The machine as a whole: scripts/boot's contract, reboot, bad files, a VMM that was taken over."""
import re
import subprocess
import time

import pytest

from machine import BUILD, ROOT


def run_boot(platform, *arguments, limit=120):
    return subprocess.run([ROOT / "scripts/boot", "--platform", platform, *arguments],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=limit, check=False)


def default_way(platform):
    return ["--boot", "kernel" if platform == "qemu" else "iso"]


def test_dry_run_prints_the_command(platform):
    done = run_boot(platform, *default_way(platform), "--dry-run")
    assert done.returncode == 0
    assert (b"qemu-system-x86_64" if platform == "qemu" else b"bochs") in done.stdout


def test_time_limit(platform):
    done = run_boot(platform, *default_way(platform), "--config", str(ROOT / "boot/default.cfg"),
                    "--timeout", "8")
    assert done.returncode == 124


def test_host_reboot(boot):
    machine = boot("--config", str(ROOT / "boot/default.cfg"))
    machine.wait_for_shell()
    machine.send("host reboot\r")
    machine.wait_for_shell()
    machine.poweroff()


def test_bad_config_still_gives_a_shell(boot):
    """Nor do more files than there is room for keep it away; the log says which are left out."""
    more = [word for i in range(64) for word in ("--file", f"more{i}={ROOT / 'tests/system/data/bad.cfg'}")]
    machine = boot("--config", str(ROOT / "tests/system/data/bad.cfg"), "--file",
                   f"hello={BUILD / 'guests/hello.elf'}", *more)
    machine.wait_for_shell()
    first = re.search(r"64 modules, the most; left out with what follows it: more(\d+)", machine.command("log"))
    kept = {row["name"] for row in machine.query("files")}
    assert first and f"more{int(first[1]) - 1}" in kept and f"more{first[1]}" not in kept
    assert machine.guest("good") is not None
    assert machine.guest("bad") is None
    machine.poweroff()


@pytest.mark.qemu_only
def test_console_on_another_port(boot, tmp_path):
    """`console=com2`: there the log from its first line on, and the shell."""
    other, end = tmp_path / "com2", time.monotonic() + 90
    boot("--boot", "kernel", "--append", "console=com2", "--", "-serial", f"file:{other}")
    text = ""
    while "bulkhead> " not in text:
        assert time.monotonic() < end, f"no prompt on COM2: {text}"
        time.sleep(0.2)
        text = other.read_text(encoding="utf-8", errors="replace") if other.exists() else ""
    assert text.index("started by") < text.index("pCPUs. 'help'") < text.index("bulkhead> ")


@pytest.mark.qemu_only
def test_one_cpu_and_one_gibibyte_by_instruction_count(boot):
    machine = boot("--icount", "--memory", "1G", "--config", str(ROOT / "boot/default.cfg"),
                   "--file", f"hello={BUILD / 'guests/hello.elf'}")
    machine.wait_for_shell()
    machine.command("create hello memory=16M kernel=hello debug-exit=yes")
    machine.command("start hello", 60, is_error_fine=True)
    machine.wait_for_state("hello", ("off",))
    machine.poweroff()


def test_nonsense_vmm(boot):
    """A VMM that was taken over throws nonsense at every call; kernel, shell and memory stay."""
    program = BUILD / "domains/nonsense.elf"
    assert program.exists()
    machine = boot("--config", str(ROOT / "boot/default.cfg"), "--program", f"vmm={program}",
                   "--file", f"hello={BUILD / 'guests/hello.elf'}")
    machine.wait_for_shell()
    free = machine.free_memory()
    machine.command("create evil vcpus=2 memory=16M kernel=hello")
    machine.command("start evil", 60, is_error_fine=True)
    machine.wait_for_state("evil", ("off", "crashed", "running"), 60)
    machine.send("console evil\r")
    machine.expect(r"calls", 120)
    machine.send("\x1d")
    machine.expect("bulkhead> ")
    machine.command("kill evil", is_error_fine=True)
    machine.command("delete evil")
    assert machine.free_memory() == free
    machine.poweroff()


def test_root_keeps_memory(boot):
    """KEEP and RELEASE, right and wrong, over the deaths of who asked."""
    machine = boot("--config", str(ROOT / "boot/default.cfg"),
                   "--program", f"mgmt={BUILD / 'domains/keeper.elf'}")
    machine.expect(r"keeper: (\d+) checks, (\d+) failed", 60)
    checks, failed = (int(number) for number in machine.child.match.groups())
    assert checks >= 40 and failed == 0
