//! What holds at any time.

use sansock::{Error, Timer};

use super::{Cut, End, Machine, Side};
use crate::deadlines::nanos;
use crate::sent::Last;

impl Side {
    pub fn check(&mut self) {
        let (deadline, high_water) = (self.deadlines.next(), self.high_water);
        let is_over = self.deadlines.closing_is_over();
        let overdue = match self.cut {
            Some(Cut::TimedOut(timer)) => Some(Error::TimedOut(timer)),
            _ => is_over.then_some(Error::TimedOut(Timer::Closing)),
        };
        let is_finished = self.is_ended() && (self.is_cut_off() || is_over);
        let ends_transport = match self.end {
            None => false,
            Some(End::Closed(_)) => !self.is_client || self.is_cut_off(),
            Some(End::HungUp | End::Failed(_)) => true,
        };
        let is_cut_off = self.is_cut_off();
        let is_ended = self.is_ended();

        let receive = self.machine.receive();
        assert_eq!(receive.poll_timeout().map(nanos), deadline);
        assert_eq!((receive.is_ended(), receive.is_finished()), (is_ended, is_finished));
        assert_eq!((receive.ends_transport(), receive.is_out_of_time()), (ends_transport, is_over));
        assert_eq!((receive.wants_input(), receive.overdue()), (!is_cut_off, overdue));
        assert!((1..=512 << 10).contains(&receive.read_size()));
        let has_control = receive.has_control();
        let send = self.machine.send();
        assert_eq!(send.is_above_high_water(), send.buffered() > high_water);
        let is_closed = send.is_closed();

        let Machine::Whole(connection) = &self.machine else { return };
        let buffered = connection.buffered();
        let waits = buffered > 0 || has_control;
        assert!(is_closed || !is_ended || has_control, "it goes on behind the end");
        assert_eq!(connection.poll_timeout().map(nanos), deadline);
        assert_eq!(connection.is_ended(), is_ended);
        assert_eq!(connection.is_finished(), is_finished && (!waits || is_over));
        assert_eq!(connection.wants_shutdown(), ends_transport && !waits);
        assert_eq!(connection.wants_input(), !is_cut_off && buffered <= high_water);
        assert_eq!(connection.overdue(), overdue);
        let Some(report) = connection.closed() else { return assert!(!is_ended) };
        let end = self.end.expect("a report before the end");
        assert_eq!(Some(report.began), self.began);
        let (received, is_clean) = match end {
            End::Closed(frame) => (frame, true),
            End::HungUp | End::Failed(_) => (None, false),
        };
        let sent = match self.sent.last {
            Some(Last::Close(frame)) => frame,
            _ => None,
        };
        assert_eq!((report.received, report.clean), (received, is_clean));
        assert_eq!(report.sent, sent);
        let code = received.map_or(if is_clean { 1005 } else { 1006 }, |frame| frame.code().get());
        assert_eq!(report.code(), code);
    }
}
