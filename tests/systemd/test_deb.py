"""The Debian package: what dpkg's own steps call of the installer, in a root of the test's."""

from __future__ import annotations

import os
import subprocess
import tarfile
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
INSTALLER = """#!/bin/sh
echo "$ATM_AGENT_ROOT ${1:-install}" >>"$CALLS"
exit "${FAILS:-0}"
"""


def package(folder: Path, version: str) -> Path:
    """A package of a bundle that holds nothing but an installer, which notes its calls."""
    bundle = folder / f"atm-agent-{version}"
    (bundle / "systemd").mkdir(parents=True)
    (bundle / "VERSION").write_text(f"{version}\n")
    installer = bundle / "systemd" / "install.sh"
    installer.write_text(INSTALLER)
    installer.chmod(0o755)
    with tarfile.open(folder / f"{bundle.name}.tar.gz", "w:gz") as packed:
        packed.add(bundle, bundle.name)
    script = REPOSITORY / "systemd" / "deb.sh"
    subprocess.run([str(script), packed.name], check=True, stdout=subprocess.DEVNULL)
    return folder / f"atm-agent_{version}_all.deb"


def test_install_upgrade_remove_and_purge_each_call_the_installer(tmp_path: Path) -> None:
    first, second = package(tmp_path, "0.1.0"), package(tmp_path, "0.2.0")
    root, calls = tmp_path / "root", tmp_path / "calls"
    for place in ("updates", "info", "parts"):
        (root / "var/lib/dpkg" / place).mkdir(parents=True)
    (root / "var/lib/dpkg/status").touch()

    def dpkg(*words: str, fails: int = 0) -> tuple[int, list[str]]:
        calls.write_text("")
        options = (f"--root={root}", "--force-script-chrootless,depends,not-root,bad-path", "--log=/dev/null")
        environment = os.environ | {"CALLS": str(calls), "FAILS": str(fails)}
        done = subprocess.run(["dpkg", *options, *words], env=environment, capture_output=True, check=False)
        return done.returncode, calls.read_text().splitlines()

    def status() -> str:
        asked = ["dpkg-query", f"--admindir={root / 'var/lib/dpkg'}", "--show", "--showformat=${db:Status-Abbrev}", "atm-agent"]
        return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()

    assert dpkg("--install", str(first)) == (0, [f"{root} install"])
    assert status() == "ii"
    assert dpkg("--install", str(second), fails=1) == (1, [f"{root} install"]), "a version that was taken back is told"
    assert status() == "iF"
    assert dpkg("--configure", "atm-agent") == (0, [f"{root} install"])
    assert dpkg("--remove", "atm-agent") == (0, [f"{root} --uninstall"])
    assert status() == "rc"
    assert dpkg("--purge", "atm-agent") == (0, [f"{root} --purge"])
    assert status() in ("", "un")


def test_the_same_bundle_gives_the_same_package(tmp_path: Path) -> None:
    once = package(tmp_path, "0.1.0").read_bytes()
    again = tmp_path / "again"
    again.mkdir()
    (tmp_path / "atm-agent-0.1.0.tar.gz").rename(again / "atm-agent-0.1.0.tar.gz")
    subprocess.run(
        [str(REPOSITORY / "systemd" / "deb.sh"), str(again / "atm-agent-0.1.0.tar.gz")], check=True, stdout=subprocess.DEVNULL
    )
    assert (again / "atm-agent_0.1.0_all.deb").read_bytes() == once
