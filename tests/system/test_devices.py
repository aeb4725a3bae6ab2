# SPDX-License-Identifier: Apache-2.0
"""The machine's own devices and network: a NIC, its driver, DHCP, ping and fetch on the emulator's
network."""
import hashlib
import http.server
import re
import socket
import subprocess
import threading

import pytest

from machine import DEMO_FILES, GUESTS, ROOT

CONFIG = ROOT / "tests/system/data/net.cfg"
NICS = {"qemu": ["e1000", "e1000e", "virtio-net-pci,disable-legacy=on",
                 "virtio-net-pci,disable-legacy=on,vectors=0"], "bochs": ["e1000"]}


# for what takes long
WIRES = {"qemu": ["e1000", "virtio-net-pci,disable-legacy=on"], "bochs": ["e1000"]}


def pytest_generate_tests(metafunc):
    for name, models in (("nic", NICS), ("wire", WIRES)):
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, models[metafunc.config.getoption("--platform")])


def boot_with_nic(boot, nic, *arguments):
    machine = boot("--config", str(CONFIG), "--nic", nic, *arguments)
    machine.wait_for_shell()
    return machine


def stat(machine):
    return machine.query("net stat")


def wait_for_address(machine):
    """DHCP needs a few seconds; every wait asks once more."""
    for _ in range(30):
        interface = stat(machine)["interface"]
        if "/" in interface["address"]:
            return interface
        machine.command("ping 10.0.2.2 1", is_error_fine=True)
    raise AssertionError(f"no address by DHCP: {interface}")


def test_dhcp_and_ping(boot, nic):
    machine = boot_with_nic(boot, nic)
    interface = wait_for_address(machine)
    assert interface["address"] == "10.0.2.15/24"
    assert interface["gateway"] == "10.0.2.2"
    row = next(row for row in machine.query("devices") if row["name"])
    assert row["state"] == "running" and row["driver"] in ("e1000", "virtio-net")
    assert row["interrupts"] > 0, "the device is only polled"
    answers = machine.query("ping 10.0.2.2 3")
    assert answers["summary"]["received"] == 3
    nics = stat(machine)["nics"]
    assert nics[0]["received_frames"] > 3 and nics[0]["errors"] == 0
    machine.drain()
    machine.send("ping 10.0.2.2 20\r\x03")  # Ctrl-C ends it, and tells what there was
    machine.expect(r"host +10\.0\.2\.2\r?\n(.|\n)*received +\d", 10)
    machine.expect("bulkhead> ", 10)


@pytest.mark.qemu_only
@pytest.mark.parametrize("word, kinds", [("msi", {"e1000-0": "MSI", "nvme0": "INTx"}), ("intx", "INTx"), ("none", "polled"),
                                         ("best", "MSI-X")])
def test_ways_to_interrupt(boot, word, kinds, tmp_path):
    """An 82574L and an NVMe disk (without MSI in QEMU) work in each way to interrupt; a word that is none is told."""
    image = tmp_path / "disk.img"
    image.write_bytes(bytes(1 << 20))
    machine = boot_with_nic(boot, "e1000e", "--append", f"interrupts={word}", "--drive",
                            f"if=none,id=d,format=raw,file={image}", "--device", "nvme,drive=d,serial=abc")
    wait_for_address(machine)
    before = {row["name"]: row for row in machine.query("devices") if row["name"]}
    assert {name: row["interrupt_kind"] for name, row in before.items()} == (
        kinds if word == "msi" else {"e1000-0": kinds, "nvme0": kinds})
    assert before["nvme0"]["state"] == "running" and (before["nvme0"]["interrupts"] > 0) == (word != "none")
    assert machine.query("ping 10.0.2.2 3")["summary"]["received"] == 3
    after = next(row for row in machine.query("devices") if row["name"] == "e1000-0")
    more = after["interrupts"] - before["e1000-0"]["interrupts"]
    assert more == 0 if word == "none" else more >= 2
    # by _PRT: the line register has a number below 16, which q35's pins go to only in the days of the 8259
    assert (after["gsi"] is not None) == (word == "intx") and (word != "intx" or 16 <= after["gsi"] < 24)
    assert ("interrupts= is msi-x" in machine.command("events")) == (word == "best")


