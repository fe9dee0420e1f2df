//! An echo server: `echo PEER ADDRESS`. Without arguments it lists the peers.

mod epoll;
mod threads;

use peers::Res;
use peers::args::Args;
use peers::peers::sansock;
use peers::table::{Server, TOKIO};

/// Those that need no tokio.
const OTHERS: [Server; 3] = [
    Server { name: "raw-epoll", serve: epoll::serve },
    Server { name: "raw-blocking", serve: |addr| threads::serve(addr, threads::echo_bytes) },
    Server { name: "sansock-blocking", serve: |addr| threads::serve(addr, sansock::serve_blocking) },
];

fn main() -> Res {
    let args = Args::new();
    let mut servers = TOKIO.iter().chain(&OTHERS);
    match args.words()[..] {
        [name, addr] => {
            let server = servers.find(|server| server.name == name).ok_or("no such peer")?;
            (server.serve)(addr)
        }
        _ => {
            servers.for_each(|server| println!("{}", server.name));
            Ok(())
        }
    }
}
