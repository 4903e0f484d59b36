#!/bin/sh
# Install the agent on this gateway, or take a newer version of it: sudo systemd/install.sh
#
#   install.sh              install or upgrade; run it again as often as you like
#   install.sh --from DIR   the same from an unpacked bundle, which must be signed by the key in /etc/atm-agent/release.pem;
#                           the script that is installed already looks at it, before anything of the bundle runs
#   install.sh --uninstall  stop and remove the agent; configuration and records stay
#   install.sh --purge      remove those too, the backups and the user: nothing is left of the agent
#
# From a bundle (make bundle) it needs no internet. Every version has a directory of its own; the one that runs is
# /opt/atm-agent/current, the last one that proved itself is /opt/atm-agent/proven. A new version that does not become ready is
# taken back, and the old one runs again. What was interrupted is gone on with when the script runs again.
# Exit status: 0 well, 1 failed and nothing or everything taken back, 78 the configuration needs work.
set -eu

root=${ATM_AGENT_ROOT:-}  # everything lies below it; set by tests alone
home=$root/opt/atm-agent
etc=$root/etc/atm-agent
state=$root/var/lib/atm-agent
backups=$root/var/backups/atm-agent
unit=$root/etc/systemd/system/atm-agent.service
rules=$root/etc/udev/rules.d/60-atm-agent.rules
program=$root/usr/local/bin/atm-agent
SETTLE=${ATM_AGENT_SETTLE:-5}  # s for which a new version must stay up after it said that it is ready
ROOM=400                       # MB that a version takes while it is built, with something to spare for the agent's own records
here=$(cd "$(dirname "$0")/.." && pwd)

say() { echo "install.sh: $*"; }
fail() { echo "install.sh: $*" >&2; exit 1; }
has_systemd() { [ -d "$root/run/systemd/system" ]; }  # not in a chroot, where an image is being made

main() {
  [ "$(id -u)" = 0 ] || fail "must be root: sudo systemd/install.sh"
  case "${1:-}" in
    "") install_agent ;;
    --from) install_from "${2:?--from wants the directory of an unpacked bundle}" ;;
    --uninstall) remove_agent; say "removed; $etc and $state stay (--purge removes them too)" ;;
    --purge) remove_agent; purge; say "removed, with configuration, records, backups and user" ;;
    *) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; exit 2 ;;
  esac
}

install_from() {
  [ -f "$etc/release.pem" ] || fail "$etc/release.pem is missing: the public key of whoever makes your bundles"
  check_bundle "$1"
  exec "$1/systemd/install.sh"
}

install_agent() {
  check_system
  make_user_and_directories
  new=$(version)
  old=$(installed proven)
  [ -n "$old" ] || old=$(installed current)
  build "$new"
  if [ -f "$etc/config.yaml" ]; then check_configuration "$new"; fi
  link current "$new"
  put_in_place
  if [ ! -f "$etc/config.yaml" ]; then
    say "installed $new. Write $etc/config.yaml (config.example.yaml beside it shows every key), then run this again."
  elif ! has_systemd; then
    say "installed $new; systemd does not run here, so nothing was started"
  elif start; then
    link proven "$new"
    say "$new runs; 'atm-agent status $etc/config.yaml' tells what it does"
    remove_others "$new" "$old"
  else
    take_back "$new" "$old"
  fi
}

