#!/usr/bin/env bash
# Guards against slow drift: counts how many instructions a message takes, and compares with stored bounds.
#
#   benches/instructions.sh            compares with instructions.txt; fails if a case is over its bound
#   benches/instructions.sh --bless    makes the bounds what is counted now, and 3 % more
#
# Unlike time, the counts are the same on each run, whatever else the machine does. They are callgrind's, of
# two runs of different length, so that start-up cancels out. valgrind knows no AVX-512: on any processor that
# has AVX2, that is the code that is counted.
#
# The counts depend on the compiler, and a little on the C library, whose memcpy is part of them. So the bounds
# say what they were counted with. They are for x86-64.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

bounds=benches/instructions.txt
margin=3 # per cent above what is counted, when it becomes the bound
slack=10 # per cent under its bound, from which on a bound is to be tightened
short=10000 long=110000 # messages

die() {
  echo "instructions.sh: $*" >&2
  exit 2
}

bless=false
case ${1-} in
  '') ;;
  --bless) bless=true ;;
  *) die "usage: benches/instructions.sh [--bless]" ;;
esac
if (($# > 1)); then die "usage: benches/instructions.sh [--bless]"; fi

if [[ $(uname -m) != x86_64 ]] || ! grep -qw avx2 /proc/cpuinfo; then
  die "the bounds are for x86-64 with AVX2"
fi
if ! command -v valgrind >/dev/null; then
  if ((EUID != 0)); then die "valgrind is missing; install it, for example by: apt-get install valgrind"; fi
  apt-get install -y valgrind >&2 || { apt-get update >&2 && apt-get install -y valgrind >&2; } ||
    die "valgrind is missing and could not be installed"
fi

# callgrind counts `rep movsb` once for each byte: have the C library copy and fill with vectors instead.
export GLIBC_TUNABLES=glibc.cpu.x86_rep_movsb_threshold=2000000000:glibc.cpu.x86_rep_stosb_threshold=2000000000

program=$(cargo bench --bench instructions --no-run --message-format=json |
  sed -n '/"name":"instructions"/s/.*"executable":"\([^"]*\)".*/\1/p')
[[ -x $program ]] || die "cargo did not say where the program is"
tools="$(rustc --version), $(valgrind --version), $(getconf GNU_LIBC_VERSION)"

# Says how many messages were sent, and in how many instructions.
count() { # CASE MESSAGES
  local said
  said=$(valgrind --tool=callgrind --callgrind-out-file=/dev/null \
    "$program" --case "$1" --messages "$2" 2>&1) || die "$1 failed: $said"
  sed -nE 's/^([0-9]+)$/\1/p; s/.*Collected : //p' <<<"$said"
}

# Says how many tenths of an instruction a message takes.
count_per_message() { # CASE
  local few many
  mapfile -t few < <(count "$1" "$short")
  mapfile -t many < <(count "$1" "$long")
  echo "$1" $((10 * (many[1] - few[1]) / (many[0] - few[0])))
}

tenths() { # NUMBER
  printf '%d.%d' $(($1 / 10)) $(($1 % 10))
}

mapfile -t cases < <("$program" --list)
declare -A counted bound
# As many at once as there are processors: the counts are the same.
export program short long
export -f count count_per_message die
while read -r case now; do
  counted[$case]=$now
done < <(printf '%s\n' "${cases[@]}" |
  xargs --max-procs="$(nproc)" --max-lines=1 bash -c 'count_per_message "$@"' count_per_message)
for case in "${cases[@]}"; do
  [[ -v counted[$case] ]] || die "$case was not counted"
done

if $bless; then
  {
    echo "# Instructions for a message, at most: name, bound. Made by benches/instructions.sh --bless with"
    echo "# $tools"
    for case in "${cases[@]}"; do
      echo "$case $(tenths $(((counted[$case] * (100 + margin) + 99) / 100)))"
    done
  } >"$bounds"
fi

if [[ -e $bounds ]]; then
  while read -r case value; do
    if [[ $case != '#'* ]]; then bound[$case]=${value/./}; fi
  done <"$bounds"
  if ! grep -qxF "# $tools" "$bounds"; then
    echo "note: the bounds were counted with other tools than these: $tools"
  fi
fi

passed=0 failed=0 loose=()
printf '%-22s %9s %9s\n' case now bound
for case in "${cases[@]}"; do
  now=${counted[$case]} at_most=${bound[$case]-}
  if [[ -z $at_most ]]; then
    verdict='no bound: --bless makes one'
  elif ((now > at_most)); then
    verdict=OVER
  else
    verdict=ok
    if ((now * 100 < at_most * (100 - slack))); then loose+=("$case"); fi
  fi
  if [[ $verdict == ok ]]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
  printf '%-22s %9s %9s  %s\n' "$case" "$(tenths "$now")" "${at_most:+$(tenths "$at_most")}" "$verdict"
done
for case in "${loose[@]}"; do
  echo "$case is more than $slack % under its bound: --bless tightens it"
done
echo "$passed checks passed, $failed failed"
((failed == 0))
