#!/bin/sh
# Make a Debian package of a bundle: systemd/deb.sh dist/atm-agent-VERSION.tar.gz
#
# It holds the bundle as it is, for every machine and Python of it, and calls its installer. A new version that does not become
# ready is taken back by that as ever: dpkg says that the package could not be configured, and the old version runs.
set -eu
umask 022
export SOURCE_DATE_EPOCH=315532800  # 1980-01-01, as in the bundle: the same content gives the same package

room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
maintainer="${DEBFULLNAME:-Operator of the gateways} <${DEBEMAIL:-operator@atm-agent.invalid}>"  # as of every Debian tool
place=usr/lib/atm-agent
doc=$room/usr/share/doc/atm-agent
install -d "$room/DEBIAN" "$room/$place" "$doc"
chmod 755 "$room"
tar xzf "$1" -C "$room/$place" --strip-components=1 --no-same-owner
version=$(cat "$room/$place/VERSION")

# script WORD OPTION: what dpkg runs; when it says WORD the installer is called with OPTION. DPKG_ROOT: in another root.
script() {
  printf '#!/bin/sh\nset -e\n[ "$1" = %s ] || exit 0\nset -- %s\nexport ATM_AGENT_ROOT="${DPKG_ROOT:-}"\n' "$1" "$2"
}
call='exec "${DPKG_ROOT:-}/usr/lib/atm-agent/systemd/install.sh" "$@"'
{ script configure ""; echo "$call"; } >"$room/DEBIAN/postinst"
{ script remove --uninstall; echo "$call"; } >"$room/DEBIAN/prerm"
{ script purge --purge; tail -n +2 "$room/$place/systemd/install.sh"; } >"$room/DEBIAN/postrm"  # the bundle is gone by then
chmod 755 "$room"/DEBIAN/*

cat >"$room/DEBIAN/control" <<EOF
Package: atm-agent
Version: $version
Architecture: all
Maintainer: $maintainer
Installed-Size: $(du -sk "$room/usr" | cut -f1)
Depends: python3 (>= 3.11), python3-venv
Recommends: openssl
Section: net
Priority: optional
Description: edge gateway agent for cash machines
 Reads the sensors and devices of a cash machine, keeps what it has to say
 through outages, scores it with exported models, and forwards summaries and
 alarms to the central platform. It observes; it controls nothing.
EOF
cat >"$doc/copyright" <<EOF
Copyright 2026 the makers of the agent
License: Apache-2.0, on Debian systems in /usr/share/common-licenses/Apache-2.0.
The packages that come with it have their own: /$place/sbom.cdx.json names them.
EOF
printf 'atm-agent (%s) stable; urgency=medium\n\n  * As in the bundle.\n\n -- %s  %s\n' "$version" \
  "$maintainer" "$(date -uR -d @$SOURCE_DATE_EPOCH)" | gzip -9n >"$doc/changelog.gz"

overrides=$room/usr/share/lintian/overrides
install -d "$overrides"
echo "atm-agent: maintainer-script-calls-systemctl [postrm:*]" >"$overrides/atm-agent"  # the unit is the installer's, not dpkg's

target=$(dirname "$1")/atm-agent_${version}_all.deb
dpkg-deb --root-owner-group -Zgzip -z1 --build "$room" "$target"
