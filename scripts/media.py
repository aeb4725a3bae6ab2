# SPDX-License-Identifier: Apache-2.0
"""Makes boot media: a USB stick (GPT with an EFI system partition), a GRUB ISO, a TFTP folder
and a folder of multiboot modules. Used by scripts/boot and scripts/make-image.

A medium is described by one `Content`: the programs of Bulkhead, a configuration and further
files for the guests. Nothing here needs root or loop mounts, and the same content gives the
same bytes.
"""
import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = Path(os.environ.get("BUILD_DIR", ROOT / "build")).resolve()
EPOCH = os.environ.setdefault("SOURCE_DATE_EPOCH", "1767225600")

CONFIG_NAME = "bulkhead.cfg"  # what the configuration is called on an ESP or a TFTP server
CMDLINE_NAME = "bulkhead.cmd"  # the command line there, if one is given
LIST_NAME = "bulkhead.files"  # names of the further files there, one a line
PROGRAMS = ("root", "mgmt", "vmm")
ESP_START = 1 << 20
DEMO_CONFIG = ROOT / "boot" / "demo.cfg"
RESERVED = ("kernel", "config") + PROGRAMS


class MediaError(Exception):
    """A medium cannot be made; the text says which file or program is at fault."""


def demo_files():
    """The guests' files of the demo: name -> path."""
    third_party = BUILD / "third_party"
    return {
        "vmlinuz-cloud": third_party / "linux-cloud" / "vmlinuz",
        "vmlinuz-generic": third_party / "linux-generic" / "vmlinuz",
        "demo.cpio.gz": BUILD / "demo" / "demo.cpio.gz",
    }


class Content:
    """What goes onto a medium. `config` may be None: the default configuration is used then."""

    def __init__(self, config=None, files=None, cmdline=""):
        self.config = Path(config) if config else None
        self.files = {name: Path(path) for name, path in (files or {}).items()}
        self.cmdline = cmdline
        self.programs = {}  # name -> path of programs that replace ours

    def program(self, name):
        """The file of one program of Bulkhead, as it is booted (no symbols)."""
        file = {"root": "root.bin", "kernel": "kernel.elf"}.get(name, name + ".elf")
        return self.programs.get(name, BUILD / "boot-files" / file)

    def modules(self):
        """Name -> path of the modules that follow the kernel when a boot loader reads them."""
        result = {name: self.program(name) for name in PROGRAMS}
        result["config"] = self.config or ROOT / "boot" / "default.cfg"
        result.update(self.files)
        return result

    def folder_files(self):
        """Name -> path of what lies beside bulkhead.efi."""
        result = {CONFIG_NAME: self.config} if self.config else {}
        result.update(self.files)
        return result

    def check(self, needed):
        """Says which of the files (`needed` of ours, and all given) cannot be read."""
        for path in [*needed, *self.folder_files().values()]:
            if not os.access(path, os.R_OK) or not Path(path).is_file():
                raise MediaError(f"cannot read {path}")
        for name in self.files:
            if name in RESERVED or not name or any(c in name for c in "/,;\\\"'") or \
                    len(name) > 47 or any(c.isspace() for c in name):
                raise MediaError(f"'{name}' cannot be the name of a file for guests")


def run(*command, **options):
    """Runs a tool quietly; its output is shown only when it fails."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False, **options)
    except FileNotFoundError:
        raise MediaError(f"{words[0]} is not installed (scripts/setup)") from None
    if done.returncode != 0:
        raise MediaError(f"{words[0]} failed:\n{done.stdout.decode(errors='replace')}")


def copy(source, target):
    """Copies a file and gives it the build's fixed time."""
    shutil.copyfile(source, target)
    os.utime(target, (int(EPOCH), int(EPOCH)))


def write(target, text):
    """Writes a small text file with the build's fixed time."""
    Path(target).write_text(text, encoding="utf-8")
    os.utime(target, (int(EPOCH), int(EPOCH)))


def make_folder(content, folder, efi_name):
    """A folder to start from: `efi_name` and all files beside it."""
    efi = BUILD / "bulkhead.efi"
    content.check([efi])
    folder.mkdir(parents=True, exist_ok=True)
    copy(efi, folder / efi_name)
    for name, path in content.folder_files().items():
        copy(path, folder / name)
    if content.files:
        write(folder / LIST_NAME, "".join(name + "\n" for name in sorted(content.files)))
    if content.cmdline:
        write(folder / CMDLINE_NAME, content.cmdline + "\n")


def make_tftp(content, folder):
    """A TFTP folder: bulkhead.efi and what it loads."""
    make_folder(content, folder, "bulkhead.efi")


