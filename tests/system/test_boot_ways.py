# SPDX-License-Identifier: Apache-2.0
"""On every way to boot: the shell comes up, both demo guests reach their prompt and run commands
typed through `console`, power off, and the machine powers off."""


def test_demo(boot, way):
    boot_way, firmware = way
    machine = boot("--boot", boot_way, "--firmware", firmware)
    machine.wait_for_shell()
    for name, cpus in (("alpha", "2"), ("beta", "1")):
        with machine.console(name) as console:
            console.wait_for_prompt()
            assert console.read("hostname") == name
            assert console.read("nproc") == cpus
            assert console.read("echo $((6 * 7))") == "42"
    states = {row["name"]: row["state"] for row in machine.query("list")}
    assert states == {"alpha": "running", "beta": "running"}
    with machine.console("alpha") as console:
        console.send("poweroff -f\r")
        console.expect("Power down|guest alpha|System halted", 60)
    machine.wait_for_state("alpha", ("off",))
    machine.command("stop beta -w 30", 60)
    machine.wait_for_state("beta", ("off",))
    machine.poweroff()
