//! An end over the blocking shim.

use std::net::TcpStream;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sansock::Event;
use sansock::blocking::{Error, Reader, WebSocket, Writer};

use super::{Ended, Outcome, is_would_block};
use crate::log::{Digest, Heard, Kind, Said};
use crate::plan::{End, Style};
use crate::script::{How, Step, digest};

type Socket = WebSocket<TcpStream>;

/// How long an end that talks and listens by turns waits for a write: it must not stop listening.
pub const WRITE_SLICE: Duration = Duration::from_millis(3);

/// Plays its part on the socket to the end.
pub fn play(socket: Result<Socket, Error>, end: &End) -> Outcome {
    let mut outcome = Outcome::new();
    match socket {
        Err(error) => outcome.result = Err(error),
        Ok(socket) if end.style == Style::Split => split(socket, end, &mut outcome),
        Ok(mut socket) => {
            outcome.result = match end.style {
                Style::EchoRelay => relay(&mut socket, &mut outcome),
                Style::EchoMessages => echo(&mut socket, &mut outcome),
                _ => whole(&mut socket, end, &mut outcome),
            };
            outcome.said.surely = outcome.said.all.len();
            if outcome.result.is_err() {
                outcome.report = socket.closed();
                // An echo that could not answer may have more to hear.
                outcome.sticks = end.echoes() || !matches!(socket.next(), Ok(Some(_)));
            }
        }
    }
    outcome.ended = std::time::Instant::now();
    outcome
}

