#!/usr/bin/env bash
# Builds Python 2.7 with Autobahn's own test suite in DIRECTORY, on a Debian system and
# beside its packages: nothing outside DIRECTORY is written. DIRECTORY/python then runs it.
set -euo pipefail

(($# == 1)) || { echo "usage: ${0##*/} DIRECTORY" >&2; exit 2; }
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
mkdir -p -- "$(dirname -- "$1")"
target=$(cd -- "$(dirname -- "$1")" && pwd)/$(basename -- "$1")
build=$target.tmp

die() {
  echo "${0##*/}: $*" >&2
  exit 1
}

for tool in apt-get apt-config dpkg python3 cc; do
  command -v "$tool" >/dev/null ||
    die "$tool not found: building Python 2.7 needs a Debian-like system with apt and a C compiler"
done

rm -rf -- "$build"
mkdir -p "$build"/apt/lists/partial "$build"/apt/cache/archives/partial "$build"/apt/debs "$build"/root

# The system's settings (a proxy, say) without its folders and without its hooks.
{
  apt-config dump | grep -vE '^(Dir|[^ ]*::(Pre|Post)-Invoke)'
  cat <<END
Dir::Etc::Main "/dev/null";
Dir::Etc::Parts "/dev/null";
Dir::Etc::SourceList "$build/apt/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::State "$build/apt";
Dir::Cache "$build/apt/cache";
APT::Sandbox::User "";
END
} >"$build/apt/apt.conf"

packages=(python2.7 python2.7-minimal python2.7-dev libpython2.7-stdlib libpython2.7-minimal
  libpython2.7-dev libssl1.1 libffi7)
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[[ -e $keyring ]] || die "$keyring not found: Python 2.7 comes from Debian 11 (bullseye)"

download() { # MIRROR
  echo "deb [signed-by=$keyring] $1 bullseye main" >"$build/apt/sources.list"
  export APT_CONFIG=$build/apt/apt.conf
  apt-get --quiet=2 update && (cd "$build/apt/debs" && apt-get --quiet=2 download "${packages[@]}")
}

# The mirror: the one that has bullseye among those that apt's own sources name.
mirrors=$(find /etc/apt \( -name '*.list' -o -name '*.sources' \) -exec sed 's/#.*//' {} + |
  grep -oE '[a-z+]+:/[^] ]+' | sort -u) || die "apt's sources name no mirror"
found=
while [[ ! $found ]] && read -r mirror; do
  if download "$mirror" </dev/null >>"$build/apt/log" 2>&1; then found=yes; fi
done <<<"$mirrors"
if [[ ! $found ]]; then
  cat "$build/apt/log" >&2
  die "none of the mirrors among apt's sources has Python 2.7 (Debian 11, bullseye)"
fi
for deb in "$build"/apt/debs/*.deb; do
  dpkg --extract "$deb" "$build/root"
done
rm -rf -- "$build/apt"

cat >"$build/python" <<'END'
#!/bin/sh
here=$(cd -- "$(dirname -- "$0")" && pwd)
ssl=$(echo "$here"/root/usr/lib/*/libssl.so.1.1)
PYTHONHOME=$here/root/usr LD_LIBRARY_PATH=${ssl%/*} exec "$here/root/usr/bin/python2.7" "$@"
END
chmod +x "$build/python"

# The last pip for Python 2.7 runs out of its wheel.
python3 -m pip download --quiet --no-deps --dest "$build" pip==20.3.4
pip=("$build"/pip-20.3.4-*.whl)
install() {
  # Debian keeps its own headers apart from those of a Python that is not installed.
  CPATH=$build/root/usr/include/python2.7:$build/root/usr/include \
    "$build/python" -W ignore "${pip[0]}/pip" install --quiet --no-deps \
    --no-python-version-warning --target "$build/root/usr/lib/python2.7/dist-packages" "$@"
}
install setuptools==44.1.1 wheel==0.37.1
rm -rf -- "$build/root/usr/lib/python2.7/dist-packages/bin"
install --requirement "$here/wstest-requirements.txt"
"$build/python" -c 'import autobahntestsuite'

rm -rf -- "$target"
mv -- "$build" "$target"
