"""The unit, the rule and the scripts: judged by systemd's own programs, and by what the installer promises."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from agent import __version__

REPOSITORY = Path(__file__).parents[2]
SYSTEMD = REPOSITORY / "systemd"
UNIT = SYSTEMD / "atm-agent.service"
SCORE = 15  # tenths; systemd-analyze security --threshold
needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="this system has no systemd")


def settings(path: Path = UNIT) -> dict[str, list[str]]:
    """Every setting of a unit, with all of its values."""
    found: dict[str, list[str]] = {}
    for line in path.read_text().splitlines():
        if (told := re.fullmatch(r"([A-Za-z]+)=(.*)", line)) is not None:
            found.setdefault(told[1], []).append(told[2])
    return found


@needs_systemd
def test_the_sandbox_is_tight() -> None:
    command = ["systemd-analyze", "security", "--offline=true", f"--threshold={SCORE}", "--no-pager", str(UNIT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-200:] + done.stderr


@needs_systemd
@pytest.mark.parametrize("name", ["atm-agent.service", "atm-agent-backup.service", "atm-agent-backup.timer"])
def test_systemd_finds_no_mistake(tmp_path: Path, name: str) -> None:
    """With a stand-in for the program, which is not installed where tests run."""
    for unit in SYSTEMD.glob("atm-agent*.*"):
        text = unit.read_text().replace("/opt/atm-agent/current/bin/atm-agent", "/bin/true")
        (tmp_path / unit.name).write_text(text)
    command = ["systemd-analyze", "verify", "--man=no", str(tmp_path / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    complaints = [line for line in done.stderr.splitlines() if str(tmp_path) in line or name in line]
    assert (done.returncode, complaints) == (0, [])


def test_what_the_agent_needs_from_its_unit() -> None:
    unit = settings()
    assert unit["Type"] == ["notify"]
    assert float(unit["WatchdogSec"][0]) > 0
    assert unit["RestartPreventExitStatus"] == ["78"]
    assert "time-sync.target" in unit["After"][0].split()
    assert not any("time-sync" in value for key in ("Wants", "Requires", "BindsTo") for value in unit.get(key, []))
    assert "ProcSubset" not in unit, "it hides the boot id"
    assert {"MemoryMax", "CPUQuota", "TasksMax", "LoadCredential"} <= set(unit)
    assert any("LG_WD=/run/atm-agent" in value for value in unit["Environment"])
    allowed = {value.split()[0] for value in unit["DeviceAllow"]}
    assert {"char-4", "char-188", "char-166", "char-204", "char-gpiochip"} <= allowed
    assert not any("tty" in each for each in allowed), "the name of a driver that is loaded later is not known at the start"


def test_the_rule_gives_the_groups_their_devices() -> None:
    rules = (SYSTEMD / "60-atm-agent.rules").read_text()
    assert re.search(r'SUBSYSTEM=="gpio".*GROUP="gpio"', rules)
    assert re.search(r'ttyUSB.*GROUP="dialout"', rules)


def test_the_installer_is_sh_and_tells_its_usage() -> None:
    script = SYSTEMD / "install.sh"
    shell = shutil.which("dash") or "/bin/sh"
    assert subprocess.run([shell, "-n", str(script)], check=False).returncode == 0
    for name in re.findall(r"systemd/([\w.-]+)", script.read_text()):
        assert (SYSTEMD / name).exists() or name in ("system", "timers"), f"the installer wants {name}"


def test_there_is_one_version() -> None:
    """What pyproject.toml calls it names the bundle and its directory; what the agent calls itself goes to the platform."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert project["version"] == __version__


def bundle() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bundle", SYSTEMD / "bundle.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_bundle_is_signed_by_an_ed25519_key_alone(tmp_path: Path) -> None:
    for kind, right in (("ed25519", True), ("x25519", False)):
        key = tmp_path / kind
        subprocess.run(["openssl", "genpkey", "-algorithm", kind, "-out", str(key)], check=True, capture_output=True)
        if right:
            (tmp_path / "SHA256SUMS").write_bytes(b"sums")
            (tmp_path / "SHA256SUMS.sig").write_bytes(bundle()._key(key).sign(b"sums"))
            public = ["openssl", "pkeyutl", "-verify", "-inkey", str(key), "-rawin", "-in", str(tmp_path / "SHA256SUMS"),
                      "-sigfile", str(tmp_path / "SHA256SUMS.sig")]  # fmt: skip
            subprocess.run(public, check=True, capture_output=True)
        else:
            with pytest.raises(SystemExit, match="openssl genpkey -algorithm ed25519"):
                bundle()._key(key)


def test_the_bundle_takes_what_each_interpreter_needs_and_no_more() -> None:
    made = bundle()
    locked = made.requirements(REPOSITORY / "requirements.lock")
    assert all(each.hashes for each in locked)
    for python, numpy in (("3.11", 1), ("3.13", 1)):
        wanted = [each for each in locked if each.wanted(python, "aarch64")]
        assert sum(each.name == "numpy" for each in wanted) == numpy
        assert {"tinydb", "onnxruntime", "paho-mqtt", "aiocoap", "pyserial", "gpiozero"} <= {each.name for each in wanted}
    old = {each.name: each.version for each in locked if each.wanted("3.11", "x86_64")}
    new = {each.name: each.version for each in locked if each.wanted("3.13", "x86_64")}
    assert "typing-extensions" in old
    assert "typing-extensions" not in new


def test_the_sbom_is_cyclonedx_and_names_every_wheel(tmp_path: Path) -> None:
    import zipfile

    for name, version in (("atm_edge_agent", "0.1.0"), ("other_thing", "2.0")):
        with zipfile.ZipFile(tmp_path / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
            text = (
                f"Metadata-Version: 2.4\nName: {name.replace('_', '-')}\nVersion: {version}\nLicense-Expression: Apache-2.0\n\n"
            )
            wheel.writestr(f"{name}-{version}.dist-info/METADATA", text)
    told = bundle().sbom("0.1.0", tmp_path)
    assert (told["bomFormat"], told["specVersion"]) == ("CycloneDX", "1.5")
    assert told["metadata"]["component"]["purl"] == "pkg:pypi/atm-edge-agent@0.1.0"
    component = told["components"][0]
    assert component["purl"] == "pkg:pypi/other-thing@2.0"
    assert component["hashes"][0]["alg"] == "SHA-256"
    assert told["dependencies"][0]["dependsOn"] == ["pkg:pypi/other-thing@2.0"]
    assert told == bundle().sbom("0.1.0", tmp_path), "the same content gives the same document"
