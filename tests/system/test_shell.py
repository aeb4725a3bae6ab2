# SPDX-License-Identifier: Apache-2.0
"""The shell and the configuration, as docs/shell.md and docs/configuration.md say."""
import re

VERBS = ("help info list create delete start stop kill reboot reset pause resume console vcpus set "
         "show load check files regs log events top exits latency stats host version").split()


def test_help_names_every_verb(lab):
    words = lab.command("help").split()
    assert [verb for verb in VERBS if verb not in words] == []
    for verb in VERBS:
        assert verb in lab.command(f"help {verb}")


def test_unknown_verb(lab):
    assert "error" in lab.command("frobnicate", is_error_fine=True)


def test_unknown_key_is_explained(lab):
    said = lab.command("create bad memroy=16M kernel=hello", is_error_fine=True)
    assert "memroy" in said and "memory" in said and "column" in said
    assert lab.guest("bad") is None


def test_bad_file_has_line_and_column(lab):
    said = lab.command("check bad.cfg", is_error_fine=True)
    assert re.search(r"\b7\b", said) and "memroy" in said
    assert re.search(r"\b8\b", said) and "many" in said
    assert lab.query("list") == []


def test_load_and_show_round_trip(lab):
    lab.command("load more.cfg")
    shown = lab.command("show config more")
    for line in ("[guest more]", "vcpus = 2", "memory = 32M", "kernel = hello", "weight = 512",
                 "on-crash = preserve"):
        assert re.search(re.escape(line).replace(r"\ =\ ", r"\s*=\s*"), shown), (line, shown)


def test_set_changes_the_configuration(lab):
    lab.command("create one memory=16M kernel=hello")
    lab.command("set one memory 24M")
    assert re.search(r"memory\s*=\s*24M", lab.command("show config one"))


def test_files_are_listed(lab):
    output = lab.command("files")
    assert "hello" in output and "vmlinuz-cloud" in output


def test_aliases_print_the_canonical_verb(lab):
    assert lab.command("ls", is_error_fine=True)


def test_completion(lab):
    lab.drain()
    lab.send("vers\t")
    lab.expect("version", 10)
    lab.send("\r")
    lab.expect("bulkhead> ", 10)


def test_history(lab):
    lab.command("version")
    lab.drain()
    lab.send("\x1b[A")
    lab.expect("version", 10)
    lab.send("\x15\r")
    lab.drain(0.3)


def test_info_tells_the_machine(lab):
    info = lab.query("info")
    assert info["virtualisation"] == ("AMD-V" if lab.platform == "qemu" else "VT-x")
    assert info["pcpus"] >= 2
    assert info["memory_free_bytes"] > 200 << 20
    assert info["memory_kernel_bytes"] <= 2 << 20
    assert info["memory_mgmt_bytes"] <= 8 << 20
