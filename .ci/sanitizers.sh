#!/usr/bin/env bash
# The tests under the compiler's sanitizers: .ci/sanitizers.sh [address|thread...], `address` if nothing is said.
#
# `address` is AddressSanitizer with LeakSanitizer, `thread` is ThreadSanitizer. They need a nightly toolchain, and
# `thread` a standard library that is built with it, too: it has to see what the locks do, or takes all that they guard
# for races. The source of the library comes with the toolchain (rustup component add rust-src), or else, with a
# compiler of its own age, from Debian. Tests of allocations have allocators of their own, and run, too. Left out is
# what measures the memory of a process, to which the sanitizers add, and of `thread` what has none or takes hours.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

cargo +nightly --version >/dev/null 2>&1 || {
  echo "sanitizers.sh needs a nightly compiler: rustup toolchain install nightly --profile minimal" >&2
  exit 2
}

# Debian's compiler and the source of its standard library. It has no runtime of the sanitizer: the toolchain's does.
debian_compiler() {
  local runtime
  if [[ ! -d /usr/lib/rustlib/src/rust/library ]]; then
    if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
      echo "sanitizers.sh thread needs the standard library's source: rustup component add rust-src --toolchain nightly," \
        "or on Debian, as root: apt-get install rustc-web rust-web-src" >&2
      exit 2
    fi
    apt-get update -q
    DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-remove --no-install-recommends rustc-web rust-web-src
  fi
  runtime=$(rustc +nightly --print sysroot)/lib/rustlib/$target/lib/librustc-nightly_rt.tsan.a
  export RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1
  RUSTFLAGS+=" -Zexternal-clangrt -Zpre-link-arg=-Wl,--whole-archive,$runtime,--no-whole-archive"
}

# What tests leak because nothing else is what they show.
export LSAN_OPTIONS=suppressions=$PWD/.ci/lsan.txt
# And what no sanitizer can see to be in order.
export TSAN_OPTIONS=suppressions=$PWD/.ci/tsan.txt
target=$(rustc -vV | sed -n 's/^host: //p')
(($# > 0)) || set -- address

# Its variables are its own: it runs in a process of its own.
run() {
  local sanitizer=$1 build_std=() tests=(--tests) test
  export CARGO_TARGET_DIR=${SANITIZER_TARGET_DIR:-target}/sanitize-$sanitizer RUSTFLAGS=-Zsanitizer=$sanitizer
  case $sanitizer in
    address) ;;
    thread)
      build_std=(-Zbuild-std)
      [[ -d $(rustc +nightly --print sysroot)/lib/rustlib/src/rust/library ]] || debian_compiler
      tests=(--lib)
      for test in '*blocking_*' '*shim*' '*_schedules' 'tokio_*' hostile deflate_interop; do
        tests+=(--test "$test")
      done
      ;;
    *)
      echo "usage: .ci/sanitizers.sh [address|thread...]" >&2
      exit 2
      ;;
  esac
  printf '\n== %s sanitizer\n' "$sanitizer"
  cargo +nightly build "${build_std[@]}" --target "$target" --all-features --examples
  cargo +nightly test "${build_std[@]}" --target "$target" --all-features "${tests[@]}" -- \
    --skip streaming_holds_only_a_small_part
}

for sanitizer; do
  (run "$sanitizer")
done
