//! A proxy's process, from its start to its end.
#![allow(unreachable_pub, clippy::panic, clippy::unwrap_used, reason = "tests")]

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, fs};

/// Nothing here takes long: this only ends a test that hangs, as behind a tunnel that stays open.
pub const LIMIT: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proxy {
    Nginx,
    Haproxy,
    Varnish,
}

/// A proxy before a server. It does not outlive its test.
pub struct Running {
    child: Child,
    /// What it says: nothing any more once all of its processes have ended.
    lines: mpsc::Receiver<String>,
    home: PathBuf,
    port: u16,
}

impl Proxy {
    /// Starts it before the server at this port. `None`, and a word about it, where the program is missing.
    pub fn start(self, backend: u16) -> Option<Running> {
        let program = self.program()?;
        // The port is the system's choice, but it is free for a moment before the proxy takes it.
        (0..5).find_map(|_| self.try_start(&program, backend)).or_else(|| panic!("{self:?} does not start"))
    }

    fn program(self) -> Option<PathBuf> {
        let name = match self {
            Proxy::Nginx => "nginx",
            Proxy::Haproxy => "haproxy",
            Proxy::Varnish => "varnishd",
        };
        // Debian keeps servers where only root looks.
        let path = env::var_os("PATH").unwrap_or_default();
        let found =
            env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]).map(|directory| directory.join(name));
        let found = found.into_iter().find(|program| program.is_file());
        if found.is_none() {
            let is_required = env::var_os("SANSOCK_PROXIES").is_some_and(|value| value == "require");
            assert!(!is_required, "{name} is missing: tests/proxies/install.sh brings it");
            // Not by `eprintln!`, which nobody sees of a test that passes.
            let _ = writeln!(io::stderr(), "SKIPPED: tests behind {name}, which is missing");
        }
        found
    }

    fn try_start(self, program: &Path, backend: u16) -> Option<Running> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let home =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("proxy-{}-{port}", std::process::id()));
        fs::create_dir_all(&home).unwrap();
        let mut command = self.command(program, &home, port, backend);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = forward(child.stderr.take().unwrap());
        let running = Running { child, lines, home, port };
        running.listens().then_some(running)
    }

    fn command(self, program: &Path, home: &Path, port: u16, backend: u16) -> Command {
        let (name, template) = match self {
            Proxy::Nginx => ("nginx.conf", include_str!("nginx.conf")),
            Proxy::Haproxy => ("haproxy.cfg", include_str!("haproxy.cfg")),
            Proxy::Varnish => ("varnish.vcl", include_str!("varnish.vcl")),
        };
        let text = template
            .replace("@HOME@", home.to_str().unwrap())
            .replace("@LISTEN@", &port.to_string())
            .replace("@BACKEND@", &backend.to_string());
        let file = home.join(name);
        fs::write(&file, text).unwrap();
        let mut command = Command::new(program);
        match self {
            Proxy::Nginx => command.arg("-e").arg("stderr").arg("-p").arg(home).arg("-c").arg(file),
            Proxy::Haproxy => command.arg("-db").arg("-f").arg(file),
            Proxy::Varnish => {
                command.args(["-F", "-j", "none", "-s", "default,16m", "-p", "vsl_space=1m"]);
                // Longer than the test waits: what ends earlier was ended by the server.
                command.args(["-p", "pipe_timeout=300"]);
                command.arg("-a").arg(format!("127.0.0.1:{port}")).arg("-n").arg(home.join("varnish"));
                command.arg("-f").arg(file)
            }
        };
        command
    }
}

impl Running {
    pub fn connect(&self) -> TcpStream {
        let client = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        client.set_read_timeout(Some(LIMIT)).unwrap();
        client.set_write_timeout(Some(LIMIT)).unwrap();
        client
    }

    pub fn url(&self) -> String {
        format!("ws://127.0.0.1:{}/", self.port)
    }

    /// Waits until it takes connections; false if it ends before that.
    fn listens(&self) -> bool {
        let started = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            assert!(started.elapsed() < LIMIT, "it does not listen");
            // Not all of them say when they do.
            if self.lines.recv_timeout(Duration::from_millis(20)) == Err(RecvTimeoutError::Disconnected) {
                return false;
            }
        }
        true
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Varnish has a second process, which its first one ends when it is told to end.
        let terminate = format!("kill -TERM {}", self.child.id());
        let _ = Command::new("sh").args(["-c", &terminate]).stderr(Stdio::null()).status();
        let started = Instant::now();
        while started.elapsed() < LIMIT && self.lines.recv_timeout(LIMIT).is_ok() {}
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.home);
    }
}

/// The lines of a pipe, until all who could write to it have ended.
fn forward(pipe: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            // Nobody may listen any more, but a full pipe would hold the proxy up.
            let _ = sender.send(line);
        }
    });
    lines
}
