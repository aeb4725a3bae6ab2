# SPDX-License-Identifier: Apache-2.0
"""A machine under test: scripts/boot with COM1 in our hands, the shell's prompt, guests' consoles.

Every verdict comes from serial text, and every wait is bounded.
"""
import json
import os
import re
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pexpect

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = Path(os.environ.get("BUILD_DIR", ROOT / "build"))
GUESTS = BUILD / "guests"
DEMO_FILES = ("--file", f"vmlinuz={BUILD / 'third_party/linux-cloud/vmlinuz'}",
              "--file", f"demo.cpio.gz={BUILD / 'demo/demo.cpio.gz'}")  # a Linux guest's, for scripts/boot
PROMPT = "bulkhead> "
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|\x1b[=>78]|\x07")
GUEST_PROMPT = r"{}:[^ \r\n]*# "
GUEST_DEATH = r"end Kernel panic|the guest has crashed"
SLOW = {"qemu": 1, "bochs": 3}
LEAVE_KEY = "\x1d"


class CommandError(AssertionError):
    """A verb answered with an error."""


def clean(text):
    """Text as a reader sees it: no escape sequences, plain line ends."""
    return ESCAPE.sub("", text).replace("\r", "")


class Machine:
    """One running emulator."""

    def __init__(self, platform, arguments, log, limit_seconds):
        self.platform = platform
        self.factor = SLOW[platform]
        command = [str(ROOT / "scripts/boot"), "--platform", platform, "--timeout",
                   str(limit_seconds), "--log", str(log), *arguments]
        self.child = pexpect.spawn(sys.executable, command, timeout=30, encoding="utf-8",
                                   codec_errors="replace", dimensions=(24, 200), cwd=str(ROOT))
        self.child.delaybeforesend = None
        self.log = log
        self.dead = set()  # guests that are known to have died

    def expect(self, pattern, seconds=60, death=pexpect.EOF):
        """Waits for a pattern in what COM1 says, but not beyond that of a death; gives the match."""
        patterns = [pattern, death, pexpect.EOF, pexpect.TIMEOUT]
        found = self.child.expect(patterns, timeout=seconds * self.factor)
        if found != 0:
            said = clean(self.child.before if isinstance(self.child.before, str) else "")[-1500:]
            ended = "the machine ended"
            reason = (None, ended if death is pexpect.EOF else "the guest died", ended,
                      f"not within {seconds * self.factor} s")[found]
            raise AssertionError(f"waited for {pattern!r}: {reason}; last was:\n{said}")
        return self.child.match

    def wait_for_shell(self, seconds=90):
        self.expect(re.escape(PROMPT.strip()), seconds)
        self.drain(0.3)

    def restart_mgmt(self):
        self.send("host restart-mgmt\r")
        self.expect("mgmt was started again")
        self.wait_for_shell()

    def end_mgmt(self, how, seconds=60):
        """`host HOW`, where HOW ends mgmt in one of the ways; the next one is at its prompt."""
        starts = self.query("info")["mgmt_starts"]
        self.drain()
        self.send(f"host {how}\r")
        self.expect("mgmt was started again", seconds)
        self.wait_for_shell()
        assert self.query("info")["mgmt_starts"] == starts + 1

    def drain(self, seconds=0.05):
        """Drops what was said and not waited for."""
        end = time.monotonic() + 5
        while time.monotonic() < end:
            try:
                self.child.read_nonblocking(65536, timeout=seconds)
            except (pexpect.TIMEOUT, pexpect.EOF):
                break
        self.child.expect(r"(?s).*", timeout=1)  # what an earlier wait had read beyond its match

    def send(self, text):
        self.child.send(text)

    def command(self, line, seconds=30, is_error_fine=False):
        """Types a line at the prompt; gives what was printed until the next prompt."""
        self.drain()
        self.send(line + "\r")
        self.expect(r"\n(?:\x1b\[[0-9;?]*[A-Za-z])*" + re.escape(PROMPT) +
                    r"(?:\x1b\[[0-9;?]*[A-Za-z])*$", seconds)
        lines = clean(self.child.before).split("\n")
        output = "\n".join(lines[1:]).strip("\n")
        if not is_error_fine and re.search(r"^error: ", output, re.MULTILINE):
            raise CommandError(f"{line}: {output}")
        return output

    def query(self, line, seconds=30):
        """A command with --json, as Python objects."""
        output = self.command(line + " --json", seconds)
        start = min((at for at in (output.find("{"), output.find("[")) if at >= 0), default=-1)
        assert start >= 0, f"{line} --json printed no JSON: {output}"
        return json.JSONDecoder(strict=False).raw_decode(output[start:])[0]

    def guest(self, name):
        """The row of `list` of one guest, or None."""
        return next((row for row in self.query("list") if row["name"] == name), None)

    def wait_for_state(self, name, states, seconds=60):
        """Waits until a guest is in one of the states; gives its row."""
        end = time.monotonic() + seconds * self.factor
        row = self.guest(name)
        while row is None or row["state"] not in states:
            assert time.monotonic() < end, f"guest {name} is {row}, not one of {states}"
            time.sleep(0.5)
            row = self.guest(name)
        return row

    def free_memory(self):
        return self.query("info")["memory_free_bytes"]

    @contextmanager
    def console(self, name, options=""):
        """Connects to a guest's console; Ctrl-] leaves at the end."""
        self.drain()
        self.send(f"console {name} {options}\r")
        self.expect(r"Ctrl-\] leaves")
        try:
            yield Console(self, name)
        finally:
            self.drain()
            self.send(LEAVE_KEY)
            found = self.child.expect([re.escape(PROMPT), pexpect.TIMEOUT], timeout=2 * self.factor)
            if found == 1:  # the guest's end has left the console already: at the prompt
                self.send("\r")
                self.expect(re.escape(PROMPT))
            self.drain(0.1)

    def poweroff(self, seconds=30):
        """`host poweroff`, and the emulator's end with status 0."""
        self.send("host poweroff\r")
        self.expect_end(seconds)
        assert self.child.exitstatus == 0, f"scripts/boot ended with {self.child.exitstatus}"

    def expect_end(self, seconds=30):
        self.child.expect([pexpect.EOF], timeout=seconds * self.factor)
        self.child.close()

    def close(self):
        if self.child.isalive():
            self.child.send("\x01x")
            try:
                self.child.expect([pexpect.EOF], timeout=10)
            except pexpect.ExceptionPexpect:
                pass
        self.child.close(force=True)


