//! What the programs of this package have in common: a conversation between two ends of our own, a proxy
//! between them that misbehaves, and a judge of what came of it.

pub mod conversation;
mod ends;
pub mod judge;
pub mod log;
pub mod plan;
pub mod proxy;
pub mod resources;
mod script;

pub type Res<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;
