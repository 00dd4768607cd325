#!/usr/bin/env bash
# usage: tools/install_packages.sh PACKAGE...   (as root)
# Installs Debian packages for development. Debian starts every daemon that it installs, now and at
# each boot; on a developer's machine none of those that come new here should run: tests and drills
# start their own. What was installed before stays as it was.
set -euo pipefail

policy=/usr/sbin/policy-rc.d
daemons=(etcd-server:etcd patroni:patroni postgresql-15:postgresql haproxy:haproxy nginx-light:nginx)

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

fresh=()
for daemon in "${daemons[@]}"; do
  installed "${daemon%%:*}" || fresh+=("$daemon")
done

# Nothing is started while this script installs.
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  trap 'rm -f "$policy"' EXIT
  trap 'exit 130' INT TERM
fi

export DEBIAN_FRONTEND=noninteractive
apt-get update
apt-get install -y --no-install-recommends "$@"

for daemon in "${fresh[@]}"; do
  if installed "${daemon%%:*}" && command -v systemctl >/dev/null; then
    systemctl disable "${daemon##*:}" || true
  fi
done