def test_network_outlives_mgmt(boot, nic):
    machine = boot_with_nic(boot, nic)
    before = wait_for_address(machine)
    machine.restart_mgmt()
    after = wait_for_address(machine)
    assert after["mac"] == before["mac"]
    assert machine.query("ping 10.0.2.2 1")["summary"]["received"] == 1


@pytest.mark.long_on_bochs
def test_static_address(boot, nic):
    machine = boot_with_nic(boot, nic)
    wait_for_address(machine)
    machine.send("create\r[host]\rswitch = lan\raddress = 10.0.2.77/24\rgateway = 10.0.2.2\r\r")
    machine.wait_for_shell()
    assert wait_for_address(machine)["address"] == "10.0.2.77/24"
    assert machine.query("ping 10.0.2.2 1")["summary"]["received"] == 1


@pytest.mark.qemu_only
def test_no_network_is_told(boot):
    machine = boot("--config", str(CONFIG))
    machine.wait_for_shell()
    assert "no network address" in machine.command("ping 10.0.2.2 1", is_error_fine=True) or \
        "no route" in machine.command("ping 10.0.2.2 1", is_error_fine=True)


class Answers(http.server.BaseHTTPRequestHandler):
    """A web server with good and bad answers."""

    protocol_version = "HTTP/1.1"
    files = {}

    def log_message(self, *_):
        pass

    def do_GET(self):
        name = self.path.lstrip("/")
        if name == "moved":
            self.send_response(302)
            self.send_header("Location", "/hello")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif name == "loop":
            self.send_response(301)
            self.send_header("Location", "/loop")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif name == "chunked":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            body = self.files["hello"]
            for at in range(0, len(body), 1000):
                part = body[at:at + 1000]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            self.wfile.write(b"0\r\n\r\n")
        elif name == "short":
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            self.wfile.write(b"not all of it")
            self.close_connection = True
        elif name in self.files:
            self.send_response(200)
            self.send_header("Content-Length", str(len(self.files[name])))
            self.end_headers()
            self.wfile.write(self.files[name])
        else:
            self.send_error(404)


@pytest.fixture
def web():
    """Port of a web server that the machine sees at 10.0.2.2."""
    Answers.files = {"hello": (GUESTS / "hello.elf").read_bytes(),
                     "large": bytes(range(256)) * 12345}
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()


def assert_refused(machine, line, why):
    assert why in machine.command(line, 60, is_error_fine=True)


def test_fetch_by_http(boot, wire, web):
    machine = boot_with_nic(boot, wire)
    wait_for_address(machine)
    base = f"http://10.0.2.2:{web}"
    for name, body in (("hello", "hello"), ("moved", "hello"), ("chunked", "hello"),
                       ("large", "large")):
        fetched = machine.query(f"fetch {base}/{name}", 120)
        assert fetched["sha256"] == hashlib.sha256(Answers.files[body]).hexdigest(), name
        assert fetched["size_bytes"] == len(Answers.files[body])
    free = machine.free_memory()
    good = hashlib.sha256(Answers.files["hello"]).hexdigest()
    assert machine.query(f"fetch {base}/hello checked sha256={good}")["checked"]
    assert_refused(machine, f"fetch {base}/hello bad sha256={'0' * 64}", "SHA-256 is another one")
    assert_refused(machine, f"fetch {base}/hello", "there is a file 'hello' already")
    assert_refused(machine, f"fetch {base}/nothing", "404")
    assert_refused(machine, f"fetch {base}/loop", "on and on")
    assert_refused(machine, f"fetch {base}/short", "before the end")
    assert_refused(machine, "fetch http://10.0.2.2:1/x", "refuses the connection")
    machine.command("files delete checked")
    names = [row["name"] for row in machine.query("files")]
    assert "hello" in names and not {"bad", "nothing", "short", "checked"} & set(names)
    machine.command("list")
    assert machine.free_memory() == free


