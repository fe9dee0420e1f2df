//! Judges a conversation by what both ends have to tell.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use sansock::handshake::HandshakeError;
use sansock::tokio::Error;
use sansock::{CloseReport, Endpoint};

use crate::conversation::{Fate, Record};
use crate::ends::Outcome;
use crate::log::{Digest, Heard, Kind, Said};
use crate::plan::{End, Plan};
use crate::proxy::{Fault, Passage};

/// How long after a fault both ends must be over: all deadlines that are set for such conversations, and much
/// more, for machines that are busy.
const AFTER_FAULT: Duration = Duration::from_secs(30);

/// The promises that were broken: none, if all is well.
pub fn judge(record: &Record) -> Vec<String> {
    let mut broken = Vec::new();
    let mut outcomes = Vec::new();
    for (name, fate) in [("client", &record.client), ("server", &record.server)] {
        match fate {
            Fate::Ended(outcome) => outcomes.push(&**outcome),
            Fate::Panicked => broken.push(format!("the {name} panicked")),
            Fate::Hangs => broken.push(format!("the {name} hangs")),
        }
    }
    let [client, server] = outcomes[..] else { return broken };
    broken.extend(judge_lane("to the server", &record.plan.client, client, &record.plan.server, server));
    broken.extend(judge_lane("to the client", &record.plan.server, server, &record.plan.client, client));
    for (name, outcome, other) in [("client", client, server), ("server", server, client)] {
        if let (Ok(Some(own)), Some(other)) = (&outcome.result, report(other))
            && own.clean
            && own.received != other.sent
            && record.plan.fault() != Some(Fault::Flip)
        {
            broken.push(format!("the {name} closed cleanly on what was never said: {own:?}, and {other:?}"));
        }
    }
    let planned = record.plan.fault();
    let fired = record.passage.as_ref().and_then(|passage| passage.fault);
    match (planned, fired) {
        // Deadlines are short there, and may pass before the silence begins.
        (Some(Fault::Silence), None) => {
            for (name, outcome) in [("client", client), ("server", server)] {
                broken.extend(judge_fault(name, outcome, Fault::Silence, None, true));
            }
        }
        (_, None) => broken.extend(judge_peace(&record.plan, client, server, record.passage.as_ref())),
        (_, Some((fault, at))) => {
            let is_to_server = record.plan.proxy.as_ref().is_some_and(|[there, _]| there.fault.is_some());
            broken.extend(judge_fault("client", client, fault, Some(at), !is_to_server));
            broken.extend(judge_fault("server", server, fault, Some(at), is_to_server));
        }
    }
    broken
}

fn report(outcome: &Outcome) -> Option<CloseReport> {
    outcome.result.as_ref().map_or(outcome.report, |report| *report)
}

/// What one end heard must be what the other one said, from the first message on; and if the close report is
/// clean, all of it.
fn judge_lane(lane: &str, talker: &End, from: &Outcome, listener: &End, to: &Outcome) -> Vec<String> {
    let mut broken = Vec::new();
    let is_clean = matches!(to.result, Ok(Some(report)) if report.clean);
    let hears_pings = listener.hears_pings();
    broken.extend(
        judge_words(&from.said, &to.heard, hears_pings, is_clean).map(|why| format!("{lane}: {why}")),
    );
    if !is_subsequence(&from.heard.pongs, &from.said) {
        broken.push(format!("{lane}: pongs without a ping, or in another order"));
    }
    if talker.echoes() && from.heard.messages > from.said.all.len() && is_ended_well(from) {
        broken.push(format!("{lane}: an echo has kept something for itself"));
    }
    broken
}

fn is_ended_well(outcome: &Outcome) -> bool {
    outcome.result.is_ok() && outcome.silenced.is_none()
}

fn judge_words(said: &Said, heard: &Heard, hears_pings: bool, is_clean: bool) -> Option<String> {
    let can_be_heard = |digest: &&Digest| hears_pings || digest.kind != Kind::Ping;
    let all: Vec<_> = said.all.iter().filter(can_be_heard).copied().collect();
    let surely = said.all.iter().take(said.surely).filter(can_be_heard).count();
    if heard.is_mixed_up {
        return Some("parts of two messages are mixed up".into());
    }
    if !all.starts_with(&heard.all) {
        let at = all.iter().zip(&heard.all).take_while(|(said, heard)| said == heard).count();
        return Some(format!(
            "message {at} of {} is not what was said: {:?} and not {:?}",
            all.len(),
            heard.all.get(at),
            all.get(at)
        ));
    }
    if is_clean && heard.all.len() < surely {
        return Some(format!("closed cleanly after {} of {surely} messages", heard.all.len()));
    }
    None
}

/// Older pongs may be left out, but no other ones may come.
fn is_subsequence(pongs: &[Digest], said: &Said) -> bool {
    let mut pings = said.all.iter().filter(|digest| digest.kind == Kind::Ping);
    pongs.iter().all(|pong| pings.any(|ping| (ping.len, ping.hash) == (pong.len, pong.hash)))
}