class Console:
    """A guest's serial console, as seen through `console GUEST`."""

    def __init__(self, machine, name):
        self.machine, self.name = machine, name

    def wait_for_prompt(self, seconds=150):
        self.machine.send("\r")
        self.expect_alive(GUEST_PROMPT.format(self.name), seconds)

    def expect_alive(self, pattern, seconds):
        """As expect(), but a guest that dies, or has died, is not waited for."""
        assert self.name not in self.machine.dead, f"{self.name} has died"
        try:
            self.machine.expect(pattern, seconds, death=GUEST_DEATH)
        except AssertionError:
            if self.machine.child.match_index == 1:
                self.machine.dead.add(self.name)
            raise

    def expect(self, pattern, seconds=60):
        return self.machine.expect(pattern, seconds)

    def send(self, text):
        self.machine.send(text)

    def run(self, line, seconds=60):
        """Runs a shell line in the guest; gives (output, status)."""
        self.machine.drain()
        # The guest's line editor echoes a long line in pieces: output begins after a mark.
        self.machine.send("echo '[be''gin]'; " + line + "; echo '[do''ne '$?']'\r")
        self.expect_alive(r"\[begin\]\r?\n", seconds)
        self.expect_alive(r"\[done (\d+)\]", seconds)
        status = int(self.machine.child.match.group(1))
        output = clean(self.machine.child.before).strip("\n")
        self.machine.expect(GUEST_PROMPT.format(self.name), 30)
        return output, status

    def read(self, line, seconds=60):
        """The output of a shell line that must succeed."""
        output, status = self.run(line, seconds)
        assert status == 0, f"{self.name}: {line}: status {status}: {output}"
        return output