fn relay(socket: &mut Socket, outcome: &mut Outcome) -> Ended {
    while socket.ready()? {
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

fn echo(socket: &mut Socket, outcome: &mut Outcome) -> Ended {
    while let Some(message) = socket.recv()? {
        let (kind, payload) = digest(&message);
        let digest = Digest::new(kind, &payload);
        drop(payload);
        outcome.heard.whole(digest);
        outcome.said.all.push(digest);
        socket.send(message)?;
    }
    Ok(socket.closed())
}

fn whole(socket: &mut Socket, end: &End, outcome: &mut Outcome) -> Ended {
    let mut rng = StdRng::seed_from_u64(end.seed);
    for step in &end.script {
        if let Err(error) = say(socket, step, &mut outcome.said) {
            outcome.silenced = Some(error);
            break;
        }
        socket.set_timeout(Some(Duration::from_millis(rng.random_range(1..4))))?;
        loop {
            match socket.next() {
                Ok(Some(event)) => outcome.heard.note(&event),
                Ok(None) => return Ok(socket.closed()),
                Err(error) if is_would_block(&error) => break,
                Err(error) => return Err(error),
            };
            if rng.random_bool(0.5) {
                break;
            }
        }
    }
    socket.set_timeout(None)?;
    if let Some(closing) = &end.closing {
        while outcome.heard.messages < closing.after {
            if !hear(socket, &mut outcome.heard)? {
                return Ok(socket.closed());
            }
        }
        if closing.is_last_word {
            loop {
                match socket.close(closing.code, &closing.reason) {
                    Err(error) if is_would_block(&error) => {}
                    closed => return closed.map(Some),
                }
            }
        }
        // If the peer was first, so be it.
        let _ = socket.connection_mut().close(closing.code, &closing.reason);
    }
    while hear(socket, &mut outcome.heard)? {}
    Ok(socket.closed())
}

/// Hears one event, however long it takes; false when the conversation is over.
fn hear(socket: &mut Socket, heard: &mut Heard) -> Result<bool, Error> {
    loop {
        match socket.next() {
            Ok(Some(event)) => {
                heard.note(&event);
                return Ok(true);
            }
            Ok(None) => return Ok(false),
            Err(error) if is_would_block(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

fn say(socket: &mut Socket, step: &Step, said: &mut Said) -> Result<(), Error> {
    let words = match step {
        Step::Pause(time) => {
            thread::sleep(*time);
            return Ok(());
        }
        Step::Ping(payload) => {
            let sent = socket.ping(payload);
            if !matches!(sent, Err(Error::Send(_))) {
                said.note(Kind::Ping, payload);
            }
            return later(sent);
        }
        Step::Message(words) => words,
    };
    match words.how {
        How::Send => {
            let message = words.message();
            let (kind, payload) = digest(&message);
            let sent = socket.send(message);
            if !matches!(sent, Err(Error::Send(_))) {
                said.note(kind, &payload);
            }
            later(sent)
        }
        How::Feed => {
            let message = words.message();
            let (kind, payload) = digest(&message);
            socket.feed(message)?;
            said.note(kind, &payload);
            Ok(())
        }
        _ => Ok(words.queue(socket.connection_mut().halves().1, said)?),
    }
}

/// What could not be written now is queued, and leaves with the next call.
fn later(sent: Result<(), Error>) -> Result<(), Error> {
    match sent {
        Err(error) if is_would_block(&error) => Ok(()),
        sent => sent,
    }
}

fn split(socket: Socket, end: &End, outcome: &mut Outcome) {
    let (mut reader, writer) = match socket.split() {
        Ok(halves) => halves,
        Err(error) => return outcome.result = Err(error.into()),
    };
    let (progress, heard) = mpsc::channel();
    let mut talker = Talker { writer, heard, said: Said::default(), end };
    thread::scope(|threads| {
        let talking = threads.spawn(move || {
            let silenced = talker.talk().err();
            (talker.said, silenced)
        });
        outcome.result = listen(&mut reader, &mut outcome.heard, &progress);
        if outcome.result.is_err() {
            outcome.report = reader.closed();
            outcome.sticks = !matches!(reader.next(), Ok(Some(_)));
        }
        drop(progress);
        (outcome.said, outcome.silenced) = talking.join().expect("the talker panicked");
    });
}

fn listen(
    reader: &mut Reader<TcpStream, TcpStream>,
    heard: &mut Heard,
    progress: &mpsc::Sender<()>,
) -> Ended {
    while let Some(event) = reader.next()? {
        let is_data = matches!(event, Event::Text(_) | Event::Binary(_));
        if heard.note(&event) && is_data {
            // The talker may have ended already.
            let _ = progress.send(());
        }
    }
    Ok(reader.closed())
}

struct Talker<'a> {
    writer: Writer<TcpStream>,
    heard: mpsc::Receiver<()>,
    said: Said,
    end: &'a End,
}

impl Talker<'_> {
    fn talk(&mut self) -> Result<(), Error> {
        let mut rng = StdRng::seed_from_u64(self.end.seed);
        for step in &self.end.script {
            self.say(step, &mut rng)?;
        }
        self.flush()?;
        if let Some(closing) = &self.end.closing {
            // If the reader has ended, there is nobody to close with, which the call says.
            let _ = self.heard.iter().take(closing.after).count();
            self.writer.close(closing.code, &closing.reason)?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.writer.flush()?;
        self.said.surely = self.said.all.len();
        Ok(())
    }

    fn say(&mut self, step: &Step, rng: &mut StdRng) -> Result<(), Error> {
        let words = match step {
            Step::Pause(time) => {
                thread::sleep(*time);
                return Ok(());
            }
            Step::Ping(payload) => {
                self.writer.half().ping(payload)?;
                self.said.note(Kind::Ping, payload);
                return self.flush();
            }
            Step::Message(words) => words,
        };
        match words.how {
            How::Send => {
                let message = words.message();
                let (kind, payload) = digest(&message);
                let sent = self.writer.send(message);
                if !matches!(sent, Err(Error::Send(_))) {
                    self.said.note(kind, &payload);
                }
                sent?;
                self.said.surely = self.said.all.len();
            }
            How::Feed => {
                let message = words.message();
                let (kind, payload) = digest(&message);
                self.writer.feed(message)?;
                self.said.note(kind, &payload);
            }
            _ => {
                words.queue(self.writer.half(), &mut self.said)?;
                if rng.random_bool(0.5) {
                    self.flush()?;
                }
            }
        }
        Ok(())
    }
}
