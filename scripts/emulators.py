# SPDX-License-Identifier: Apache-2.0
"""The two emulators: their command lines and how each tells that the machine is off.

Used by scripts/boot. A class per emulator: `command()` gives the command line,
`prepare()` writes what it needs into the work folder, `verdict()` judges a run that ended.
"""
import json
import os
import shutil
import socket
import threading
from pathlib import Path

import media

OVMF = Path("/usr/share/OVMF")
BOCHS3 = media.BUILD / "third_party" / "bochs3"

OFF, RESET, CRASH, QUIT = "off", "reset", "crash", "quit"


class EmulatorError(Exception):
    """The emulator cannot do what is asked, or is not there."""


def mebibytes(text):
    """'2G', '512M' or plain MiB as a number of MiB."""
    number, unit = (text[:-1], text[-1].upper()) if text[-1:].isalpha() else (text, "M")
    if not number.isdigit() or unit not in "KMG" or int(number) == 0:
        raise EmulatorError(f"'{text}' is not a size (such as 1024M or 2G)")
    value = int(number)
    return {"K": value >> 10, "M": value, "G": value << 10}[unit]


class Qemu:
    """QEMU's q35 with AMD-V and nested paging, all in software (TCG)."""

    boots = ("uefi", "pxe", "iso", "kernel")

    def __init__(self, options, work):
        self.options, self.work = options, work
        self.reason, self.watcher = None, None
        self.log = work / "qemu.log"
        self.qmp = work / "qmp.sock"
        self.serial = work / "com1.sock"
        if options.boot not in self.boots:
            raise EmulatorError(f"QEMU does not boot by '{options.boot}' here")

    def accelerator(self):
        if self.options.icount:
            if self.options.cpus != 1:
                raise EmulatorError("--icount counts one pCPU's instructions: use --cpus 1")
            return ["-accel", "tcg", "-icount", "shift=0,sleep=off", "-rtc",
                    "base=2026-01-01,clock=vm"]
        return ["-accel", "tcg,thread=multi"]

    def medium(self):
        """The options of the boot way."""
        boot, work = self.options.boot, self.work
        if boot == "kernel":
            names = [str(work / "modules" / name) for name in self.options.content.modules()]
            words = ["-kernel", str(media.BUILD / "bulkhead.mb"), "-initrd", ",".join(names)]
            return words + (["-append", self.options.content.cmdline]
                            if self.options.content.cmdline else [])
        if boot == "iso":
            disk = ["-cdrom", str(self.options.image or work / "bulkhead.iso"), "-boot", "d"]
            return disk + (self.firmware() if self.options.firmware == "uefi" else [])
        if boot == "pxe":
            return self.firmware() + [
                "-netdev", f"user,id=net0,tftp={work / 'tftp'},bootfile=bulkhead.efi",
                "-device", "virtio-net-pci,netdev=net0,romfile=,bootindex=0"]
        return self.firmware() + [
            "-drive", f"if=none,id=stick,format=raw,file={self.options.image or work / 'bulkhead.img'}",
            "-device", "qemu-xhci", "-device", "usb-storage,drive=stick,bootindex=0"]

    def firmware(self):
        return ["-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={OVMF / 'OVMF_CODE_4M.fd'}",
                "-drive", f"if=pflash,unit=1,format=raw,file={self.work / 'vars.fd'}"]

    def devices(self):
        """What the options add to the machine."""
        options, words = self.options, []
        for number, (model, tftp) in enumerate(options.nics):
            words += ["-netdev", f"user,id=nic{number}" + (f",tftp={tftp}" if tftp else ""),
                      "-device", f"{model},netdev=nic{number},romfile="]
        for name in ("drive", "netdev", "device"):
            words += [word for text in getattr(options, name) for word in (f"-{name}", text)]
        return words

    def command(self):
        options = self.options
        words = ["qemu-system-x86_64", "-machine", "q35", "-cpu", options.cpu or "max,+svm",
                 *self.accelerator(), "-smp", str(options.cpus), "-m", f"{options.memory}M",
                 "-nodefaults", "-vga", "std", "-display", "none", "-no-reboot", "-d", "cpu_reset",
                 "-D", str(self.log),
                 "-qmp", f"unix:{self.qmp},server=on,wait=off",
                 "-chardev", f"socket,id=com1,path={self.serial}", "-serial", "chardev:com1"]
        return words + self.medium() + self.devices() + options.extra

    def prepare(self):
        boot, content, work = self.options.boot, self.options.content, self.work
        if boot == "pxe" or boot == "uefi" or self.options.firmware == "uefi":
            if not (OVMF / "OVMF_VARS_4M.fd").exists():
                raise EmulatorError("OVMF is not installed (scripts/setup run)")
            shutil.copyfile(OVMF / "OVMF_VARS_4M.fd", work / "vars.fd")
        if boot == "kernel":
            media.make_module_folder(content, work / "modules")
        elif boot == "pxe":
            media.make_tftp(content, work / "tftp")
        elif self.options.image is None and boot == "iso":
            media.make_iso(content, work / "bulkhead.iso", work)
        elif self.options.image is None:
            media.make_stick(content, work / "bulkhead.img", work)

    def listen(self):
        """The socket that the emulator connects COM1 to."""
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self.serial))
        listener.listen(1)
        return listener

    def environment(self):
        return dict(os.environ)

    def started(self, process):
        self.watcher = threading.Thread(target=self.watch, args=(process,), daemon=True)
        self.watcher.start()

    def watch(self, process):
        """Reads QEMU's event stream; the last SHUTDOWN event says why the machine ended."""
        link = socket.socket(socket.AF_UNIX)
        while process.poll() is None:
            try:
                link.connect(str(self.qmp))
                break
            except OSError:
                threading.Event().wait(0.05)
        try:
            link.sendall(b'{"execute": "qmp_capabilities"}\n')
            for line in link.makefile("rb"):
                message = json.loads(line)
                if message.get("event") == "SHUTDOWN":
                    self.reason = message.get("data", {}).get("reason")
        except (OSError, ValueError):
            pass

    def verdict(self, status):
        """(verdict, sentence) for a QEMU that ended with `status`."""
        if self.watcher:
            self.watcher.join(5)
        if self.reason == "guest-shutdown":
            return OFF, "the machine is off"
        if self.reason == "guest-reset":
            if self.log.exists() and b"Triple fault" in self.log.read_bytes():
                return CRASH, "the machine had a triple fault"
            return RESET, "the machine was reset"
        if self.reason == "guest-panic":
            return CRASH, "the machine panicked"
        if status == 0 and self.reason in ("host-qmp-quit", "host-signal", None):
            return QUIT, "the emulator was told to quit"
        return CRASH, f"QEMU ended with status {status}"