def test_guest_from_fetched_file(boot, wire):
    """A fetched kernel boots, is there after mgmt's restart, and cannot be deleted while it is used."""
    machine = boot_with_nic(boot, f"{wire},tftp={GUESTS}")
    wait_for_address(machine)
    fetched = machine.query("fetch tftp://10.0.2.2/hello.elf kernel")
    assert fetched["sha256"] == hashlib.sha256((GUESTS / "hello.elf").read_bytes()).hexdigest()
    assert_refused(machine, "fetch tftp://10.0.2.2/nothing", "the server says")
    machine.restart_mgmt()
    machine.command("create a kernel=kernel memory=16M debug-exit=yes on-poweroff=preserve")
    machine.command("start a")
    assert_refused(machine, "files delete kernel", "the guest a uses it")
    machine.wait_for_state("a", ("off", "crashed"))
    machine.send("console a\r")
    assert re.search("PASS|FAIL", machine.expect("PASS|FAIL").group()).group() == "PASS"
    machine.send("\x1d")
    machine.wait_for_shell()
    machine.command("kill a", is_error_fine=True)
    machine.command("delete a")
    machine.command("files delete kernel")


@pytest.mark.qemu_only
@pytest.mark.parametrize("disk", ["virtio-blk-pci,disable-legacy=on", "nvme"])
def test_disk_driver(boot, disk, tmp_path):
    """A disk starts with its interrupts, and again after mgmt's restart."""
    image = tmp_path / "disk.img"
    image.write_bytes(bytes(16 << 20))
    machine = boot("--config", str(CONFIG), "--drive", f"if=none,id=d,format=raw,file={image}",
                   "--device", f"{disk},drive=d,serial=abc")
    machine.wait_for_shell()
    for start in range(2):
        for _ in range(20):
            row = next(row for row in machine.query("devices") if row["name"])
            if row["state"] == "running":
                break
            machine.drain(0.5)
        assert row["state"] == "running" and "16 MiB" in row["about"]
        assert row["interrupts"] > 0 and row["interrupt_kind"] == "MSI-X"
        if start == 0:
            machine.restart_mgmt()


@pytest.mark.qemu_only
def test_bad_sector(boot, tmp_path):
    """A sector that cannot be read costs the request that wants it, and is told; the disk goes on."""
    rules = tmp_path / "rules"
    rules.write_text('[inject-error]\nevent = "read_aio"\nerrno = "5"\nsector = "1000"\nonce = "off"\n', encoding="utf-8")
    arguments = []
    for number, model in enumerate(("virtio-blk-pci,disable-legacy=on", "nvme,serial=abc")):
        image = tmp_path / f"disk{number}.img"
        image.write_bytes(bytes(1 << 20))
        arguments += ["--drive", f"if=none,id=d{number},format=raw,file=blkdebug:{rules}:{image},"
                      "rerror=report,werror=report", "--device", f"{model},drive=d{number}"]
    machine = boot("--config", str(CONFIG), "--file", f"virtio={GUESTS / 'virtio.elf'}", *arguments)
    machine.wait_for_shell()
    for disk in ("virtio-blk0", "nvme0"):
        machine.command(f'create g kernel=virtio memory=16M disk={disk} debug-exit=yes on-poweroff=preserve cmdline="bad=1000"')
        machine.command("start g")
        machine.wait_for_state("g", ("off", "crashed"), 60)
        machine.send("console g\r")
        machine.expect(r"virtio: (PASS|FAIL), [^\n]*\n", 30)
        assert "PASS" in machine.child.after, machine.child.before
        machine.send("\x1d")
        machine.expect("bulkhead> ")
        machine.command("delete g")
        assert f"{disk}: a read of" in machine.command("events")


