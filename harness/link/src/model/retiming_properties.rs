//! Changes of a link while packets are under way, against a queue and a path that are followed
//! bit by bit: the model, which gives instants in advance, must come to the same.

use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::{LinkModel, Passage, Retiming, Verdict};
use crate::change::{Change, Loss, Network, NodeLink, PathDelay, Shape};
use crate::id::{Nanos, NodeId};

const MS: u64 = 1_000_000;
const PATH: u64 = 10 * MS;
const FROM: NodeId = NodeId(0);
const TO: NodeId = NodeId(1);
/// A nanosecond at the fastest rate is so many at the slowest one, once for each step.
const ROUNDING: u64 = 100_000;

#[derive(Clone, Copy, Debug)]
enum Step {
    Packet { bytes: u32 },
    Shape { rate_bps: Option<u64>, delay: u64 },
}

fn any_step() -> impl Strategy<Value = Step> {
    let rate_bps = prop::option::weighted(0.8, 100_000u64..10_000_000);
    prop_oneof![
        5 => (40u32..1_538).prop_map(|bytes| Step::Packet { bytes }),
        2 => (rate_bps, 0..50 * MS).prop_map(|(rate_bps, delay)| Step::Shape { rate_bps, delay }),
    ]
}

/// What happens, and when.
fn any_steps() -> impl Strategy<Value = Vec<(u64, Step)>> {
    prop::collection::vec((0..8 * MS, any_step()), 1..120).prop_map(|steps| {
        let mut now = 0;
        let at = |(after, step)| {
            now += after;
            (now, step)
        };
        steps.into_iter().map(at).collect()
    })
}

fn model() -> LinkModel {
    let node = |n| NodeLink {
        ip: Ipv4Addr::new(10, 0, 0, n),
        region: 0,
        up_bps: None,
        down_bps: None,
        queue_bytes: u32::MAX,
        loss: Loss::None,
    };
    let path = PathDelay {
        base: Nanos(PATH),
        jitter: Nanos::ZERO,
    };
    let network = Network {
        seed: 1,
        mtu: 1_500,
        framing_bytes: 38,
        nodes: vec![node(1), node(2)],
        regions: vec!["here".into()],
        paths: vec![vec![path]],
    };
    LinkModel::new(&network).unwrap()
}

fn reshape(
    model: &mut LinkModel,
    now: u64,
    node: NodeId,
    rate_bps: Option<u64>,
    delay: u64,
) -> Retiming {
    let shape = Shape {
        rate_bps,
        delay: Some(Nanos(delay)),
        ..Shape::default()
    };
    let nodes = vec![node];
    let change = Change::Shape {
        id: 1,
        nodes,
        shape,
    };
    model.apply(Nanos(now), &change).unwrap()
}

/// Rates and delays, and since when.
type Shapes = Vec<(u64, Option<u64>, u64)>;

fn shapes(steps: &[(u64, Step)]) -> Shapes {
    let changes = steps.iter().filter_map(|&(at, step)| match step {
        Step::Shape { rate_bps, delay } => Some((at, rate_bps, delay)),
        Step::Packet { .. } => None,
    });
    std::iter::once((0, None, 0)).chain(changes).collect()
}

/// When the last bit of a packet has left that the link begins to send at `start`.
fn sent_bit_by_bit(shapes: &Shapes, start: u64, bytes: u32) -> u64 {
    let mut left = u128::from(bytes) * 8_000_000_000;
    for (index, &(since, rate_bps, _)) in shapes.iter().enumerate() {
        let until = shapes.get(index + 1).map_or(u64::MAX, |next| next.0);
        let from = since.max(start);
        if until <= from {
            continue;
        }
        let Some(rate) = rate_bps.map(u128::from) else {
            return from;
        };
        let all = rate * u128::from(until - from);
        if left <= all {
            return from + (left / rate) as u64;
        }
        left -= all;
    }
    unreachable!("the last shape is for ever")
}

/// When a packet that left the queue then is due, if that is beyond doubt: at a change a
/// nanosecond decides whether it is still under way.
fn due_by_the_path(shapes: &Shapes, left: u64) -> Option<u64> {
    let in_force = shapes.iter().rposition(|&(since, ..)| since <= left)?;
    let mut due = left + PATH + shapes[in_force].2;
    for &(at, _, delay) in &shapes[in_force + 1..] {
        if due.abs_diff(at) <= ROUNDING {
            return None;
        }
        if due < at {
            break;
        }
        due = at.max(left + PATH + delay);
    }
    Some(due)
}

