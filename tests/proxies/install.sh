#!/usr/bin/env bash
# Brings the proxies that tests/proxies.rs runs: Debian's packages, as root. None of them is left running.
set -euo pipefail

PATH=$PATH:/usr/sbin
packages=()
command -v nginx >/dev/null || packages+=(nginx-light)
command -v haproxy >/dev/null || packages+=(haproxy)
command -v varnishd >/dev/null || packages+=(varnish)
if ((${#packages[@]} == 0)); then exit 0; fi
if ((EUID != 0)); then
  echo "install.sh: run as root: apt-get install ${packages[*]}" >&2
  exit 1
fi
# The services of the packages would take ports that are not ours to take.
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod +x "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -qy --no-install-recommends "${packages[@]}"
