#!/usr/bin/env bash
# Fails if an item or rule of README.md in this directory has no test of its name, if that page names a test that
# does not exist or leaves out one that does, or if THREAT_MODEL.md names what does not exist.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.."

page=tests/hostile/README.md
kind='(hostile_[0-9]{2}|rule_[a-h])_[a-z0-9_]*'
there=$(cargo test --all-features --tests -- --list | sed -nE "s/^(.*::)?($kind): test$/\2/p" | sort -u)
named=$(tr '`' '\n' <"$page" | sed -nE "/^$kind$/p" | sort -u)

status=0
complain() {
  echo "check.sh: $1" >&2
  status=1
}
for test in $(comm -13 <(echo "$there") <(echo "$named")); do complain "$test is named in $page, and is not there"; done
for test in $(comm -23 <(echo "$there") <(echo "$named")); do complain "$test is not named in $page"; done
for item in hostile_{01..93} rule_{a..h}; do
  grep -q "^${item}_" <<<"$there" || complain "$item has no test"
done
# There, a name may stand for all that begin with it.
for name in $(tr '`' '\n' <THREAT_MODEL.md | sed -nE 's/^((hostile_[0-9]{2}|rule_[a-h])_[a-z0-9_]*)(…)?$/\1\3/p'); do
  if [[ $name == *… ]]; then name="^${name%…}"; else name="^$name\$"; fi
  grep -q "$name" <<<"$there" || complain "THREAT_MODEL.md names ${name#^}, and it is not there"
done
if ((status == 0)); then echo "hostile inputs: 93 items and 8 rules, $(wc -l <<<"$there") tests"; fi
exit $status
