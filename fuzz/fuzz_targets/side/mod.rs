//! One endpoint: its machine, whole or in halves, and what it must say by the model.

mod checking;
mod receiving;
mod sending;

use sansock::{
    CloseCode, CloseFrame, Config, Connection, Delivery, Endpoint, Error, Message, ReceiveHalf, SendHalf,
    Spare, Timer, Timestamp,
};

pub use self::receiving::{Seen, Taking};
pub use self::sending::Giving;
use crate::deadlines::Deadlines;
use crate::sent::{Last, Sent};
use crate::tally::tallied;

pub enum Machine {
    Whole(Connection),
    /// The third is a fork of the second, if there is one: it is what writes, and answers.
    Apart(ReceiveHalf, SendHalf, Option<SendHalf>),
    Moved,
}

impl Machine {
    pub fn receive(&mut self) -> &mut ReceiveHalf {
        match self {
            Machine::Whole(connection) => connection.halves().0,
            Machine::Apart(receive, ..) => receive,
            Machine::Moved => unreachable!("it was put back"),
        }
    }

    /// The half that is given commands.
    pub fn send(&mut self) -> &mut SendHalf {
        match self {
            Machine::Whole(connection) => connection.halves().1,
            Machine::Apart(_, send, _) => send,
            Machine::Moved => unreachable!("it was put back"),
        }
    }

    /// The half that writes.
    pub fn wire(&mut self) -> &mut SendHalf {
        match self {
            Machine::Apart(_, _, Some(wire)) => wire,
            machine => machine.send(),
        }
    }

    fn is_forked(&self) -> bool {
        matches!(self, Machine::Apart(_, _, Some(_)))
    }
}

/// How the conversation ended for the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Closed(Option<CloseFrame>),
    HungUp,
    Failed(Error),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    Eof,
    TimedOut(Timer),
}

pub struct Side {
    pub machine: Machine,
    pub sent: Sent,
    deadlines: Deadlines,
    is_client: bool,
    is_in_chunks: bool,
    idle_close: CloseCode,
    high_water: usize,
    /// Messages that were taken out.
    pub kept: Vec<Message>,
    /// How many bytes it was given.
    received: u64,
    /// Where in the stream the last item ends that was seen, and how much of the next message was.
    seen: u64,
    passed: usize,
    cut: Option<Cut>,
    end: Option<End>,
    began: Option<Endpoint>,
    /// What the receiving half said first of the end, for the sending half.
    order: Option<Last>,
    /// The receiving half was told that a Close frame was sent.
    knows_of_close: bool,
}

impl Side {
    pub fn new(is_client: bool, config: &Config, connection: Connection, now: Timestamp) -> Self {
        Side {
            sent: Sent::new(is_client, connection.deflate().is_some()),
            machine: Machine::Whole(connection),
            deadlines: Deadlines::new(config, now),
            is_client,
            is_in_chunks: config.delivery == Delivery::Chunks,
            idle_close: config.idle_close,
            high_water: config.output_high_water,
            kept: Vec::new(),
            received: 0,
            seen: 0,
            passed: 0,
            cut: None,
            end: None,
            began: None,
            order: None,
            knows_of_close: false,
        }
    }

    pub fn is_cut_off(&self) -> bool {
        self.cut == Some(Cut::Eof)
    }

    pub fn is_ended(&self) -> bool {
        self.end.is_some()
    }

    pub fn has_failed(&self) -> bool {
        matches!(self.end, Some(End::Failed(_) | End::HungUp))
    }

    /// How many bytes were received of what was not seen. Control frames may have been seen within a message.
    pub fn unfinished(&self, peer: &Sent) -> u64 {
        let open = peer.open_from(self.received).filter(|_| !self.is_in_chunks);
        if self.end.is_some() { 0 } else { self.received - self.seen.min(open.unwrap_or(self.seen)) }
    }

    pub fn deadline(&self) -> Option<u64> {
        self.deadlines.next()
    }

