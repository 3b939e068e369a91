//! When a kernel sends again what was lost, as Linux' TCP decides it (`net/ipv4/tcp_timer.c`,
//! `tcp_output.c`, `tcp_recovery.c`; RFC 6298, RFC 8985): an acknowledgement of something later tells
//! of a hole; the end of what was sent is found missing by a tail loss probe, or by a time-out.
//!
//! A sender here knows what became of a packet, and only waits as long as a real one would take to
//! find out. So nothing is sent again that came, and of what is lost in one go all is sent again
//! at once.

use peerlab_link::{Nanos, NodeId, Passage};

use super::node::{Missing, Waiting};
use super::packet::{Body, EndId, HEADER_BYTES, Packet};
use super::shard::{Shard, SimEvent};

/// How long an acknowledgement waits for data to go with (Linux' `TCP_DELACK_MIN`).
pub(super) const DELAYED_ACKNOWLEDGEMENT: Nanos = Nanos::from_millis(40);
/// The least that is added to the smoothed round trip before a time-out (Linux' `TCP_RTO_MIN`, the
/// least that `tcp_rtt_estimator` takes for four variances; jitter keeps ours below it).
const VARIANCE_MIN: Nanos = Nanos::from_millis(200);
/// The longest wait before data are sent again (Linux' `TCP_RTO_MAX`).
const TIMEOUT_MAX: Nanos = Nanos::from_secs(120);
/// Added to a wait in round trips (Linux' `TCP_TIMEOUT_MIN_US`, 2 ms; timers of 250 or 1,000 ticks a
/// second go off some milliseconds late).
const TIMER_EXTRA: Nanos = Nanos::from_millis(6);
/// So many later segments that came tell of a hole without a wait for reordering (`tcp_reordering`).
const DUPLICATES: u32 = 3;

/// What of a train of segments got onto its way.
#[derive(Debug, Default)]
pub(super) struct Train {
    pub segments: u32,
    pub bytes: u32,
    pub wire_bytes: u32,
    /// When the first of them reaches the other's access link.
    pub first: Nanos,
    pub last: Passage,
    pub lost_segments: u32,
    pub lost_bytes: u32,
    /// Of them, those that got on their way after the last one lost.
    pub segments_after: u32,
}

impl Train {
    pub fn passes(&mut self, passage: Passage, bytes: u32, wire_bytes: u32) {
        if self.segments == 0 {
            self.first = passage.at;
        }
        self.segments += 1;
        self.segments_after += 1;
        self.bytes += bytes;
        self.wire_bytes += wire_bytes;
        self.last = passage;
    }

    pub fn loses(&mut self, bytes: u32) {
        self.lost_segments += 1;
        self.lost_bytes += bytes;
        self.segments_after = 0;
    }

    /// How long it takes until what it lost is sent again. `before` is how long ago something else was
    /// sent that comes and is not acknowledged yet, if anything was.
    pub fn recovery(&self, round_trip: Nanos, before: Option<Nanos>) -> Nanos {
        if self.segments_after > 0 {
            return hole_timeout(round_trip, self.segments_after);
        }
        let in_flight = self.segments + self.lost_segments + u32::from(before.is_some());
        let probe = probe_timeout(round_trip, in_flight);
        // Each acknowledgement of something new sets the timer anew (RFC 6298, 5.3), with what is
        // outstanding then.
        let acknowledged = match (self.segments, before) {
            (0, None) => return probe,
            (0, Some(before)) => round_trip.saturating_sub(before),
            (came, _) => round_trip.saturating_add(delay_of_acknowledgement(came)),
        };
        if acknowledged > probe {
            return probe;
        }
        acknowledged.saturating_add(probe_timeout(round_trip, self.lost_segments))
    }
}

/// How long the last acknowledgement of so many segments waits for data to go with: each second
/// segment is acknowledged at once.
fn delay_of_acknowledgement(segments: u32) -> Nanos {
    match segments % 2 {
        0 => Nanos::ZERO,
        _ => DELAYED_ACKNOWLEDGEMENT,
    }
}

/// From sending until a hole is filled, by how many later segments came: a quarter of a round trip is
/// left for reordering, unless there are many (`tcp_rack_reo_wnd`; RFC 8985, 6.2).
fn hole_timeout(round_trip: Nanos, later: u32) -> Nanos {
    if later >= DUPLICATES {
        return round_trip;
    }
    Nanos(round_trip.0 + round_trip.0 / 4).saturating_add(TIMER_EXTRA)
}