@pytest.mark.qemu_only
@pytest.mark.parametrize("disk", ["virtio-blk-pci,disable-legacy=on", "nvme"])
def test_saved_configuration(boot, disk, tmp_path):
    """save config, the machine's end without notice, and the next power-on finds all."""
    image = tmp_path / "disk.img"
    image.write_bytes(bytes(16 << 20))
    subprocess.run(["sgdisk", "-n", "0:0:+4M", "-c", "1:other", "-n", "0:0:+1M", "-c",
                    "2:bulkhead-config", str(image)], check=True, stdout=subprocess.DEVNULL)
    arguments = ("--config", str(CONFIG), "--file", f"image={GUESTS / 'hello.elf'}", "--drive",
                 f"if=none,id=d,format=raw,file={image}", "--device", f"{disk},drive=d,serial=abc")
    machine = boot(*arguments)
    machine.wait_for_shell()
    machine.command("create web kernel=image memory=16M vcpus=2")
    wait_for_event(machine, "nothing was saved")
    assert "saved on" in machine.command("save config")
    machine.command("create lost kernel=image")
    machine.close()
    machine = boot(*arguments)
    machine.wait_for_shell()
    wait_for_event(machine, "is taken: 1 guests, 0 errors")
    guests = {row["name"]: row for row in machine.query("list")}
    assert set(guests) == {"web"} and guests["web"]["vcpus"] == 2


GUEST = ("create alpha kernel=vmlinuz ramdisk=demo.cpio.gz memory=192M net=lan "
         'cmdline="console=ttyS0 panic=-1 hostname=alpha address=10.0.2.50/24"')


def check_iperf(machine):
    """mgmt counts what a guest sends; has a bound for how many do; and breaks them off at the end."""
    assert "error" in machine.command("iperf stop", is_error_fine=True)
    machine.command("iperf start")
    with machine.console("alpha") as console:
        console.read("dd if=/dev/zero bs=64k count=64 2>/dev/null | nc 10.0.2.15 5001", 60)
    wait_for_event(machine, f"iperf: {4 << 20} bytes from 10.0.2.50 in ")
    with machine.console("alpha") as console:
        console.read("for i in 1 2 3 4 5; do nc 10.0.2.15 5001 </dev/zero >/dev/null 2>&1 & done; true")
    state = machine.query("iperf")
    for _ in range(40):
        if state["iperf"]["refused"] == 2:
            break
        machine.drain(0.5)
        state = machine.query("iperf")
    assert state["iperf"]["is_on"] and state["iperf"]["connected"] == 3 and state["iperf"]["refused"] == 2
    assert state["iperf"]["done"] == 1 and state["iperf"]["bytes"] == 4 << 20
    assert [row["from"] for row in state["clients"]] == 3 * ["10.0.2.50"]
    machine.command("iperf stop")
    with machine.console("alpha") as console:
        console.read("wait; ! nc 10.0.2.15 5001 </dev/null 2>/dev/null", 60)
    state = machine.query("iperf")["iperf"]
    assert not state["is_on"] and state["connected"] == 0 and state["done"] == 4


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def boot_with_forward(boot, port):
    """The machine with an 82574L, whose TCP port 5001 is the host's `port`."""
    machine = boot("--config", str(CONFIG), "--netdev", f"user,id=n,hostfwd=tcp:127.0.0.1:{port}-:5001",
                   "--device", "e1000e,netdev=n,romfile=")
    machine.wait_for_shell()
    wait_for_address(machine)
    machine.command("iperf start")
    return machine


