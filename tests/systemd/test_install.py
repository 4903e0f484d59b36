"""The installer's own steps, in a directory of the test's: what it leaves when a step fails, the disk is full, or it is killed.

The script, the shell and the file system are real. What needs root, or minutes, is stood in for by programs on PATH: systemd
(`restart` runs the version that is current and is told whether it became ready), the user database, and venv with pip, which
unpack a "wheel" that is one shell script. Each of them counts as one step, before which the whole run can be killed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
READY = "exit 0"
NOT_READY = "case $1 in check) exit 0 ;; esac; exit 3"
REFUSES_THE_CONFIGURATION = "case $1 in check) exit 78 ;; esac; exit 0"
BROKEN = "exit 127"
COUNTED = ("ln", "mv", "pip", "systemctl")  # each call is one step

STEP = """#!/bin/sh
n=$(($(cat "$BOX/step") + 1)); echo $n >"$BOX/step"
[ "$n" != "${KILL_BEFORE:-}" ] || kill -KILL 0
"""
STAND_INS = {
    "id": "echo 0",
    "getent": "exit 0",
    "useradd": "exit 0",
    "userdel": "touch $BOX/userdel",
    "groupadd": "exit 0",
    "groupdel": "exit 0",
    "usermod": "exit 0",
    "udevadm": "exit 0",
    "journalctl": "echo the last lines of the log",
    "sleep": "exit 0",
    "sync": "exit 0",
    "df": 'printf "head\\n- - - %s - -\\n" "${FREE_KB:-9000000}"',
    "install": """\
for word; do  # no user to give anything to
  shift
  case $word in -o | -g) skip=1 ;; *) [ "${skip:-}" = 1 ] && skip= || set -- "$@" "$word" ;; esac
done
exec /usr/bin/install "$@"
""",
    "python3": """\
case "$1 ${2:-}" in
  "-m venv") [ "${VENV_FAILS:-}" = "" ] || exit 1; mkdir -p "$3/bin"; cp "$BOX/bin/pip" "$3/bin/pip" ;;
  "-c "*) exit 0 ;;
  *) cat "$2" ;;
esac
""",
    "pip": """\
for word; do last=$word; done
case $last in
  *.whl) cp "$last" "$(dirname "$0")/atm-agent" && chmod 755 "$(dirname "$0")/atm-agent" ;;
  *requirements.lock) echo half >"$(dirname "$0")/half"; exit ${PIP_STATUS:-0} ;;
esac
""",
    "systemctl": """\
case $1 in
  restart)
    : >"$BOX/runs"
    cd "$ATM_AGENT_ROOT/opt/atm-agent/current" && bin/atm-agent run && basename "$(pwd -P)" >"$BOX/runs" ;;
  disable) : >"$BOX/runs" ;;
  is-active) [ -s "$BOX/runs" ] ;;
  show) echo 1 ;;
