"""`make bundle`: everything that systemd/install.sh needs, in one tarball, so that a gateway without internet can be set up.

    dist/atm-agent-VERSION.tar.gz
      systemd/ requirements.lock README.md    as in the repository
      wheels/        the agent's own and every dependency's: x86_64 and aarch64, for each of PYTHONS
      VERSION sbom.cdx.json SHA256SUMS
      SHA256SUMS.sig with --key: by an Ed25519 key in PEM, whose public half the gateways have as /etc/atm-agent/release.pem

Wheels come from PyPI by the hashes of the lock file alone. A package that has no wheel for a newer Python is left out and said;
for the first of PYTHONS, Debian 12's, it is an error. The SBOM is CycloneDX 1.5.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import uuid
import zipfile
from collections.abc import Iterator, Sequence
from email.parser import HeaderParser
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from packaging.markers import Marker

REPOSITORY = Path(__file__).parents[1]
PYTHONS = ("3.11", "3.13")  # Debian 12 and 13
MACHINES = ("x86_64", "aarch64")
GLIBCS = (17, 24, 26, 27, 28, 31, 34, 35, 36)  # manylinux_2_N: Debian 12 has glibc 2.36
NOT_SHIPPED = {"setuptools"}  # builds the agent's own wheel, which is in the bundle already
LOCKS = ("requirements.lock", "systemd/gpio.lock")
EPOCH = 315_532_800  # 1980-01-01: the same content gives the same tarball


class Requirement(NamedTuple):
    """One line of a lock file."""

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]

    def wanted(self, python: str, machine: str) -> bool:
        """Whether that interpreter needs it; the marker is judged for it, not for ours."""
        environment = {
            "python_version": python,
            "python_full_version": f"{python}.0",
            "platform_machine": machine,
            "sys_platform": "linux",
            "implementation_name": "cpython",
            "platform_python_implementation": "CPython",
        }
        return not self.marker or Marker(self.marker).evaluate(environment)


def requirements(path: Path) -> list[Requirement]:
    """What a lock file names, in its order."""
    text = re.sub(r"(?m)^\s*#.*\n", "", path.read_text()).replace("\\\n", " ")
    found = []
    for line in filter(str.strip, text.splitlines()):
        head, *hashes = line.split("--hash=sha256:")
        name, _, rest = head.partition("==")
        version, _, marker = rest.partition(";")
        found.append(Requirement(name.strip(), version.strip(), marker.strip(), tuple(each.strip() for each in hashes)))
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the tarball and say where it is."""
    parser = argparse.ArgumentParser(prog="systemd/bundle.py", description="Make a bundle in dist/.")
    parser.add_argument("--key", type=Path, metavar="PEM", help="sign it: openssl genpkey -algorithm ed25519 -out PEM makes one")
    key = _key(parser.parse_args(arguments).key)
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
    with tempfile.TemporaryDirectory() as scratch:
        room = Path(scratch) / f"atm-agent-{version}"
        wheels = room / "wheels"
        wheels.mkdir(parents=True)
        _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), str(REPOSITORY))
        for missing in _fetch(wheels, Path(scratch)):
            print(f"bundle: left out: {missing}", file=sys.stderr)
        for name in _tracked():
            (room / name).parent.mkdir(parents=True, exist_ok=True)
            (room / name).write_bytes((REPOSITORY / name).read_bytes())
            (room / name).chmod((REPOSITORY / name).stat().st_mode & 0o755)
        (room / "VERSION").write_text(f"{version}\n")
        (room / "sbom.cdx.json").write_text(json.dumps(sbom(version, wheels), indent=1, sort_keys=True) + "\n")
        files = sorted(path for path in room.rglob("*") if path.is_file())
        sums = "".join(f"{_sha256(path)}  {path.relative_to(room)}\n" for path in files)
        (room / "SHA256SUMS").write_text(sums)
        if key is not None:
            (room / "SHA256SUMS.sig").write_bytes(key.sign(sums.encode()))
        target = REPOSITORY / "dist" / f"{room.name}.tar.gz"
        _pack(room, target)
    print(f"{target}: {target.stat().st_size / 1e6:.1f} MB, sha256 {_sha256(target)}")
    return 0


def _key(path: Path | None) -> Ed25519PrivateKey | None:
    if path is None:
        return None
    key = load_pem_private_key(path.read_bytes(), None)
    if not isinstance(key, Ed25519PrivateKey):
        raise SystemExit(f"{path}: is no Ed25519 key; make one with: openssl genpkey -algorithm ed25519 -out {path}")
    return key


