# SPDX-License-Identifier: Apache-2.0
"""What scripts/bench, bench-gate and bench-peers share: the list of figures, the emulated machine with and without Bulkhead."""
import gzip
import json
import os
import platform
import re
import subprocess
import tempfile
import time
from pathlib import Path

import pexpect

ROOT = Path(__file__).resolve().parent.parent
BUILD = Path(os.environ.get("BUILD_DIR", ROOT / "build")).resolve()
PROMPT = "bulkhead> "
KIB, MIB = 1024, 1 << 20
LINUX_KERNEL = BUILD / "third_party" / "linux-cloud" / "vmlinuz"
DEBIAN_DISK = BUILD / "debian" / "debian.img"
DEMO_INITRAMFS = BUILD / "demo" / "demo.cpio.gz"
DEVICE_TOOLS = {"disk": "fio", "server": "iperf", "client": "iperf"}  # the archive of build/debian for scripts/tools/devices.sh
DEVICE_MIB = 384  # its memory
LINUX_CMDLINE = "console=ttyS0 panic=-1"
# Bare too, as in guests: a fifth level of page tables makes fork and exec 6 % dearer.
BARE_CMDLINE = f"{LINUX_CMDLINE} no5lvl"
BARE_MIB = 1024  # memory of the emulated machine itself; Linux has no huge pages with less than 512 MiB
PEER_CPU = "EPYC"  # Debian's KVM and Xen start on it; on "max", which all else has, they do not
LATENCY_TICKS = 1_000_000  # how far ahead the bench guest's late timer is

TARGETS = {
    "exit.port-write.kernel": 60, "exit.hypercall": 55, "exit.cpuid": 60, "exit.port-write.vmm": 600,
    "exit.port-read.vmm": 600, "exit.xapic-read": 900, "wake.self-ipi": 600, "wake.timer": 900,
    "boot.instructions": 50_000_000, "linux.prompt.ratio": 1.05, "memory.kernel": 2 * MIB,
    "memory.vmm": 512 * KIB, "memory.mgmt": 8 * MIB, "size.efi": 2 * MIB, "lines.kernel": 10000,
    "workload.fork-exec.ratio": 1.02, "workload.page-touch.ratio": 1.01, "workload.pipe.ratio": 1.005,
    "workload.pipe.tsc.ratio": 1.005,
    "workload.sha256sum.ratio": 1.002, "blk.qd1.instructions": 1500, "blk.qd32.exits": 0.1,
    "net.frame.instructions": 600, "net.frame.exits": 0.05,
    "mgmt.restart.instructions": 5_000_000,
    "blk.read.ratio": 0.9, "net.tcp.ratio": 1.0,
}
AT_LEAST = {"blk.read.ratio", "net.tcp.ratio"}  # more is better
# Figures whose guest instruction is one that does nothing else: it is not ours.
OWN = {name: 1 for name in ("exit.port-write.kernel", "exit.hypercall", "exit.port-write.vmm", "exit.port-write.pic",
                             "exit.unclaimed-port")}
PREFIXES = ("bare", "kvm", "xen")


class Bench:
    """The figures, in the order in which they were measured."""

    def __init__(self):
        self.figures = {}

    def add(self, name, value, unit, how):
        target = TARGETS.get(name)
        self.figures[name] = {"name": name, "value": value, "unit": unit, "target": target, "how": how}

    def value(self, name):
        return self.figures[name]["value"] if name in self.figures else None

    def add_guest_figures(self, prefix, lines, how):
        """The bench guest's lines; `prefix` is empty or one of PREFIXES with its dot."""
        for name, value in lines.items():
            if value is None:
                continue
            if name.startswith("latency."):
                value -= LATENCY_TICKS
            elif not prefix:
                value -= OWN.get(name, 0)
            self.add(prefix + name, value, "instructions", how)

    def load(self, path):
        for figure in json.loads(path.read_text(encoding="utf-8"))["figures"]:
            self.figures[figure["name"]] = figure

    def write(self, path):
        commit = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=ROOT, check=False,
                                stdout=subprocess.PIPE, text=True).stdout.strip()
        report = {"machine": f"{platform.machine()}, QEMU -icount shift=0, one pCPU",
                  "commit": commit or "unknown", "figures": list(self.figures.values())}
        path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")

    def table(self):
        """All figures as text; what was measured elsewhere too stands in the same line."""
        columns = [prefix for prefix in PREFIXES if any(name.startswith(prefix + ".") for name in self.figures)]
        lines = [f"{'figure':32} {'value':>14} {'unit':12} {'target':>12}      " +
                 "".join(f"{column:>14}" for column in columns)]
        for name, figure in self.figures.items():
            if name.split(".")[0] in PREFIXES and name.split(".", 1)[1] in self.figures:
                continue
            target, value = figure["target"], figure["value"]
            is_met = target is None or (value >= target if name in AT_LEAST else value <= target)
            state = "" if target is None else "ok" if is_met else "UNDER" if name in AT_LEAST else "OVER"
            twins = "".join(f"{'-' if twin is None else twin:>14}"
                            for twin in (self.value(f"{column}.{name}") for column in columns))
            lines.append(f"{name:32} {value:>14} {figure['unit']:12} {'' if target is None else target:>12} "
                         f"{state:4} {twins}".rstrip())
        return "\n".join(lines)


