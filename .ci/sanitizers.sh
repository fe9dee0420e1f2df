#!/usr/bin/env bash
# The tests under the compiler's sanitizers: .ci/sanitizers.sh [address|thread...], `address` if nothing is said.
#
# `address` is AddressSanitizer with LeakSanitizer, `thread` is ThreadSanitizer. They need a nightly compiler, and
# `thread` its source, too: it has to see what the locks of the standard library do, or takes all that they guard for
# races. Tests of allocations have allocators of their own, and run, too. Left out is what measures the memory of a
# process, to which the sanitizers add.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

cargo +nightly --version >/dev/null 2>&1 || {
  echo "sanitizers.sh needs a nightly compiler: rustup toolchain install nightly --profile minimal" >&2
  exit 2
}
# What tests leak because nothing else is what they show.
export LSAN_OPTIONS=suppressions=$PWD/.ci/lsan.txt
target=$(rustc -vV | sed -n 's/^host: //p')
(($# > 0)) || set -- address

for sanitizer; do
  build_std=()
  case $sanitizer in
    address) ;;
    thread)
      build_std=(-Zbuild-std)
      [[ -d $(rustc +nightly --print sysroot)/lib/rustlib/src/rust/library ]] || {
        echo "sanitizers.sh thread needs the standard library's source: rustup component add rust-src --toolchain nightly" >&2
        exit 2
      }
      ;;
    *)
      echo "usage: .ci/sanitizers.sh [address|thread...]" >&2
      exit 2
      ;;
  esac
  printf '\n== %s sanitizer\n' "$sanitizer"
  export CARGO_TARGET_DIR=${SANITIZER_TARGET_DIR:-target}/sanitize-$sanitizer RUSTFLAGS=-Zsanitizer=$sanitizer
  cargo +nightly build "${build_std[@]}" --target "$target" --all-features --examples
  cargo +nightly test "${build_std[@]}" --target "$target" --all-features --tests -- \
    --skip streaming_holds_only_a_small_part
done