/// From the last thing sent, or acknowledged, until a probe asks for the end of what is in flight
/// (`tcp_schedule_loss_probe`; RFC 8985, 7.2). Where that is one segment, its acknowledgement may be
/// a delayed one: the time allowed for it makes a time-out come first.
fn probe_timeout(round_trip: Nanos, in_flight: u32) -> Nanos {
    let timeout = retransmission_wait(round_trip, 0);
    match in_flight {
        0 | 1 => timeout,
        _ => timeout.min(Nanos(2 * round_trip.0).saturating_add(TIMER_EXTRA)),
    }
}

/// The wait before data are sent again, by how often they were already. It doubles (RFC 6298), but
/// not yet after the first time: that was a probe, or an acknowledgement told of it.
pub(super) fn retransmission_wait(round_trip: Nanos, tries: u8) -> Nanos {
    let first = round_trip.saturating_add(VARIANCE_MIN);
    let doublings = u32::from(tries.saturating_sub(1).min(20));
    Nanos(first.0.saturating_mul(1 << doublings)).min(TIMEOUT_MAX)
}

impl Waiting {
    /// Whether a time-out found that nothing gets through: then only one segment is sent now and then
    /// (`tcp_enter_loss`), and nothing new.
    pub fn is_stalled(&self) -> bool {
        self.missing.iter().any(|it| it.packet.tries > 1)
    }

    /// The missing part that is sent again next: one that is tried again and again, or the first that
    /// is due.
    fn next_missing(&self) -> Option<(usize, Nanos)> {
        let parts = self.missing.iter().enumerate();
        let (place, next) = parts.min_by_key(|(_, it)| (it.packet.tries <= 1, it.due))?;
        Some((place, next.due))
    }
}

impl Shard {
    /// What a train has lost that is sent now is missed in a while.
    pub(super) fn lost_of_train(&mut self, again: Box<Packet>, train: &Train, before: Nanos) {
        let now = self.now;
        let Some(end) = self.node(again.src).end(again.from) else {
            return;
        };
        end.shrink_window();
        if train.segments == 0 {
            end.sent_at = before;
        }
        let round_trip = end.round_trip;
        let before = Some(now.saturating_sub(before)).filter(|ago| *ago < round_trip);
        let wait = if train.segments == 0 && again.tries > 0 {
            retransmission_wait(round_trip, again.tries)
        } else {
            train.recovery(round_trip, before)
        };
        self.lost(again, wait);
    }

    /// A part of a stream was lost when it was sent now; it is missed after so long.
    fn lost(&mut self, packet: Box<Packet>, wait: Nanos) {
        let now = self.now;
        self.keep_missing(Missing {
            sent: now,
            due: now.saturating_add(wait),
            packet,
        });
    }

    fn keep_missing(&mut self, missing: Missing) {
        let (node, id) = (missing.packet.src, missing.packet.from);
        let timeout = self.node(node).sockets.timeout;
        let Some(end) = self.node(node).end(id) else {
            return;
        };
        let last = missing.packet.first_sent.saturating_add(timeout);
        let due = missing.due.min(last);
        let waiting = end.waiting.get_or_insert_default();
        waiting.missing.push(Missing { due, ..missing });
        self.await_resending(node, id);
    }

    /// A packet is missed by its sender.
    pub(super) fn missed(&mut self, packet: Box<Packet>) {
        match packet.body {
            Body::Data { .. } => {
                let (node, id) = (packet.src, packet.from);
                self.lost(packet, Nanos::ZERO);
                self.resend(node, id);
            }
            Body::Acknowledged { .. } => self.send_acknowledgement(packet, 1),
            Body::Syn | Body::SynAck => self.send_control_again(packet),
            Body::Established | Body::Reset | Body::Probe | Body::ProbeAnswer => {}
        }
    }

    /// Sees to it that what is missing is sent again in time.
    fn await_resending(&mut self, node: NodeId, id: EndId) {
        let now = self.now;
        let Some(waiting) = self.node(node).end(id).and_then(|end| end.waiting.as_mut()) else {
            return;
        };
        let Some((_, due)) = waiting.next_missing() else {
            return;
        };
        let at = due.max(now);
        if waiting.resend_at.is_none_or(|next| at < next) {
            waiting.resend_at = Some(at);
            self.cause(node, at, SimEvent::Resend { node, end: id });
        }
    }

