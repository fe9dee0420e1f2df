//! One file per library.

pub mod fastwebsockets;
pub mod floor;
pub mod ratchet;
pub mod raw;
pub mod sansock;
pub mod sockudo;
pub mod sockudo_proto;
pub mod soketto;
pub mod tokio_tungstenite;
pub mod tokio_websockets;
pub mod tungstenite;
pub mod web_socket;
pub mod websocket_sans_io;
pub mod wtx;
pub mod yawc;