esac
""",
}


class Box:
    """One gateway: a root of its own, and the programs on its PATH."""

    def __init__(self, room: Path) -> None:
        self.room, self.root, self.step, self.programs = room, room / "root", room / "step", room / "bin"

    @classmethod
    def empty(cls, room: Path) -> Box:
        """A system with systemd, and a configuration for the agent that is to come."""
        box = cls(room)
        (box.root / "run/systemd/system").mkdir(parents=True)
        (box.root / "etc/atm-agent").mkdir(parents=True)
        (box.root / "etc/atm-agent/config.yaml").write_text("gateway: {id: gw}\n")
        box.programs.mkdir()
        (room / "runs").touch()
        for name in {*STAND_INS, *COUNTED}:
            text = STAND_INS.get(name, f'exec {shutil.which(name)} "$@"')
            (box.programs / name).write_text((STEP if name in COUNTED else "#!/bin/sh\n") + text + "\n")
            (box.programs / name).chmod(0o755)
        return box

    def bundle(self, version: str, program: str) -> Path:
        """What `make bundle` gives, with a program that is one line of shell."""
        place = self.room / f"atm-agent-{version}"
        (place / "wheels").mkdir(parents=True)
        shutil.copytree(REPOSITORY / "systemd", place / "systemd", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
        (place / "VERSION").write_text(f"{version}\n")
        (place / "README.md").write_text(version)
        (place / "requirements.lock").write_text("")
        (place / f"wheels/atm_edge_agent-{version}-py3-none-any.whl").write_text(f"#!/bin/sh\n{program}\n")
        self.sum(place)
        return place

    @staticmethod
    def sum(place: Path) -> None:
        files = sorted(path for path in place.rglob("*") if path.is_file() and not path.name.startswith("SHA256SUMS"))
        sums = (f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(place)}\n" for path in files)
        (place / "SHA256SUMS").write_text("".join(sums))

    def install(self, bundle: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        self.step.write_text("0")
        own = {"PATH": f"{self.programs}:/usr/sbin:/usr/bin:/sbin:/bin", "BOX": str(self.room), "ATM_AGENT_ROOT": str(self.root)}
        command = ["/bin/sh", str(bundle / "systemd/install.sh"), *words]
        return subprocess.run(command, env=own | environment, capture_output=True, text=True, check=False, start_new_session=True)

    @property
    def runs(self) -> str:
        """The version that became ready when systemd started it last; empty when it did not."""
        return (self.room / "runs").read_text().partition("-")[0]

    def link(self, name: str) -> str:
        """The number of the version that a link of the installer's names; empty when there is none."""
        path = self.root / "opt/atm-agent" / name
        return os.readlink(path).removeprefix("versions/").partition("-")[0] if path.is_symlink() else ""

    def versions(self) -> set[str]:
        return {path.name.partition("-")[0] for path in (self.root / "opt/atm-agent/versions").iterdir()}

    def is_sound(self) -> bool:
        """What is current is whole and would start."""
        current = self.root / "opt/atm-agent/current"
        return (
            (current / "complete").exists() and (current / "bin/atm-agent").exists() and (current / "share/install.sh").exists()
        )


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gateway on which version 1.0.0 runs."""
    box = Box.empty(tmp_path_factory.mktemp("gateway"))
    done = box.install(box.bundle("1.0.0", READY))
    assert done.returncode == 0, done.stderr
    assert (box.runs, box.link("current"), box.link("proven")) == ("1.0.0",) * 3
    return box.room


def copied(template: Path, room: Path) -> Box:
    return Box(Path(shutil.copytree(template, room, symlinks=True)))


@pytest.fixture
def box(template: Path, tmp_path: Path) -> Box:
    """One of those, for a test alone."""
    return copied(template, tmp_path / "gateway")


def test_a_new_version_that_becomes_ready_stays_and_the_one_before_is_kept(box: Box) -> None:
    for version in ("1.1.0", "1.2.0"):
        done = box.install(box.bundle(version, READY))
        assert done.returncode == 0, done.stderr
    assert (box.runs, box.link("current"), box.link("proven")) == ("1.2.0",) * 3
    assert box.versions() == {"1.1.0", "1.2.0"}
    assert (box.root / "opt/atm-agent/README.md").read_text() == "1.2.0"


def test_a_new_version_that_does_not_become_ready_is_taken_back(box: Box) -> None:
    done = box.install(box.bundle("1.1.0", NOT_READY))
    assert done.returncode == 1
    assert "1.1.0" in done.stderr
    assert "runs again; the new version was removed" in done.stderr
    assert "the last lines of the log" in done.stderr
    assert (box.runs, box.link("current"), box.link("proven"), box.versions()) == ("1.0.0",) * 3 + ({"1.0.0"},)
    assert (box.root / "opt/atm-agent/README.md").read_text() == "1.0.0"


@pytest.mark.parametrize(
    ("environment", "program", "status", "why"),
    [
        ({"PIP_STATUS": "1"}, READY, 1, "the packages could not be installed; nothing was changed"),
        ({"VENV_FAILS": "1"}, READY, 1, "python3 -m venv failed; nothing was changed"),
        ({"FREE_KB": "300000"}, READY, 1, "has 292 MB free, a version needs 400; nothing was changed"),
        ({}, REFUSES_THE_CONFIGURATION, 78, "cannot use"),
        ({}, BROKEN, 1, "does not run on this system; nothing was changed"),
    ],
)
def test_what_cannot_be_built_or_used_changes_nothing(
    box: Box, environment: dict[str, str], program: str, status: int, why: str
) -> None:
    done = box.install(box.bundle("1.1.0", program), **environment)
    assert done.returncode == status
    assert why in done.stderr
    assert (box.runs, box.link("current"), box.link("proven")) == ("1.0.0",) * 3
    assert box.versions() == {"1.0.0"} | ({"1.1.0"} if status == 78 else set())


def test_a_disk_that_fills_up_while_a_version_is_built_gets_its_room_back(box: Box) -> None:
    (box.programs / "date").write_text("#!/bin/sh\necho date: write error: No space left on device >&2\nexit 1\n")
    (box.programs / "date").chmod(0o755)
    done = box.install(box.bundle("1.1.0", READY))
    assert done.returncode == 1
    assert "cannot be written; nothing was changed" in done.stderr
    assert (box.runs, box.link("current"), box.versions()) == ("1.0.0", "1.0.0", {"1.0.0"})


def openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


def signed(bundle: Path, key: Path) -> None:
    sums = bundle / "SHA256SUMS"
    openssl("pkeyutl", "-sign", "-inkey", key, "-rawin", "-in", sums, "-out", f"{sums}.sig")


def test_where_a_key_is_trusted_only_what_it_has_signed_is_installed(box: Box) -> None:
    key, other, trusted = box.room / "key.pem", box.room / "other.pem", box.root / "etc/atm-agent/release.pem"
    for each in (key, other):
        openssl("genpkey", "-algorithm", "ed25519", "-out", each)
    openssl("pkey", "-in", key, "-pubout", "-out", trusted)
    bundle, installed = box.bundle("1.1.0", READY), box.root / "opt/atm-agent/current/share"
    evil = bundle / "systemd/install.sh"
    script = evil.read_text()
    evil.write_text(f"#!/bin/sh\ntouch {box.room}/owned\n")
    box.sum(bundle)
    (box.room / "trusted/systemd").mkdir(parents=True)
    shutil.copy(installed / "install.sh", box.room / "trusted/systemd/install.sh")
    for signer in (None, other):
        if signer is not None:
            signed(bundle, signer)
        done = box.install(box.room / "trusted", "--from", str(bundle))
        assert done.returncode == 1
        assert "not signed by the key" in done.stderr
    evil.write_text(script)
    box.sum(bundle)
    signed(bundle, key)
    (bundle / "wheels" / "more.whl").write_text("what nobody signed")
    done = box.install(box.room / "trusted", "--from", str(bundle))
    assert "files that SHA256SUMS does not name" in done.stderr
    (bundle / "wheels" / "more.whl").unlink()
    assert box.runs == "1.0.0"
    assert not (box.room / "owned").exists()
    done = box.install(box.room / "trusted", "--from", str(bundle))
    assert done.returncode == 0, done.stderr
    assert box.runs == "1.1.0"
    done = box.install(REPOSITORY)  # a checkout has no signature
    assert "only signed bundles are installed" in done.stderr


def test_a_damaged_bundle_is_not_installed(box: Box) -> None:
    bundle = box.bundle("1.1.0", READY)
    with (bundle / "requirements.lock").open("a") as file:
        file.write("evil==1.0\n")
    done = box.install(bundle)
    assert done.returncode == 1
    assert "the bundle is damaged or was changed; nothing was installed" in done.stderr
    assert box.versions() == {"1.0.0"}


def test_killed_before_any_step_leaves_a_version_that_starts_and_a_second_run_ends_well(template: Path, tmp_path: Path) -> None:
    step, killed = 0, {READY: True, NOT_READY: True}
    while any(killed.values()):
        step += 1
        program, ends_with = ((READY, "1.1.0"), (NOT_READY, "1.0.0"))[step % 2]
        box = copied(template, tmp_path / str(step))
        bundle = box.bundle("1.1.0", program)
        killed[program] = box.install(bundle, KILL_BEFORE=str(step)).returncode == -signal.SIGKILL
        assert box.is_sound(), f"killed before step {step}"
        done = box.install(bundle)
        assert (box.runs, box.link("current"), box.link("proven")) == (ends_with,) * 3, f"before step {step}: {done.stderr}"
        assert box.is_sound()
    assert step > 12


def test_uninstall_keeps_what_is_the_operators_and_purge_leaves_nothing(box: Box) -> None:
    state, backups = box.root / "var/lib/atm-agent", box.root / "var/backups/atm-agent"
    backups.mkdir(parents=True)
    for file in (state / "good.yaml", backups / "gw.atmbackup"):
        file.write_text("kept")
    installed = box.root / "opt/atm-agent/current/share"
    # from what is installed: the bundle has gone long ago
    (box.room / "installed/systemd").mkdir(parents=True)
    shutil.copy(installed / "install.sh", box.room / "installed/systemd/install.sh")
    done = box.install(box.room / "installed", "--uninstall")
    assert done.returncode == 0, done.stderr
    left = sorted(str(path.relative_to(box.root)) for path in box.root.rglob("*") if path.is_file() or path.is_symlink())
    assert left == ["etc/atm-agent/config.example.yaml", "etc/atm-agent/config.yaml", "var/backups/atm-agent/gw.atmbackup",
                    "var/lib/atm-agent/good.yaml"]  # fmt: skip
    assert box.runs == ""
    assert box.install(box.room / "installed", "--purge").returncode == 0
    assert [path for path in box.root.rglob("*") if "atm-agent" in path.name] == []
    assert (box.room / "userdel").exists()
    done = box.install(box.room / "installed")
    assert done.returncode == 1
    assert "run it from a bundle or from the repository" in done.stderr