    /// Parts of a stream may be due to be sent again.
    pub(super) fn resend(&mut self, node: NodeId, id: EndId) {
        let now = self.now;
        let timeout = self.node(node).sockets.timeout;
        let Some(end) = self.node(node).end(id) else {
            return;
        };
        let (round_trip, before) = (end.round_trip, end.sent_at);
        let Some(waiting) = end.waiting.as_deref_mut() else {
            return;
        };
        if waiting.resend_at == Some(now) {
            waiting.resend_at = None;
        }
        let due = waiting.next_missing().filter(|(_, due)| *due <= now);
        let Some((place, _)) = due else {
            return self.await_resending(node, id);
        };
        let mut packet = waiting.missing.remove(place).packet;
        if now >= packet.first_sent.saturating_add(timeout) {
            return self.break_end(node, id);
        }
        let is_tried = packet.tries > 0;
        packet.tries = packet.tries.saturating_add(1);
        let mut first = None;
        if is_tried {
            // One segment tells whether anything gets through.
            first = self.send_first_segment(&packet);
            if first.is_none() {
                let wait = retransmission_wait(round_trip, packet.tries);
                return self.lost(packet, wait);
            }
        }
        self.send_data(packet, first, before);
        self.resend_due(node, id, before);
        self.send_waiting(node, id);
        self.await_resending(node, id);
    }

    /// Sends all else that is due.
    fn resend_due(&mut self, node: NodeId, id: EndId, before: Nanos) {
        let now = self.now;
        let end = self.node(node).end(id);
        let Some(waiting) = end.and_then(|end| end.waiting.as_deref_mut()) else {
            return;
        };
        let due: Vec<_> = waiting.missing.extract_if(.., |it| it.due <= now).collect();
        for Missing { mut packet, .. } in due {
            packet.tries = packet.tries.saturating_add(1);
            self.send_data(packet, None, before);
        }
    }

    fn send_first_segment(&mut self, packet: &Packet) -> Option<Passage> {
        let Body::Data { bytes, .. } = packet.body else {
            return None;
        };
        let wire_bytes = bytes.min(self.segment_bytes) + HEADER_BYTES + self.framing_bytes;
        self.send_wire(self.now, packet.src, packet.dst, wire_bytes)
    }

    /// What was sent then has been acknowledged: it tells of what was sent before and is missing.
    pub(super) fn tell_of_holes(&mut self, node: NodeId, id: EndId, sent: Nanos) {
        let now = self.now;
        let Some(end) = self.node(node).end(id) else {
            return;
        };
        let round_trip = end.round_trip;
        let Some(waiting) = end.waiting.as_deref_mut() else {
            return;
        };
        for it in waiting.missing.iter_mut().filter(|it| it.sent < sent) {
            let told = it.sent.saturating_add(hole_timeout(round_trip, 1));
            it.due = it.due.min(told.max(now));
        }
        self.await_resending(node, id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUND_TRIP: Nanos = Nanos::from_millis(100);

    /// A train of which these segments come.
    fn train(come: &[bool]) -> Train {
        let mut train = Train::default();
        for comes in come {
            match comes {
                true => train.passes(Passage::default(), 100, 170),
                false => train.loses(100),
            }
        }
        train
    }

    fn wait(come: &[bool], before: Option<u64>) -> u64 {
        let before = before.map(Nanos::from_millis);
        train(come).recovery(ROUND_TRIP, before).0 / 1_000_000
    }

    #[test]
    fn a_lone_segment_waits_for_a_time_out() {
        assert_eq!(wait(&[false], None), 300);
    }

    #[test]
    fn several_segments_are_probed_after_two_round_trips() {
        assert_eq!(wait(&[false, false], None), 206);
        // On a way so long, a time-out comes first.
        let far = Nanos::from_millis(250);
        assert_eq!(
            train(&[false, false]).recovery(far, None),
            Nanos::from_millis(450)
        );
    }

    #[test]
    fn an_acknowledgement_sets_the_timer_anew() {
        // Two came, and are acknowledged at once; one is outstanding from then on.
        assert_eq!(wait(&[true, true, false], None), 400);
        // The acknowledgement of a single one is delayed.
        assert_eq!(wait(&[true, false], None), 440);
        assert_eq!(wait(&[true, true, false, false], None), 306);
        // Something sent 70 ms before is acknowledged in 30.
        assert_eq!(wait(&[false], Some(70)), 330);
    }

    #[test]
    fn a_probe_comes_before_an_acknowledgement_that_is_delayed_for_longer() {
        let near = Nanos::from_millis(10);
        assert_eq!(
            train(&[true, false]).recovery(near, None),
            Nanos::from_millis(26)
        );
    }

    #[test]
    fn what_comes_later_tells_of_a_hole() {
        assert_eq!(wait(&[true, false, true], None), 131);
        assert_eq!(wait(&[false, true, true, true], None), 100);
    }

    #[test]
    fn waits_double_from_the_second_on() {
        let waits: Vec<u64> = (0..5)
            .map(|tries| retransmission_wait(ROUND_TRIP, tries).0 / 1_000_000)
            .collect();
        assert_eq!(waits, [300, 300, 600, 1_200, 2_400]);
        assert_eq!(retransmission_wait(ROUND_TRIP, 255), TIMEOUT_MAX);
    }
}
