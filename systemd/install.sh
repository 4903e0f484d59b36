#!/bin/sh
# Install the agent on this gateway: sudo systemd/install.sh. Run it again to take a newer version.
# Nothing is fetched at run time; this script is the only one that installs.
set -eu

[ "$(id -u)" = 0 ] || { echo "install.sh: must be root: sudo systemd/install.sh" >&2; exit 1; }
[ "$(getconf LONG_BIT)" = 64 ] || { echo "install.sh: onnxruntime needs a 64-bit system; this one has 32 bits" >&2; exit 1; }
here=$(cd "$(dirname "$0")/.." && pwd)
home=/opt/atm-agent

getent passwd atm-agent >/dev/null || useradd --system --home-dir /var/lib/atm-agent --shell /usr/sbin/nologin atm-agent
for group in dialout gpio; do
  # a small system may not have the group of a device that it does not have
  getent group "$group" >/dev/null || groupadd --system "$group"
done

install -d -m 0755 "$home"
install -d -m 0750 -o root -g atm-agent /etc/atm-agent
install -d -m 0750 -o atm-agent -g atm-agent /var/lib/atm-agent
[ -x "$home/.venv/bin/python" ] || python3 -m venv "$home/.venv"
"$home/.venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r "$here/requirements.lock"
"$home/.venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --no-build-isolation "$here"
install -m 0644 "$here/README.md" "$home/README.md"

install -m 0644 "$here/systemd/config.example.yaml" /etc/atm-agent/config.example.yaml
install -m 0644 "$here/systemd/60-atm-agent.rules" /etc/udev/rules.d/60-atm-agent.rules
install -m 0644 "$here/systemd/atm-agent.service" /etc/systemd/system/atm-agent.service
ln -sf "$home/.venv/bin/atm-agent" /usr/local/bin/atm-agent
systemctl daemon-reload
udevadm control --reload 2>/dev/null || true

if [ -f /etc/atm-agent/config.yaml ]; then
  atm-agent check /etc/atm-agent/config.yaml
  systemctl enable --quiet atm-agent
  systemctl restart atm-agent
  echo "atm-agent runs; 'atm-agent status /etc/atm-agent/config.yaml' tells what it does"
else
  echo "Write /etc/atm-agent/config.yaml (config.example.yaml beside it shows every key), then run this again."
fi
