//! Has `src/sync.rs` take the models, in this package alone: a flag for all would reach the dependencies.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(loom)");
    println!("cargo::rustc-cfg=loom");
}