@pytest.mark.qemu_only
def test_streams_from_outside(boot):
    """Three streams at once lose no frame in mgmt: their windows together were more than its queue took, and each loss cost seconds."""
    port = free_port()
    machine = boot_with_forward(boot, port)

    def send():
        with socket.create_connection(("127.0.0.1", port), timeout=60) as stream:
            stream.sendall(bytes(8 << 20))
            stream.shutdown(socket.SHUT_WR)
            stream.recv(1)

    senders = [threading.Thread(target=send, daemon=True) for _ in range(3)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join(60)
    state = machine.query("iperf")["iperf"]
    assert (state["done"], state["refused"], state["bytes"]) == (3, 0, 24 << 20)
    interface = stat(machine)["interface"]
    assert interface["dropped_frames"] == 0 and interface["memory_errors"] == 0
    for own in (interface["address"].split("/")[0], "localhost", "::1"):
        assert machine.query(f"ping {own} 1")["summary"]["received"] == 1, own


@pytest.mark.qemu_only
@pytest.mark.long
def test_iperf_client(boot):
    """The client of Debian's iperf 2, alone and with three streams."""
    port = free_port()
    machine = boot_with_forward(boot, port)
    for streams in (1, 3):
        before = machine.query("iperf")["iperf"]
        answer = subprocess.run(["iperf", "-c", "127.0.0.1", "-p", str(port), "-n", "16M", "-P", str(streams)],
                                capture_output=True, text=True, timeout=120, check=True)
        assert "bits/sec" in answer.stdout and "failed" not in answer.stderr
        after = machine.query("iperf")["iperf"]
        assert after["done"] - before["done"] == streams and after["bytes"] - before["bytes"] >= streams << 24


@pytest.mark.long_on_bochs
def test_guest_on_the_uplink(boot, wire, web):
    """A Linux guest reaches the emulator's network through the switch and the machine's NIC."""
    machine = boot_with_nic(boot, wire, *DEMO_FILES)
    wait_for_address(machine)
    machine.command(GUEST)
    machine.command("start alpha")
    with machine.console("alpha") as console:
        console.wait_for_prompt()
        assert "3 packets received" in console.read("ping -c 3 10.0.2.2")
        output = console.read(f"wget -q -O - http://10.0.2.2:{web}/large | sha256sum", 120)
        assert hashlib.sha256(Answers.files["large"]).hexdigest() in output
        assert "3 packets received" in console.read("ping -c 3 10.0.2.15")
    assert machine.query("ping 10.0.2.50 2")["summary"]["received"] == 2
    check_iperf(machine)


@pytest.mark.qemu_only
@pytest.mark.parametrize("disk", ["virtio-blk-pci,disable-legacy=on", "nvme"])
def test_guest_on_a_disk(boot, disk, tmp_path):
    """A Linux guest reads and writes the machine's disk; what it has synced is in the image."""
    image = tmp_path / "disk.img"
    pattern = b"".join(hashlib.sha256(b"%d" % i).digest() for i in range(1 << 17))
    image.write_bytes(pattern + bytes(4 << 20))
    machine = boot("--config", str(CONFIG), *DEMO_FILES, "--drive",
                   f"if=none,id=d,format=raw,file={image}", "--device",
                   f"{disk},drive=d,serial=abc")
    machine.wait_for_shell()
    name = "nvme0" if disk == "nvme" else "virtio-blk0"
    machine.command(GUEST + f" disk={name}")
    machine.command("start alpha")
    with machine.console("alpha") as console:
        console.wait_for_prompt()
        output = console.read("dd if=/dev/vda bs=64k count=64 2>/dev/null | sha256sum", 120)
        assert hashlib.sha256(pattern).hexdigest() in output  # the kernel's messages come between
        console.read("dd if=/dev/vda of=/dev/vda bs=64k count=48 seek=64 conv=notrunc,fsync "
                     "2>/dev/null", 120)
    machine.close()
    written = image.read_bytes()
    assert written[4 << 20:7 << 20] == pattern[:3 << 20]
    assert written[7 << 20:] == bytes(1 << 20)


def wait_for_event(machine, text):
    for _ in range(20):
        if text in machine.command("events"):
            return
        machine.drain(0.5)
    raise AssertionError(f"no event says: {text}")
