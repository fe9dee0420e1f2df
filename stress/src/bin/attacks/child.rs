//! A process that was started from this program, and takes commands by the line.

use std::process::Stdio;

use stress::Res;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{self, ChildStdin, ChildStdout, Command};

pub struct Child {
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
    _process: process::Child,
}

impl Child {
    /// Starts this program in a role. It ends when this value is dropped.
    pub fn start(role: &str) -> Res<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["--role", role])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdin = process.stdin.take().ok_or("no stdin")?;
        let stdout = BufReader::new(process.stdout.take().ok_or("no stdout")?).lines();
        Ok(Child { stdin, stdout, _process: process })
    }

    pub async fn say(&mut self, line: &str) -> Res {
        Ok(self.stdin.write_all(format!("{line}\n").as_bytes()).await?)
    }

    pub async fn line(&mut self) -> Res<String> {
        Ok(self.stdout.next_line().await?.ok_or("a process has ended")?)
    }

    /// Gives a command and waits for its answer.
    pub async fn ask(&mut self, line: &str) -> Res<String> {
        self.say(line).await?;
        self.line().await
    }
}

/// The commands that a process is given.
pub fn commands() -> Lines<BufReader<tokio::io::Stdin>> {
    BufReader::new(tokio::io::stdin()).lines()
}
