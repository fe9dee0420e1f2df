//! Items 76 to 80, 86 to 89 and rule D: resources and the application. Where it is counted in bytes, that is in
//! `tests/hostile_resources_memory.rs`; item 85 has processes to itself, in `tests/hostile_allocation.rs`.

mod panics;