def make_stick(content, image, work):
    """A USB stick: GPT, one EFI system partition, everything in EFI/BOOT."""
    folder = work / "esp" / "EFI" / "BOOT"
    make_folder(content, folder, "BOOTX64.EFI")
    used = sum(path.stat().st_size for path in folder.iterdir())
    size_mib = max(40, used * 21 // 20 // (1 << 20) + 8)
    with open(image, "wb") as file:
        file.truncate((size_mib + 2) << 20)
    run("sgdisk", "--clear", "--disk-guid=42554c4b-4845-4144-8001-000000000001",
        f"--new=1:{ESP_START // 512}:+{size_mib}M", "--typecode=1:ef00",
        "--change-name=1:BULKHEAD", "--partition-guid=1:42554c4b-4845-4144-8001-000000000002",
        image)
    part = f"{image}@@{ESP_START}"
    run("mformat", "-i", part, "-F" if size_mib >= 64 else "-v", *(
        ["-v", "BULKHEAD"] if size_mib >= 64 else ["BULKHEAD"]), "-N", "42554c4b",
        "-T", str(size_mib * 2048), "-h", "64", "-s", "32", "::")
    run("mcopy", "-i", part, "-s", "-Q", work / "esp" / "EFI", "::")


GRUB_MODULES = ("iso9660", "multiboot2", "normal", "configfile", "search", "search_fs_file",
                "serial", "terminal", "echo", "test", "video", "boot")
GRUB_START = "search --file --set=root /boot/bulkhead.txt\nset prefix=($root)/boot/grub\n"


def grub_config(content):
    """The text of grub.cfg for an ISO."""
    # By BIOS in text mode: the VBE of some video BIOSes (Bochs's is one) does not come back.
    lines = ["set timeout=0", "set timeout_style=hidden", "set default=0",
             "if [ $grub_platform = pc ]; then set gfxpayload=text; fi",
             'menuentry "Bulkhead" {', f"\tmultiboot2 /boot/kernel {content.cmdline}".rstrip()]
    lines += [f"\tmodule2 /boot/{name} {name}" for name in content.modules()]
    return "\n".join(lines + ["}", ""])


def make_grub(boot, work):
    """GRUB for both firmwares, its modules inside: boot/bios.img and boot/efi.img."""
    start = work / "start.cfg"
    write(start, GRUB_START)
    run("grub-mkimage", "-O", "i386-pc-eltorito", "-p", "/boot/grub", "-c", start,
        "-o", boot / "bios.img", "biosdisk", *GRUB_MODULES)
    efi = work / "efi" / "EFI" / "BOOT" / "BOOTX64.EFI"
    efi.parent.mkdir(parents=True, exist_ok=True)
    run("grub-mkimage", "-O", "x86_64-efi", "-p", "/boot/grub", "-c", start, "-o", efi,
        "efi_gop", "all_video", "part_gpt", "part_msdos", "fat", *GRUB_MODULES)
    image = boot / "efi.img"
    kib = (efi.stat().st_size // 1024 + 200) // 32 * 32
    image.write_bytes(bytes(kib * 1024))
    run("mformat", "-i", image, "-N", "42554c4c", "-T", str(kib * 2), "-h", "16", "-s", "32", "::")
    run("mcopy", "-i", image, "-s", "-Q", work / "efi" / "EFI", "::")


def make_iso(content, image, work):
    """An ISO that BIOS and UEFI boot through GRUB, with multiboot2 modules; also from a stick."""
    modules = content.modules()
    content.check([content.program("kernel"), *modules.values()])
    boot = work / "iso" / "boot"
    (boot / "grub").mkdir(parents=True, exist_ok=True)
    copy(content.program("kernel"), boot / "kernel")
    for name, path in modules.items():
        copy(path, boot / name)
    write(boot / "bulkhead.txt", "Bulkhead\n")
    write(boot / "grub" / "grub.cfg", grub_config(content))
    make_grub(boot, work)
    for path in [work / "iso", *sorted((work / "iso").rglob("*"))]:
        os.utime(path, (int(EPOCH), int(EPOCH)))
    run("xorriso", "-as", "mkisofs", "-quiet", "-r", "-V", "BULKHEAD", "-o", image,
        "-b", "boot/bios.img", "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table",
        "--grub2-boot-info", "--grub2-mbr", "/usr/lib/grub/i386-pc/boot_hybrid.img",
        "-eltorito-alt-boot", "-e", "boot/efi.img", "-no-emul-boot", "-isohybrid-gpt-basdat",
        "--gpt_disk_guid", "42554c4b48454144800100000000000a", work / "iso",
        env={**os.environ, "LC_ALL": "C"})


def make_module_folder(content, folder):
    """Links named as the modules are called, for `qemu -kernel`. Gives their paths back."""
    modules = content.modules()
    content.check([BUILD / "bulkhead.mb", *modules.values()])
    folder.mkdir(parents=True, exist_ok=True)
    for name, path in modules.items():
        (folder / name).symlink_to(Path(path).resolve())
    return [folder / name for name in modules]