class Machine:
    """Bulkhead in QEMU with instruction counting; a with-block ends it."""

    def __init__(self, config, files, memory="1G", extra=(), has_icount=True, cpu=None):
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name) / "bench.cfg"
        path.write_text(config, encoding="utf-8")
        words = ["--boot", "kernel", "--memory", memory, "--timeout", "400", "--config", str(path)]
        words += ["--icount", "--cpus", "1"] if has_icount else ["--cpus", "2"]
        words += ["--cpu", cpu] if cpu else []
        for name, file in files.items():
            words += ["--file", f"{name}={file}"]
        words += ["--", *extra] if extra else []
        self.child = pexpect.spawn(str(ROOT / "scripts" / "boot"), words, timeout=300,
                                   encoding="utf-8", codec_errors="replace", echo=False)

    def __enter__(self):
        self.child.expect_exact(PROMPT, timeout=60)
        return self

    def __exit__(self, *unused):
        self.child.close(force=True)
        self.folder.cleanup()

    def command(self, text):
        self.child.sendline(text)
        self.child.expect_exact("\n")
        self.child.expect_exact(PROMPT)
        return self.child.before

    def json(self, text):
        output = self.command(text + " --json")
        start = min(at for at in (output.find("{"), output.find("[")) if at >= 0)
        return json.JSONDecoder().raw_decode(output[start:])[0]

    def run_to_end(self, guest, seconds=300):
        """Starts a guest, leaves it alone until it has ended, and gives what it wrote. The prompt is used as little as can be:
        all shares one pCPU, and a command would be measured too."""
        self.command(f"start {guest}")
        return self.wait_for_end(guest, seconds)

    def wait_for_end(self, guest, seconds=300):
        end, pause = time.monotonic() + seconds, 2
        while time.monotonic() < end:
            time.sleep(pause)
            pause *= 1.5
            if next(row for row in self.json("list") if row["name"] == guest)["state"] != "running":
                break
        self.child.sendline(f"console {guest}")
        self.child.expect_exact("leaves")
        self.child.expect_exact("the guest is")
        text = self.child.before
        self.child.expect_exact(PROMPT)
        return text


def bench_lines(text):
    """{name: median} of the `bench NAME MIN MEDIAN MAX` lines; without an end the guest has failed."""
    if "bench: PASS" not in text:
        raise ValueError(f"the bench guest did not end well: {text[-300:]!r}")
    return {match[1]: None if match[2] == "-" else int(match[2])
            for match in re.finditer(r"bench (\S+) \S+ (\S+) \S+", text)}


def qemu_bare(kernel, *more, modules="", cpus=1, cmdline="", cpu="max", has_icount=True):
    """Runs a multiboot image on the emulated machine itself; returns what it wrote to COM1."""
    command = ["qemu-system-x86_64", "-machine", "q35", "-cpu", cpu, "-m", str(BARE_MIB), "-display", "none",
               "-accel", "tcg", "-rtc", "base=2026-01-01,clock=vm", "-no-reboot", "-smp", str(cpus),
               "-serial", "stdio", "-device", "isa-debug-exit,iobase=0xf4", "-kernel", str(kernel),
               "-append", cmdline, *more]
    command += ["-icount", "shift=0,sleep=off"] if has_icount else []
    if modules:
        command += ["-initrd", modules]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False,
                          stderr=subprocess.DEVNULL, timeout=300)
    return done.stdout.decode(errors="replace")


def measure_exits(bench):
    """The bench guest bare and on Bulkhead; what needs two processors in a run of its own."""
    image = BUILD / "guests" / "bench.elf"
    bare = bench_lines(qemu_bare(image))
    pair = bench_lines(qemu_bare(image, cpus=2, cmdline="cpus=2"))
    bare.update({name: value for name, value in pair.items() if name not in bare})
    section = "[guest {}]\nvcpus = {}\nmemory = 32M\nkernel = bench.elf\nconsole = yes\ncmdline = cpus={}\n" \
              "debug-exit = yes\non-poweroff = preserve\nautostart = no\n"
    with Machine(section.format("one", 1, 1) + section.format("two", 2, 2), {"bench.elf": image}) as machine:
        ours = bench_lines(machine.run_to_end("one"))
        pair = bench_lines(machine.run_to_end("two"))
    ours.update({name: value for name, value in pair.items() if name not in ours})
    bench.add_guest_figures("", ours, "bench guest, median of nine rounds; a plain instruction of the guest's own taken off")
    bench.add_guest_figures("bare.", bare, "the same guest on the emulated machine itself")