def _tracked() -> Iterator[str]:
    yield from ("README.md", "requirements.lock")
    yield from (f"systemd/{path.name}" for path in sorted((REPOSITORY / "systemd").iterdir()) if path.is_file())


def _fetch(wheels: Path, scratch: Path) -> list[str]:
    """Download every wheel. Returns what newer Pythons have none for; raises CalledProcessError for the first of PYTHONS."""
    missing = []
    locked = [each for lock in LOCKS for each in requirements(REPOSITORY / lock) if each.name not in NOT_SHIPPED]
    for python in PYTHONS:
        for machine in MACHINES:
            wanted = [each for each in locked if each.wanted(python, machine)]
            try:
                _download(wanted, python, machine, wheels, scratch)
            except subprocess.CalledProcessError:
                if python == PYTHONS[0]:
                    raise
                missing += [f"{each.name} {each.version} for Python {python} on {machine}: PyPI has no wheel"
                            for each in wanted if not _has_wheel(each, python, machine, wheels, scratch)]  # fmt: skip
    return missing


def _has_wheel(each: Requirement, python: str, machine: str, wheels: Path, scratch: Path) -> bool:
    try:
        _download([each], python, machine, wheels, scratch)
    except subprocess.CalledProcessError:
        return False
    return True


def _download(wanted: list[Requirement], python: str, machine: str, wheels: Path, scratch: Path) -> None:
    lines = [f"{each.name}=={each.version} " + " ".join(f"--hash=sha256:{value}" for value in each.hashes) for each in wanted]
    lock = scratch / "wanted.lock"
    lock.write_text("\n".join(lines) + "\n")
    platforms = [f"--platform=manylinux_2_{minor}_{machine}" for minor in GLIBCS]
    _pip("download", "--no-deps", "--only-binary=:all:", "--require-hashes", f"--python-version={python}", *platforms,
         "--dest", str(wheels), "--requirement", str(lock))  # fmt: skip


def _pip(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *words], check=True)


def sbom(version: str, wheels: Path) -> dict[str, Any]:
    """CycloneDX 1.5: the agent, and what is in the bundle beside it, with hashes and licences."""
    components: dict[str, dict[str, Any]] = {}
    for wheel in sorted(wheels.glob("*.whl")):
        metadata = _metadata(wheel)
        name, number = metadata["Name"], metadata["Version"]
        purl = f"pkg:pypi/{re.sub(r'[-_.]+', '-', name).lower()}@{number}"
        licence = metadata.get("License-Expression") or metadata.get("License") or ""
        component = components.setdefault(purl, {"type": "library", "bom-ref": purl, "purl": purl, "name": name,
                                                 "version": number, "hashes": [], "properties": []})  # fmt: skip
        if licence and len(licence) < 100:
            component["licenses"] = [{"license": {"name": licence}}]
        digest = _sha256(wheel)
        component["hashes"].append({"alg": "SHA-256", "content": digest})
        component["properties"].append({"name": f"wheel:{wheel.name}", "value": digest})
    own = next(component for purl, component in components.items() if purl.startswith("pkg:pypi/atm-edge-agent@"))
    others = [component for component in components.values() if component is not own]
    serial = uuid.uuid5(uuid.NAMESPACE_URL, version + "".join(sorted(_sha256(wheel) for wheel in wheels.glob("*.whl"))))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {"component": {**own, "type": "application"}},
        "components": others,
        "dependencies": [{"ref": own["bom-ref"], "dependsOn": sorted(component["bom-ref"] for component in others)}],
    }


def _metadata(wheel: Path) -> Any:
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name))
        return HeaderParser().parsestr(archive.read(name).decode())


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _pack(room: Path, target: Path) -> None:
    """A tarball that depends on nothing but its content."""
    target.parent.mkdir(exist_ok=True)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path in sorted(room.rglob("*")):
            entry = archive.gettarinfo(path, str(path.relative_to(room.parent)))
            entry.uid = entry.gid = 0
            entry.uname = entry.gname = "root"
            entry.mtime = EPOCH
            with path.open("rb") if path.is_file() else io.BytesIO() as content:
                archive.addfile(entry, content if path.is_file() else None)
    with target.open("wb") as file, gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=EPOCH) as packed:
        packed.write(buffer.getvalue())


if __name__ == "__main__":
    sys.exit(main())