/// Where nothing was done to the streams, both ends must close cleanly and tell the same story.
fn judge_peace(plan: &Plan, client: &Outcome, server: &Outcome, passage: Option<&Passage>) -> Vec<String> {
    let mut broken = Vec::new();
    if let Some(error) = passage.and_then(|passage| passage.failed.as_ref()) {
        broken.push(format!("without a fault, the streams do not end in peace: {error}"));
    }
    for (name, outcome) in [("client", client), ("server", server)] {
        if let Some(error) = outcome.silenced.as_ref().filter(|error| !is_closed(error)) {
            broken.push(format!("without a fault, the {name} was silenced: {error}"));
        }
    }
    match (&client.result, &server.result) {
        (Ok(Some(of_client)), Ok(Some(of_server))) => {
            broken.extend(judge_reports(plan, of_client, of_server));
        }
        (client, server) => {
            broken.push(format!(
                "without a fault, the client ends with {client:?}, the server with {server:?}"
            ));
        }
    }
    broken
}

fn judge_reports(plan: &Plan, client: &CloseReport, server: &CloseReport) -> Option<String> {
    let story = || format!("the client says {client:?}, the server {server:?}");
    if !client.clean || !server.clean {
        return Some(format!("not closed cleanly: {}", story()));
    }
    if client.received != server.sent || server.received != client.sent {
        return Some(format!("the reports do not agree: {}", story()));
    }
    let began = match (&plan.client.closing, &plan.server.closing) {
        (Some(_), None) => (client.began, server.began) == (Endpoint::Local, Endpoint::Peer),
        (None, Some(_)) => (client.began, server.began) == (Endpoint::Peer, Endpoint::Local),
        _ => (client.began, server.began) != (Endpoint::Peer, Endpoint::Peer),
    };
    (!began).then(|| format!("nobody agrees on who began: {}", story()))
}

/// After a fault, both ends must be over soon, with an error that blames the transport, or cleanly, if the
/// closing handshake was faster.
fn judge_fault(
    name: &str,
    outcome: &Outcome,
    fault: Fault,
    at: Option<Instant>,
    hears_fault: bool,
) -> Vec<String> {
    let mut broken = Vec::new();
    let is_right = |error: &Error| match fault {
        Fault::Reset => is_cut_off(error) || is_end(error),
        // The stream has ended for this one, and nothing else has happened to it.
        Fault::HalfClose if hears_fault => is_end(error),
        Fault::HalfClose => is_cut_off(error) || is_end(error),
        Fault::Silence => is_cut_off(error) || is_end(error) || is_late(error),
        Fault::Flip => true,
    };
    match &outcome.result {
        // Both have said their last word, also where that was a Close frame without a code.
        Ok(Some(report)) if report.clean && report.received.is_some() && report.sent.is_some() => {}
        // After its own Close frame, an end that gets no answer is told so by the report alone.
        Ok(Some(report)) if report.began == Endpoint::Local && report.received.is_none() => {}
        Ok(report) => {
            broken.push(format!("after {fault:?}, the {name} ends without an error, with {report:?}"))
        }
        Err(error) if is_right(error) => {}
        Err(error) => broken.push(format!("after {fault:?}, the {name} blames the wrong one: {error:?}")),
    }
    if let Some(error) = outcome.silenced.as_ref().filter(|error| !is_right(error) && !is_closed(error)) {
        broken.push(format!("after {fault:?}, what silences the {name} is {error:?}"));
    }
    if outcome.result.is_err() {
        if outcome.report.is_some_and(|report| report.clean) {
            broken.push(format!("after an error, the {name} reports a clean end"));
        }
        if !outcome.sticks {
            broken.push(format!("after an error, the {name} goes on"));
        }
    }
    if at.is_some_and(|at| outcome.ended.saturating_duration_since(at) > AFTER_FAULT) {
        broken.push(format!("the {name} notices {fault:?} too late"));
    }
    broken
}

fn is_closed(error: &Error) -> bool {
    matches!(error, Error::Send(sansock::SendError::Closed))
}

fn is_end(error: &Error) -> bool {
    matches!(
        error,
        Error::Connection(sansock::Error::UnexpectedEof) | Error::Handshake(HandshakeError::UnexpectedEof)
    )
}

fn is_cut_off(error: &Error) -> bool {
    let kinds = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe, ErrorKind::ConnectionAborted];
    matches!(error, Error::Io(error) if kinds.contains(&error.kind()))
}

fn is_late(error: &Error) -> bool {
    match error {
        Error::Connection(sansock::Error::TimedOut(_)) | Error::Handshake(HandshakeError::TimedOut) => true,
        // The server's deadline was the first to pass.
        Error::Refused(refused) => refused.status() == 408,
        _ => false,
    }
}
