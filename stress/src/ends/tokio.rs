//! An end over the tokio shim.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sansock::tokio::{Error, Reader, WebSocket, Writer};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::{Ended, Outcome};
use crate::log::{Digest, Heard, Kind, Said};
use crate::plan::{End, Style};
use crate::script::{How, Step, digest};

type Socket = WebSocket<TcpStream>;

/// Plays its part on the socket to the end.
pub async fn play(socket: Result<Socket, Error>, end: &End) -> Outcome {
    let mut outcome = Outcome::new();
    match socket {
        Err(error) => outcome.result = Err(error),
        Ok(socket) if end.style == Style::Split => split(socket, end, &mut outcome).await,
        Ok(mut socket) => {
            outcome.result = match end.style {
                Style::EchoRelay => relay(&mut socket, &mut outcome).await,
                Style::EchoMessages => echo(&mut socket, &mut outcome).await,
                _ => whole(&mut socket, end, &mut outcome).await,
            };
            outcome.said.surely = outcome.said.all.len();
            if outcome.result.is_err() {
                outcome.report = socket.closed();
                // An echo that could not answer may have more to hear.
                outcome.sticks = end.echoes() || !matches!(socket.next().await, Ok(Some(_)));
            }
        }
    }
    outcome.ended = std::time::Instant::now();
    outcome
}

async fn relay(socket: &mut Socket, outcome: &mut Outcome) -> Ended {
    while socket.ready().await? {
        // An error is for `ready` to report.
        while let Ok(Some((event, send))) = socket.connection_mut().poll_with_send() {
            let is_whole = outcome.heard.note(&event);
            send.relay(event)?;
            if is_whole {
                outcome.said.all.extend(outcome.heard.all.last());
            }
        }
    }
    Ok(socket.closed())
}

async fn echo(socket: &mut Socket, outcome: &mut Outcome) -> Ended {
    while let Some(message) = socket.recv().await? {
        let (kind, payload) = digest(&message);
        let digest = Digest::new(kind, &payload);
        drop(payload);
        outcome.heard.whole(digest);
        outcome.said.all.push(digest);
        socket.send(message).await?;
    }
    Ok(socket.closed())
}

async fn whole(socket: &mut Socket, end: &End, outcome: &mut Outcome) -> Ended {
    let mut rng = StdRng::seed_from_u64(end.seed);
    for step in &end.script {
        if let Err(error) = say(socket, step, &mut rng, &mut outcome.said).await {
            outcome.silenced = Some(error);
            break;
        }
        // Calls that are given up lose nothing.
        let moment = Duration::from_millis(rng.random_range(0..3));
        while let Ok(event) = timeout(moment, socket.next()).await {
            let Some(event) = event? else { return Ok(socket.closed()) };
            outcome.heard.note(&event);
            if rng.random_bool(0.5) {
                break;
            }
        }
    }
    if let Some(closing) = &end.closing {
        while outcome.heard.messages < closing.after {
            let Some(event) = socket.next().await? else { return Ok(socket.closed()) };
            outcome.heard.note(&event);
        }
        if closing.is_last_word {
            return socket.close(closing.code, &closing.reason).await.map(Some);
        }
        // If the peer was first, so be it.
        let _ = socket.connection_mut().close(closing.code, &closing.reason);
    }
    while let Some(event) = socket.next().await? {
        outcome.heard.note(&event);
    }
    Ok(socket.closed())
}