/// Carries the steps out, with shapes at one end of the link: what became of each packet, and when
/// its last bit has left the queue there.
fn carried_out<T>(
    steps: &[(u64, Step)],
    end: NodeId,
    send: impl Fn(&mut LinkModel, Nanos, u32) -> T,
    retime: impl Fn(&mut LinkModel, Nanos, &Retiming, &mut T),
) -> Vec<(T, u64)> {
    let (mut model, shapes) = (model(), shapes(steps));
    let mut packets = Vec::new();
    let mut busy_until = 0;
    for &(now, step) in steps {
        match step {
            Step::Packet { bytes } => {
                busy_until = sent_bit_by_bit(&shapes, busy_until.max(now), bytes);
                packets.push((send(&mut model, Nanos(now), bytes), busy_until));
            }
            Step::Shape { rate_bps, delay } => {
                let retiming = reshape(&mut model, now, end, rate_bps, delay);
                for (packet, _) in &mut packets {
                    retime(&mut model, Nanos(now), &retiming, packet);
                }
            }
        }
    }
    packets
}

proptest! {
    #[test]
    fn packets_leave_and_arrive_as_from_a_queue_of_bytes_and_a_path_of_now(steps in any_steps()) {
        let send = |model: &mut LinkModel, now, bytes| model.send(now, FROM, TO, bytes).unwrap();
        let retime = |model: &mut LinkModel, now, retiming: &_, passage: &mut Passage| {
            if passage.at > now {
                *passage = model.retime_sent(retiming, FROM, TO, *passage);
            }
        };
        let passages = carried_out(&steps, FROM, send, retime);
        prop_assert!(passages.is_sorted_by_key(|(passage, _)| passage.at));
        let shapes = shapes(&steps);
        for (passage, left) in passages {
            if let Some(at) = due_by_the_path(&shapes, left) {
                prop_assert!(passage.left.0.abs_diff(left) <= ROUNDING, "{passage:?} {left}");
                prop_assert!(passage.at.0.abs_diff(at) <= ROUNDING, "{passage:?} {at}");
            }
        }
    }

    #[test]
    fn packets_are_delivered_as_from_a_queue_of_bytes(steps in any_steps()) {
        let send = |model: &mut LinkModel, now, bytes| match model.arrive(now, FROM, TO, bytes) {
            Verdict::Deliver { at } => at,
            Verdict::Drop(reason) => panic!("dropped: {reason:?}"),
        };
        let retime = |model: &mut LinkModel, now, retiming: &_, at: &mut Nanos| {
            if *at > now {
                *at = model.retime_arrived(retiming, TO, *at);
            }
        };
        for (at, expected) in carried_out(&steps, TO, send, retime) {
            prop_assert!(at.0.abs_diff(expected) <= ROUNDING, "{at:?} {expected}");
        }
    }
}

#[test]
fn jitter_of_what_is_under_way_is_a_share_of_the_jitter_of_now() {
    let mut model = model();
    let jitter = |ms| {
        let shape = Shape {
            jitter: Some(Nanos(ms * MS)),
            ..Shape::default()
        };
        Change::Shape {
            id: 1,
            nodes: vec![FROM],
            shape,
        }
    };
    let send = |model: &mut LinkModel| model.send(Nanos::ZERO, FROM, TO, 100).unwrap();
    let nothing = model.apply(Nanos::ZERO, &jitter(1_000)).unwrap();
    assert!(!nothing.is_about(TO));
    let passage = send(&mut model);
    let extra = passage.at.0 - PATH;
    assert!(extra > MS, "this seed draws something");
    let halved = model.apply(Nanos(MS), &jitter(500)).unwrap();
    let passage = model.retime_sent(&halved, FROM, TO, passage);
    assert_eq!(passage.at.0 - PATH, extra / 2);
    assert!(send(&mut model).at >= passage.at, "none overtakes");
    let ended = model.apply(Nanos(MS), &Change::HealAll).unwrap();
    let passage = model.retime_sent(&ended, FROM, TO, passage);
    assert_eq!(passage.at.0, PATH);
    assert_eq!(send(&mut model).at.0, PATH);
    assert!(model.apply(Nanos(MS), &Change::HealAll).unwrap().is_empty());
}
