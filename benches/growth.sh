#!/usr/bin/env bash
# Guards against cost that grows faster than what causes it: counts how many instructions it takes to handle many of
# what a hostile peer may send, and ten times as many.
#
#   benches/growth.sh             all cases; fails if one has a ratio above 10.5, or so little that it
#                                 cannot have handled all of them
#   benches/growth.sh CASE ...    these only
#
# Each case is counted without any of them too, so that what a start costs is not in the ratio. The counts are
# callgrind's: the same on each run, whatever else the machine does. It takes some minutes.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

least_ratio=8000 most_ratio=10500 # thousandths

die() {
  echo "growth.sh: $*" >&2
  exit 2
}

command -v valgrind >/dev/null || die "valgrind is missing; install it, for example by: apt-get install valgrind"

# callgrind counts `rep movsb` once for each byte: have the C library copy and fill with vectors instead.
export GLIBC_TUNABLES=glibc.cpu.x86_rep_movsb_threshold=2000000000:glibc.cpu.x86_rep_stosb_threshold=2000000000

program=$(cargo bench --bench linear --no-run --message-format=json |
  sed -n '/"name":"linear"/s/.*"executable":"\([^"]*\)".*/\1/p')
[[ -x $program ]] || die "cargo did not say where the program is"

count() { # CASE COUNT
  local said
  said=$(valgrind --tool=callgrind --callgrind-out-file=/dev/null "$program" --case "$1" --count "$2" 2>&1) ||
    die "$1 failed: $said"
  sed -n 's/.*Collected : //p' <<<"$said"
}

declare -A least
while read -r name number; do
  least[$name]=$number
  names+=("$name")
done < <("$program" --list)
cases=("${@:-${names[@]}}")
for case in "${cases[@]}"; do
  [[ -v least[$case] ]] || die "no case is named $case"
done

# As many at once as there are processors: the counts are the same.
export program
export -f count die
declare -A counted
while read -r case number instructions; do
  counted[$case.$number]=$instructions
done < <(
  for case in "${cases[@]}"; do
    number=${least[$case]}
    printf '%s %d\n' "$case" 0 "$case" "$number" "$case" $((10 * number))
  done | xargs --max-procs="$(nproc)" --max-lines=1 bash -c 'counted=$(count "$@") && echo "$@" "$counted"' count
)

passed=0 failed=0
printf '%-32s %9s %14s %14s %7s\n' case count 'instructions' 'for ten times' ratio
for case in "${cases[@]}"; do
  number=${least[$case]}
  for count in 0 "$number" $((10 * number)); do
    [[ -v counted[$case.$count] ]] || die "$case was not counted"
  done
  start=${counted[$case.0]}
  few=$((counted[$case.$number] - start))
  many=$((counted[$case.$((10 * number))] - start))
  if ((1000 * many > most_ratio * few)); then
    verdict=OVER failed=$((failed + 1))
  elif ((1000 * many < least_ratio * few)); then
    verdict=UNDER failed=$((failed + 1))
  else
    verdict=ok passed=$((passed + 1))
  fi
  ratio=$((100 * many / few))
  printf '%-32s %9d %14d %14d %4d.%02d  %s\n' "$case" "$number" "$few" "$many" $((ratio / 100)) $((ratio % 100)) "$verdict"
done
echo "$passed checks passed, $failed failed"
((failed == 0))