async fn say(socket: &mut Socket, step: &Step, rng: &mut StdRng, said: &mut Said) -> Result<(), Error> {
    let moment = Duration::from_millis(rng.random_range(0..4));
    let words = match step {
        Step::Pause(time) => {
            sleep(*time).await;
            return Ok(());
        }
        Step::Ping(payload) => {
            socket.connection_mut().ping(payload)?;
            said.note(Kind::Ping, payload);
            // A flush that was given up goes on with the next call.
            return timeout(moment, socket.flush()).await.unwrap_or(Ok(()));
        }
        Step::Message(words) => words,
    };
    match words.how {
        How::Send => {
            let message = words.message();
            let (kind, payload) = digest(&message);
            let sent = timeout(moment, socket.send(message)).await.unwrap_or(Ok(()));
            if !matches!(sent, Err(Error::Send(_))) {
                said.note(kind, &payload);
            }
            sent
        }
        How::Feed => {
            let message = words.message();
            let (kind, payload) = digest(&message);
            socket.feed(message).await?;
            said.note(kind, &payload);
            Ok(())
        }
        _ => Ok(words.queue(socket.connection_mut().halves().1, said)?),
    }
}

async fn split(socket: Socket, end: &End, outcome: &mut Outcome) {
    let (mut reader, writer) = socket.split();
    let (progress, heard) = watch::channel(0);
    let talker = Talker { writer, heard, said: Said::default(), end: end.clone() };
    let talking = tokio::spawn(talker.talk());
    outcome.result = listen(&mut reader, &mut outcome.heard, &progress).await;
    if outcome.result.is_err() {
        outcome.report = reader.closed();
        outcome.sticks = !matches!(reader.next().await, Ok(Some(_)));
    }
    drop(progress);
    (outcome.said, outcome.silenced) = talking.await.expect("the talker panicked");
}

async fn listen(
    reader: &mut Reader<OwnedReadHalf, OwnedWriteHalf>,
    heard: &mut Heard,
    progress: &watch::Sender<usize>,
) -> Ended {
    while let Some(event) = reader.next().await? {
        if heard.note(&event) {
            progress.send_replace(heard.messages);
        }
    }
    Ok(reader.closed())
}

struct Talker {
    writer: Writer<OwnedWriteHalf>,
    heard: watch::Receiver<usize>,
    said: Said,
    end: End,
}

impl Talker {
    async fn talk(mut self) -> (Said, Option<Error>) {
        let silenced = self.try_talk().await.err();
        (self.said, silenced)
    }

    async fn try_talk(&mut self) -> Result<(), Error> {
        let mut rng = StdRng::seed_from_u64(self.end.seed);
        for step in std::mem::take(&mut self.end.script) {
            self.say(&step, &mut rng).await?;
        }
        self.flush().await?;
        if let Some(closing) = &self.end.closing {
            // If the reader has ended, there is nobody to close with, which the call says.
            let _ = self.heard.wait_for(|heard| *heard >= closing.after).await;
            self.writer.close(closing.code, &closing.reason).await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Error> {
        self.writer.flush().await?;
        self.said.surely = self.said.all.len();
        Ok(())
    }

    async fn say(&mut self, step: &Step, rng: &mut StdRng) -> Result<(), Error> {
        let moment = Duration::from_millis(rng.random_range(0..4));
        let words = match step {
            Step::Pause(time) => {
                sleep(*time).await;
                return Ok(());
            }
            Step::Ping(payload) => {
                self.writer.half().ping(payload)?;
                self.said.note(Kind::Ping, payload);
                return self.flush().await;
            }
            Step::Message(words) => words,
        };
        match words.how {
            How::Send => {
                let message = words.message();
                let (kind, payload) = digest(&message);
                let sent = timeout(moment, self.writer.send(message)).await;
                if !matches!(sent, Ok(Err(Error::Send(_)))) {
                    self.said.note(kind, &payload);
                }
                match sent {
                    Ok(sent) => {
                        sent?;
                        self.said.surely = self.said.all.len();
                    }
                    // Given up: nothing is lost.
                    Err(_) if rng.random_bool(0.5) => self.flush().await?,
                    Err(_) => {}
                }
            }
            How::Feed => {
                let message = words.message();
                let (kind, payload) = digest(&message);
                self.writer.feed(message).await?;
                self.said.note(kind, &payload);
            }
            _ => {
                words.queue(self.writer.half(), &mut self.said)?;
                if rng.random_bool(0.5) {
                    self.flush().await?;
                }
            }
        }
        Ok(())
    }
}