def disk_machine(cmdlines):
    """A machine with a guest for each command line: a driver of our own and a disk in memory."""
    section = "[guest disk{}]\nmemory = 16M\nkernel = virtio\ncmdline = {}\ndisk = ram:1M\ndebug-exit = yes\n" \
              "on-poweroff = preserve\nautostart = no\n"
    config = "".join(section.format(i, cmdline) for i, cmdline in enumerate(cmdlines))
    return Machine(config, {"virtio": BUILD / "guests" / "virtio.elf"})


def count_exits(machine, guest):
    """Without accesses to registers: a driver of ours looks at them while it sets up its device and waits, as often as it takes."""
    return sum(row["total"] for row in machine.json(f"exits {guest}") if row["reason"] not in ("io", "mmio"))


def measure_disk(bench):
    """What a disk request costs; exits as the difference of two runs that make more or fewer requests."""
    with disk_machine(["bench=yes", "bench=exits rounds=100", "bench=exits rounds=200"]) as machine:
        figures = bench_lines(machine.run_to_end("disk0", 60))
        exits = []
        for guest in ("disk1", "disk2"):
            bench_lines(machine.run_to_end(guest, 60))
            exits.append(count_exits(machine, guest))
    for name in ("blk.qd1", "blk.qd32", "blk.copy"):
        bench.add(f"{name}.instructions", figures[name], "instructions", "guests/virtio/bench.c")
    bench.add("blk.qd32.exits", round((exits[1] - exits[0]) / 3200, 4), "exits", "two runs that differ by 3,200 requests")


def net_machine(cmdlines):
    """The same with two interfaces on one switch."""
    section = "[guest net{}]\nmemory = 16M\nkernel = virtio\ncmdline = {}\nnet = lan\nnet = lan\ndebug-exit = yes\n" \
              "on-poweroff = preserve\nautostart = no\n"
    config = "".join(section.format(i, cmdline) for i, cmdline in enumerate(cmdlines))
    return Machine(config, {"virtio": BUILD / "guests" / "virtio.elf"})


def measure_net(bench):
    """What a frame between two interfaces costs; exits as the difference of two runs."""
    exits = []
    with net_machine(["bench=net rounds=100", "bench=net rounds=200"]) as machine:
        for guest in ("net0", "net1"):
            figures = bench_lines(machine.run_to_end(guest, 60))
            exits.append(count_exits(machine, guest))
            machine.command(f"kill {guest}")
    bench.add("net.frame.instructions", figures["net.frame"], "instructions", "guests/virtio/bench_net.c")
    bench.add("net.frame.exits", round((exits[1] - exits[0]) / 6400, 4), "exits", "two runs that differ by 6,400 frames")


def workload_initramfs(folder):
    """The demo's initramfs with the workloads where the shell would start."""
    tool = folder / "workload"
    subprocess.run(["gcc", "-O2", "-static", "-nostdlib", "-ffreestanding", "-fno-stack-protector", "-o", tool,
                    ROOT / "scripts" / "tools" / "workload.c"], check=True)
    return linux_initramfs(folder, "exec /bin/workload </dev/console >/dev/console 2>&1\n",
                           {"bin/workload": tool.read_bytes()})


