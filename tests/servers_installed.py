"""Make sure that the real servers which the tests talk to are there: install them where that is allowed, else say how.

Runs with the system's own python3, before the tests; needs nothing beside the standard library.
"""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import sys

PACKAGES = {
    "mosquitto": "mosquitto",
    "mosquitto_sub": "mosquitto-clients",
    "coap-server-openssl": "libcoap3-bin",
    "openssl": "openssl",
    "chromium": "chromium",
    "nats-server": "nats-server",
    "initdb": "postgresql",
}
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"


def missing() -> list[str]:
    """Debian packages whose programs are not found."""
    path = ":".join([PATH, *sorted(glob.glob("/usr/lib/postgresql/*/bin"))])
    return sorted({package for program, package in PACKAGES.items() if shutil.which(program, path=path) is None})


def main() -> int:
    """Exit status 0 when every server is there."""
    packages = missing()
    if not packages:
        return 0
    command = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    if os.geteuid() == 0 and shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        # without an init system the packages must not start their servers: the tests start their own
        for line in (["apt-get", "update", "-q"], command):
            subprocess.run(line, env=environment, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        packages = missing()
        if not packages:
            return 0
    print("The tests talk to real servers. Type this once, then try again:", file=sys.stderr)
    print(f"  sudo apt-get install -y --no-install-recommends {' '.join(packages)}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
