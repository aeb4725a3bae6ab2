# SPDX-License-Identifier: Apache-2.0
"""The machine's own devices and network: a NIC, its driver, DHCP and ping on the emulator's network."""
import pytest

from machine import ROOT

CONFIG = ROOT / "tests/system/data/net.cfg"
NICS = {"qemu": ["e1000", "e1000e", "virtio-net-pci,disable-legacy=on"], "bochs": ["e1000"]}


def pytest_generate_tests(metafunc):
    if "nic" in metafunc.fixturenames:
        metafunc.parametrize("nic", NICS[metafunc.config.getoption("--platform")])


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


def test_network_outlives_mgmt(boot, nic):
    machine = boot_with_nic(boot, nic)
    before = wait_for_address(machine)
    machine.send("host restart-mgmt\r")
    machine.expect("mgmt was started again")
    machine.wait_for_shell()
    after = wait_for_address(machine)
    assert after["mac"] == before["mac"]
    assert machine.query("ping 10.0.2.2 1")["summary"]["received"] == 1


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