def linux_initramfs(folder, end, files, before="", output="bench.cpio.gz"):
    """The demo's initramfs with something else where the shell would start, more files, and commands before it looks for a disk."""
    init = (ROOT / "guests" / "linux-demo" / "init").read_text(encoding="utf-8")
    init = init[:init.rindex("exec /sbin/init")] + end
    init = init.replace("# With root=", before + "# With root=", 1)
    data = bytearray()

    def add(name, mode, content):
        fields = (1, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
        data.extend(b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0")
        data.extend(bytes(-len(data) % 4))
        data.extend(content)
        data.extend(bytes(-len(data) % 4))

    add("init", 0o100755, init.encode())
    for name, content in files.items():
        add(name, 0o100755, content)
    add("TRAILER!!!", 0, b"")
    archive = folder / output
    demo = DEMO_INITRAMFS.read_bytes()
    archive.write_bytes(demo + gzip.compress(bytes(data), mtime=0))
    return archive


def read_workloads(text):
    """{figure: instructions} of what scripts/tools/workload.c, or Debian's script, has written."""
    if "workloads end" not in text or re.search(r"^failed \S+", text, re.MULTILINE):
        raise ValueError(f"the workloads did not end well: {text[-500:]!r}")
    return {match[1]: int(match[2]) for match in re.finditer(r"workload (\S+) (\d+)", text)}


def read_linux(text, start):
    """The same of a Linux that said when it came to its prompt; `start` is when it began."""
    workloads = read_workloads(text)
    return {"linux.prompt": int(re.search(r"prompt tsc (\d+)", text)[1]) - start} | \
        {f"workload.{name}": count for name, count in workloads.items()}


def bare_linux(archive, cpu="max"):
    """The same of Linux on the emulated machine itself."""
    text = qemu_bare(BUILD / "guests" / "linuxboot.elf", modules=f"{LINUX_KERNEL} {BARE_CMDLINE},{archive}", cpu=cpu)
    return read_linux(text, int(re.search(r"linuxboot tsc (\d+)", text)[1]))


# What a Linux under a peer or bare finds its devices with; ours has no need of it. Xen's interface comes a moment after its driver.
DEVICE_INIT = """load xen-blkfront xen-netfront
[ ! -e /lib/modules/$(uname -r)/brd.ko ] || insmod /lib/modules/$(uname -r)/brd.ko rd_nr=1 rd_size=65536
tries=50
until [ -z "$address" ] || [ -e /sys/class/net/eth0 ] || [ $tries = 0 ]; do
	tries=$((tries - 1))
	sleep 0.1
done
"""


def device_initramfs(folder, work, modules=()):
    """The demo's initramfs with fio or iperf3 and scripts/tools/devices.sh where the shell would start, and more modules."""
    tools = BUILD / "debian" / f"{DEVICE_TOOLS[work]}.cpio.gz"
    if not tools.exists():
        raise ValueError(f"there is no {tools}: root makes it by make debian-disk")
    release = next((BUILD / "third_party" / "linux-cloud" / "modules").iterdir()).name
    files = {f"lib/modules/{release}/{path.name}": path.read_bytes() for path in modules}
    files["bin/devices"] = (ROOT / "scripts" / "tools" / "devices.sh").read_bytes()
    archive = linux_initramfs(folder, "exec /bin/devices </dev/console >/dev/console 2>&1\n", files, DEVICE_INIT,
                              tools.name)
    archive.write_bytes(archive.read_bytes() + tools.read_bytes())
    return archive


def device_cmdline(work, amount=""):
    """`amount`: of blocks or bytes, if not all."""
    address = {"server": " address=10.0.0.1/24", "client": " address=10.0.0.2/24"}.get(work, "")
    return f"{LINUX_CMDLINE} quiet bench={work}{address}" + (f" amount={amount}" if amount else "")


def best_stream(text):
    """KBit/s of the best of some runs of iperf3."""
    return max((int(match) for match in re.findall(r"(\d+) Kbits/sec\s+receiver", text)), default=0)


def add_device_figures(bench, prefix, text, where):
    """Of what scripts/tools/devices.sh has written, once or often; for each figure all instructions of the machine."""
    figures = {match[1]: int(match[2]) for match in re.finditer(r"workload (fio-\S+) (\d+)", text)}
    for name, value in figures.items():
        bench.add(f"{prefix}blk.{name}.instructions", value, "instructions",
                  f"fio, a random read of 4 KiB of a disk in memory, {where}: all of the machine")
    speed = best_stream(text)
    if speed != 0:
        bench.add(f"{prefix}net.tcp.instructions", round(1e9 * 8 * KIB / (speed * 1000)), "instructions",
                  f"iperf3 between two guests on one switch, {where}: all of the machine for a KiB, best of three")
    if len(figures) != 2 or (speed == 0 and prefix != "bare.") or re.search(r"^failed \S+", text, re.MULTILINE):
        raise ValueError(f"fio or iperf3 did not end well: {text[-500:]!r}")


def debian_cmdline(work, address=""):
    """Of a Debian that does the work and powers off: guests/debian/usr/local/sbin/bulkhead-bench."""
    return f"{LINUX_CMDLINE} quiet root=/dev/vda init=/usr/local/sbin/bulkhead-shell run=bulkhead-bench bench={work}" + \
        (f" address={address}/24" if address else "")


def debian_drive(name):
    return ["-drive", f"if=none,id={name},format=raw,snapshot=on,file={DEBIAN_DISK}",
            "-device", f"virtio-blk-pci,disable-legacy=on,drive={name}"]


def bare_debian(cpu="max"):
    """Compiling and fio in Debian on a virtio disk of the emulated machine itself."""
    return read_workloads(qemu_bare(BUILD / "guests" / "linuxboot.elf", *debian_drive("d"), cpu=cpu,
                                    modules=f"{LINUX_KERNEL} {debian_cmdline('local')} no5lvl,{DEMO_INITRAMFS}"))