    /// Splits it, if it is whole; if it is not, has a fork write from there on.
    pub fn split(&mut self, forks: bool) {
        let machine = std::mem::replace(&mut self.machine, Machine::Moved);
        self.machine = tallied(|| match machine {
            Machine::Whole(connection) => {
                let (receive, send) = connection.split();
                Machine::Apart(receive, send, None)
            }
            Machine::Apart(receive, mut send, None) if forks => {
                let mut wire = send.fork();
                assert_eq!(wire.append(&mut send), Ok(()));
                assert_eq!(wire.is_closed(), send.is_closed());
                self.sent.hand_over(false);
                Machine::Apart(receive, send, Some(wire))
            }
            machine => machine,
        });
    }

    /// Hands over what the sending half has queued, where there is a fork.
    pub fn append(&mut self) {
        let Machine::Apart(_, send, Some(wire)) = &mut self.machine else { return };
        let (was_closed, waits) = (wire.is_closed(), send.buffered() > 0);
        let result = tallied(|| wire.append(send));
        assert_eq!(send.buffered(), 0);
        assert_eq!(result.is_err(), was_closed && waits);
        self.sent.hand_over(result.is_err());
        if !was_closed && wire.is_closed() {
            let frame = self.sent.close_of_fork.take().expect("a Close frame for no reason");
            self.sent.last = Some(Last::Close(Some(frame)));
        }
    }

    /// Carries what the halves tell each other.
    pub fn carry(&mut self) {
        if let Machine::Apart(receive, send, wire) = &mut self.machine {
            let wire = wire.as_mut().unwrap_or(send);
            tallied(|| {
                while let Some(control) = receive.poll_control() {
                    wire.handle_control(control);
                }
            });
            assert!(!receive.has_control());
            // What the receiving half has ended, the sending half does not go on with.
            assert!(self.order.is_none() || wire.is_closed());
        }
        self.settle();
        if self.sent.last.is_some() {
            self.tell_of_close();
        }
    }

    fn tell_of_close(&mut self) {
        tallied(|| self.machine.receive().handle_close_sent());
        self.knows_of_close = true;
        self.began.get_or_insert(Endpoint::Local);
        self.deadlines.closing_begins();
    }

    /// Learns from the machine that it sends nothing more, which must be for a reason.
    pub fn settle(&mut self) {
        if self.machine.wire().is_closed() && self.sent.last.is_none() {
            self.sent.last = Some(self.order.expect("a Close frame for no reason"));
        }
        let is_whole = matches!(self.machine, Machine::Whole(_));
        if is_whole && self.sent.last.is_some() && !self.knows_of_close {
            self.tell_of_close();
        }
    }

    pub fn borrow_buffers(&mut self, spare: &mut Spare) {
        tallied(|| match &mut self.machine {
            Machine::Whole(connection) => connection.borrow_buffers(spare),
            machine => {
                machine.receive().borrow_buffer(spare);
                machine.send().borrow_buffer(spare);
                machine.wire().borrow_buffer(spare);
            }
        });
    }

    /// Gives back what is not needed, to others or to the allocator.
    pub fn rest(&mut self, spare: Option<&mut Spare>) {
        tallied(|| match (&mut self.machine, spare) {
            (Machine::Whole(connection), None) => connection.handle_would_block(),
            (Machine::Whole(connection), Some(spare)) => connection.return_buffers(spare),
            (machine, None) => {
                machine.receive().handle_would_block();
                machine.send().handle_would_block();
                machine.wire().handle_would_block();
            }
            (machine, Some(spare)) => {
                machine.receive().return_buffer(spare);
                machine.send().return_buffer(spare);
                machine.wire().return_buffer(spare);
            }
        });
    }

    /// How many bytes wait to be written, for each sending half where any do.
    pub fn waiting(&mut self) -> impl Iterator<Item = usize> {
        let halves = match &mut self.machine {
            Machine::Apart(_, send, Some(wire)) => [send.buffered(), wire.buffered()],
            machine => [machine.send().buffered(), 0],
        };
        halves.into_iter().filter(|&waits| waits > 0)
    }
}
