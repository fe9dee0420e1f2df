//! The peers: their processes, and how they get here.
#![allow(unreachable_pub, clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::Duration;

/// Nothing here takes long: this only ends a test that hangs.
pub const LIMIT: Duration = Duration::from_secs(60);

/// A peer's process, which does not outlive its test: it ends with its input.
pub struct Running {
    child: Child,
    input: ChildStdin,
    lines: mpsc::Receiver<String>,
    port: u16,
}

impl Running {
    /// `None` where the peer is not to be had.
    pub fn server(peer: Peer) -> Option<Self> {
        let mut server = Running::start(peer.command()?.arg("server"));
        server.port = server.line().parse().unwrap();
        Some(server)
    }

    /// `None` where the peer is not to be had.
    pub fn client(peer: Peer, port: u16) -> Option<Self> {
        Some(Running::start(peer.command()?.args(["client", &port.to_string()])))
    }

    fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = mpsc::channel();
        let output = child.stdout.take().unwrap();
        thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                let _ = sender.send(line.unwrap());
            }
        });
        Running { input: child.stdin.take().unwrap(), child, lines, port: 0 }
    }

    pub fn url(&self, query: &str) -> String {
        format!("ws://127.0.0.1:{}/?{query}", self.port)
    }

    /// Lets a client connect.
    pub fn call(&mut self, query: &str) {
        writeln!(self.input, "{query}").unwrap();
    }

    /// The next line.
    pub fn line(&self) -> String {
        self.lines.recv_timeout(LIMIT).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An implementation to test with.
#[derive(Clone, Copy, Debug)]
pub enum Peer {
    Websockets,
    Ws,
}

/// Versions are pinned, so that a test that passes today does tomorrow.
pub const WEBSOCKETS: &str = "17.4";
pub const WS: &str = "8.23.0";

impl Peer {
    pub const ALL: [Peer; 2] = [Peer::Websockets, Peer::Ws];

    /// What runs it; `None`, and a word about it, where it is not to be had.
    fn command(self) -> Option<Command> {
        static PACKAGES: [OnceLock<Result<PathBuf, String>>; 2] = [OnceLock::new(), OnceLock::new()];
        let package =
            PACKAGES[self as usize].get_or_init(|| self.install().inspect_err(|reason| self.skip(reason)));
        match package {
            Ok(package) => Some(self.command_with(package)),
            Err(reason) if is_required() => panic!("{reason}"),
            Err(_) => None,
        }
    }

    fn skip(self, reason: &str) {
        if !is_required() {
            let word = format!("SKIPPED: interop tests with {self:?}, because {reason}\n");
            // Not by `eprintln!`, which nobody sees of a test that passes; and at once, as others print too.
            let _ = io::stderr().write_all(word.as_bytes());
        }
    }

    fn command_with(self, package: &Path) -> Command {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop");
        let (program, script, variable, path) = match self {
            Peer::Websockets => ("python3", "peer.py", "PYTHONPATH", package.to_owned()),
            Peer::Ws => ("node", "peer.cjs", "NODE_PATH", package.join("node_modules")),
        };
        let mut command = Command::new(program);
        command.arg(scripts.join(script)).env(variable, path);
        command
    }

    /// Brings the package into a directory under `target`, unless it is there, and says where.
    fn install(self) -> Result<PathBuf, String> {
        let program = if let Peer::Ws = self { "node" } else { "python3" };
        run(Command::new(program).arg("--version"))?;
        let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("interop");
        let name = match self {
            Peer::Websockets => format!("websockets-{WEBSOCKETS}"),
            Peer::Ws => format!("ws-{WS}"),
        };
        let package = home.join(&name);
        if !package.exists() {
            // It appears at once or not at all: another process may do the same right now.
            let unfinished = home.join(format!("{name}.{}", std::process::id()));
            fs::create_dir_all(&unfinished).map_err(|error| error.to_string())?;
            let installed = run(&mut self.installer(&unfinished));
            let renamed = installed.map(|()| fs::rename(&unfinished, &package));
            if !matches!(renamed, Ok(Ok(()))) {
                let _ = fs::remove_dir_all(&unfinished);
            }
            renamed?.or_else(|error| if package.exists() { Ok(()) } else { Err(error.to_string()) })?;
        }
        Ok(package)
    }

    fn installer(self, directory: &Path) -> Command {
        let mut command;
        match self {
            Peer::Websockets => {
                command = Command::new("python3");
                command.args("-m pip install --no-deps --no-input --disable-pip-version-check".split(' '));
                command.args("--retries 1 --timeout 15 --target".split(' ')).arg(directory);
                command.arg(format!("websockets=={WEBSOCKETS}"));
            }
            Peer::Ws => {
                command = Command::new("npm");
                command.args("install --no-save --no-package-lock --ignore-scripts".split(' '));
                command.args("--no-audit --no-fund --loglevel=error --fetch-retries=1".split(' '));
                command.args("--fetch-retry-mintimeout=1000 --fetch-timeout=15000 --prefix".split(' '));
                command.arg(directory).arg(format!("ws@{WS}"));
            }
        }
        command
    }
}

pub fn is_required() -> bool {
    std::env::var_os("SANSOCK_INTEROP").is_some_and(|value| value == "require")
}

/// Runs a command to its end; what went wrong with it otherwise.
pub fn run(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output =
        command.stdin(Stdio::null()).output().map_err(|error| format!("{program} cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program} fails: {}", said.trim()))
}