# The version that a link names; nothing when there is none, or it is not whole.
installed() {
  name=$(readlink "$home/$1" 2>/dev/null || true)
  name=${name#versions/}
  if [ -n "$name" ] && [ -f "$home/versions/$name/complete" ]; then echo "$name"; fi
}

check_system() {
  [ -f "$here/pyproject.toml" ] || [ -f "$here/VERSION" ] || fail "run it from a bundle or from the repository; here it can only remove: --uninstall, --purge"
  [ "$(getconf LONG_BIT)" = 64 ] || fail "onnxruntime needs a 64-bit system; this one has 32 bits"
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || fail "needs Python 3.11 or later: apt-get install python3"
  python3 -c 'import ensurepip, venv' 2>/dev/null || fail "needs Python's venv: apt-get install python3-venv"
  if [ -f "$here/SHA256SUMS" ] || [ -f "$etc/release.pem" ]; then check_bundle "$here"; fi
}

# Who made it, where a key says whom to trust; then that every file is as it was made, and that there is no other.
check_bundle() {
  sums=$1/SHA256SUMS
  [ -f "$sums" ] || fail "$1 is no bundle, and with $etc/release.pem only signed bundles are installed"
  if [ -f "$etc/release.pem" ]; then
    command -v openssl >/dev/null || fail "needs openssl to look at the bundle's signature: apt-get install openssl"
    openssl pkeyutl -verify -pubin -inkey "$etc/release.pem" -rawin -in "$sums" -sigfile "$sums.sig" >/dev/null 2>&1 ||
      fail "the bundle is not signed by the key in $etc/release.pem; nothing was installed"
  fi
  (cd "$1" && sha256sum --check --quiet --strict SHA256SUMS) || fail "the bundle is damaged or was changed; nothing was installed"
  others=$(cd "$1" && find . ! -type d ! -name SHA256SUMS ! -name SHA256SUMS.sig | wc -l)
  [ "$others" -eq "$(wc -l <"$sums")" ] || fail "the bundle holds files that SHA256SUMS does not name; nothing was installed"
}

make_user_and_directories() {
  for group in dialout gpio; do  # plain Debian has no group gpio
    getent group "$group" >/dev/null || groupadd --system "$group"
  done
  if ! getent passwd atm-agent >/dev/null; then
    getent group atm-agent >/dev/null || groupadd --system atm-agent
    useradd --system --gid atm-agent --home-dir "$state" --shell /usr/sbin/nologin atm-agent
  fi
  usermod --append --groups dialout,gpio atm-agent
  install -d -m 0755 "$home" "$home/versions"
  install -d -m 0750 -o root -g atm-agent "$etc"
  install -d -m 0700 -o root -g root "$etc/credentials"
  install -d -m 0750 -o atm-agent -g atm-agent "$state"
}

# What is here, by name: the same content has the same name, and is not built twice.
version() {
  number=$(sed -n 's/^version = "\(.*\)"/\1/p' "$here/pyproject.toml" 2>/dev/null || true)
  [ -n "$number" ] || number=$(cat "$here/VERSION")
  if [ -f "$here/SHA256SUMS" ]; then content=$(sha256sum <"$here/SHA256SUMS"); else
    content=$(cd "$here" && find agent models firmware_sim systemd requirements.lock README.md pyproject.toml -type f \
      ! -path '*/__pycache__/*' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum)
  fi
  echo "$number-$(echo "$content" | cut -c1-12)"
}

# A virtual environment of its own. It counts only when it is whole: whatever ends this early costs another try, and no room.
build() {
  place=$home/versions/$1
  [ ! -f "$place/complete" ] || return 0
  for half in "$home"/versions/*; do  # of a run that was killed
    [ -f "$half/complete" ] || rm -rf "$half"
  done
  free=$(df -Pk "$home" | awk 'NR == 2 { print int($4 / 1024) }')
  [ "$free" -ge "$ROOM" ] || fail "$home has $free MB free, a version needs $ROOM; nothing was changed"
  say "building $1"
  trap 'rm -rf "$place"' EXIT
  trap 'exit 1' HUP INT TERM
  python3 -m venv "$place" || fail "python3 -m venv failed; nothing was changed"
  install_packages
  install -d "$place/share"
  for file in README.md systemd/config.example.yaml systemd/60-atm-agent.rules systemd/atm-agent.service \
    systemd/atm-agent-backup.service systemd/atm-agent-backup.timer; do
    set -- "$@" "$here/$file"
  done
  shift
  install -m 0644 "$@" "$place/share" || fail "$place cannot be written; nothing was changed"
  install -m 0755 "$here/systemd/install.sh" "$place/share" || fail "$place cannot be written; nothing was changed"
  sync -f "$place"  # a power cut must not leave the mark without what it stands for
  date -u +%FT%TZ >"$place/complete" || fail "$place cannot be written; nothing was changed"
  sync -f "$place"
  trap - EXIT HUP INT TERM
}

install_packages() {
  pip="$place/bin/pip --quiet --disable-pip-version-check install"
  if [ -d "$here/wheels" ]; then
    own=$(ls "$here"/wheels/atm_edge_agent-*.whl)
    offline="--no-index --find-links $here/wheels"
    # what only builds is not in the bundle
    python3 - "$here/requirements.lock" >"$place/requirements.lock" <<'EOF'
import re, sys
text = open(sys.argv[1]).read()
print(re.sub(r"(?m)^setuptools==(?:.*\\\n)*.*\n", "", text))
EOF
    lock=$place/requirements.lock
  else
    own=$here offline="" lock=$here/requirements.lock
  fi
  # shellcheck disable=SC2086  # words are meant to be split
  $pip $offline --only-binary=:all: --require-hashes -r "$lock" 2>"$place/pip.log" ||
    $pip $offline --require-hashes -r "$lock" || fail "the packages could not be installed; nothing was changed"
  $pip $offline --no-deps --no-build-isolation "$own" || fail "the agent could not be installed; nothing was changed"
  $pip $offline --only-binary=:all: --require-hashes -r "$here/systemd/gpio.lock" 2>/dev/null ||
    say "no lgpio for this Python: sources of kind gpio will not work (docs/install.md)"
}

check_configuration() {
  status=0
  "$home/versions/$1/bin/atm-agent" check "$etc/config.yaml" || status=$?
  case $status in
    0) ;;
    78)
      say "the new version cannot use $etc/config.yaml; nothing was changed ($home/versions/$1/bin/atm-agent config migrate may help)" >&2
      exit 78
      ;;
    *) rm -rf "$home/versions/$1"; fail "the new version does not run on this system; nothing was changed" ;;
  esac
}

# One rename: a power cut leaves the old version or the new one.
link() {
  ln -sfn "versions/$2" "$home/$1.new"
  mv -T "$home/$1.new" "$home/$1"
}

put_in_place() {
  share=$home/current/share
  install -m 0644 "$share/README.md" "$home/README.md"
  install -m 0644 "$share/config.example.yaml" "$etc/config.example.yaml"
  install -D -m 0644 "$share/60-atm-agent.rules" "$rules"
  install -D -m 0644 "$share/atm-agent.service" "$unit"
  install -m 0644 "$share/atm-agent-backup.service" "$share/atm-agent-backup.timer" "$(dirname "$unit")"
  install -d "$(dirname "$program")"
  ln -sfn "$home/current/bin/atm-agent" "$program"
  if has_systemd; then
    systemctl daemon-reload
    udevadm control --reload 2>/dev/null && udevadm trigger --subsystem-match=tty --subsystem-match=gpio 2>/dev/null || true
  fi
}

# The start returns once the agent said that it is ready, or could not. It must stay so for a while.
start() {
  systemctl enable --quiet atm-agent
  systemctl reset-failed atm-agent 2>/dev/null || true
  systemctl restart atm-agent || return 1
  started=$(systemctl show --value --property=MainPID atm-agent)
  sleep "$SETTLE"
  systemctl is-active --quiet atm-agent && [ "$(systemctl show --value --property=MainPID atm-agent)" = "$started" ]
}

take_back() {
  journalctl --unit=atm-agent --lines=15 --no-pager --output=cat >&2 || true
  if [ -z "$2" ] || [ "$2" = "$1" ] || [ ! -f "$home/versions/$2/complete" ]; then
    fail "$1 did not become ready, and there is no older version to go back to; the lines above say why"
  fi
  say "$1 did not become ready; going back to $2" >&2
  link current "$2"
  put_in_place
  start || fail "$2 does not become ready either; the lines above say why: journalctl -u atm-agent"
  rm -rf "$home/versions/$1"
  fail "$2 runs again; the new version was removed"
}

remove_others() {  # the newest two stay
  for place in "$home"/versions/*; do
    name=$(basename "$place")
    [ "$name" = "$1" ] || [ "$name" = "$2" ] || rm -rf "$place"
  done
}

remove_agent() {
  if has_systemd; then systemctl disable --quiet --now atm-agent atm-agent-backup.timer 2>/dev/null || true; fi
  rm -f "$unit" "$(dirname "$unit")/atm-agent-backup.service" "$(dirname "$unit")/atm-agent-backup.timer" "$rules" "$program"
  rm -rf "$home"
  if has_systemd; then systemctl daemon-reload; fi
}

purge() {
  rm -rf "$etc" "$state" "$backups" "$unit.d" "$root/etc/systemd/system/atm-agent-backup.service.d"
  rm -f "$root/var/lib/systemd/timers/stamp-atm-agent-backup.timer"
  if getent passwd atm-agent >/dev/null; then userdel atm-agent 2>/dev/null || true; fi
  if getent group atm-agent >/dev/null; then groupdel atm-agent 2>/dev/null || true; fi
}

main "$@"