BOCHSRC = """config_interface: textconfig
display_library: rfb, options="timeout=0"
cpu: model={cpu}, count={cpus}, ips=100000000, reset_on_triple_fault=0, ignore_bad_msrs=1
memory: guest={memory}, host={memory}
romimage: file={share}/BIOS-bochs-latest, options=fastboot
vgaromimage: file={vgabios}
pci: enabled=1, chipset=i440fx
clock: sync=none, time0=utc
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
{medium}
com1: enabled=1, mode=socket-client, dev=localhost:{port}
log: {log}
panic: action=fatal
error: action=report
info: action=report
debug: action=ignore
mouse: enabled=0
sound: driver=dummy
plugin_ctrl: speaker=0
{nic}
"""


class Bochs:
    """Bochs with VT-x (or AMD-V: --cpu ryzen): 3.0 if scripts/fetch got it, else Debian 12's 2.7."""

    boots = ("iso",)

    def __init__(self, options, work):
        self.options, self.work = options, work
        self.log = work / "bochs.log"
        self.port = 0
        if options.drive or options.netdev or options.device or len(options.nics) > 1 or any(
                model != "e1000" for model, _ in options.nics):
            raise EmulatorError("Bochs has one e1000 (--nic e1000) and no other further devices")
        self.is_v3 = (BOCHS3 / "usr" / "bin" / "bochs-bin").exists() and not options.bochs27
        if options.boot not in self.boots or options.firmware == "uefi":
            raise EmulatorError("Bochs boots the BIOS way from the ISO only: use --boot iso "
                                f"(asked for: {options.boot}, firmware {options.firmware})")

    def command(self):
        binary = ["bochs-bin"]
        if self.is_v3:
            libraries = BOCHS3 / "usr/lib/x86_64-linux-gnu"
            loader = next((path for path in (libraries / "ld-linux-x86-64.so.2",
                                             BOCHS3 / "usr/lib64/ld-linux-x86-64.so.2",
                                             BOCHS3 / "lib64/ld-linux-x86-64.so.2")
                           if path.exists()), libraries / "ld-linux-x86-64.so.2")
            binary = [str(loader), "--library-path",
                      f"{libraries}:/usr/lib/x86_64-linux-gnu:/lib/x86_64-linux-gnu",
                      str(BOCHS3 / "usr/bin/bochs-bin")]
        words = [*binary, "-q", "-f", str(self.work / "bochsrc")]
        return words + ([] if self.is_v3 else ["-rc", str(self.work / "go")])

    def environment(self):
        environment = dict(os.environ)
        if self.is_v3:
            environment["LTDL_LIBRARY_PATH"] = str(
                BOCHS3 / "usr/lib/x86_64-linux-gnu/bochs/plugins")
            environment["BXSHARE"] = str(BOCHS3 / "usr/share/bochs")
        return environment

    def prepare(self):
        image = self.options.image
        if image is None:
            image = self.work / "bulkhead.iso"
            media.make_iso(self.options.content, image, self.work)
        self.medium = f"ata0-master: type=cdrom, path={Path(image).resolve()}, status=inserted\n" \
                      "boot: cdrom"
        (self.work / "go").write_text("c\n", encoding="ascii")
        (self.work / "slirp").write_text("# slirp config\n", encoding="ascii")

    def listen(self):
        listener = socket.create_server(("localhost", 0))
        self.port = listener.getsockname()[1]
        (self.work / "bochsrc").write_text(BOCHSRC.format(
            cpu=self.options.cpu or "corei7_skylake_x", cpus=self.options.cpus,
            memory=self.options.memory, medium=self.medium, port=self.port, log=self.log,
            share=BOCHS3 / "usr/share/bochs" if self.is_v3 else "/usr/share/bochs",
            vgabios=self.vgabios(), nic=self.nic()), encoding="ascii")
        return listener

    def nic(self):
        if not self.options.nics:
            return ""
        return "e1000: enabled=1, mac=52:54:00:12:34:56, ethmod=slirp, " \
            f"ethdev={self.options.nics[0][1] or self.work}, script={self.work / 'slirp'}"

    def vgabios(self):
        for path in (str(BOCHS3 / "usr/share/bochs/VGABIOS-lgpl-latest"),
                     "/usr/share/vgabios/vgabios.bin"):
            if os.path.exists(path):
                return path
        raise EmulatorError("vgabios is not installed (scripts/setup bochs)")

    def started(self, process):
        pass

    def verdict(self, status):
        """Bochs always ends with status 1: its log tells what happened."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        last = text[-65536:]  # a dump of every CPU follows the message
        if "soft power off" in last or "Shutdown port: shutdown requested" in last:
            return OFF, "the machine is off"
        if "exception() with no resolution" in text or "no resolution, shutdown" in text:
            return CRASH, "the machine had a triple fault"
        lines = [line for line in text.splitlines() if ">>PANIC<<" in line or line[13:14] == "p"]
        return CRASH, "Bochs ended: " + (lines[-1] if lines else f"status {status}, see its log")
