//! The ways in which a scenario gets smaller. Each gives another scenario that says the same of
//! what is left; whether that still fails is `shrink`'s affair. How small one is, is [`Size`].

mod events;
mod length;
mod network;
mod nodes;
mod size;

use peerlab_link::Nanos;

pub use size::Size;

/// What times are rounded to.
const ROUND_TO: Nanos = Nanos::from_secs(1);

/// Says with each call whether its number is among these, which are sorted.
fn chosen(numbers: &[usize]) -> impl FnMut() -> bool {
    let mut next = 0..;
    move || {
        next.next()
            .is_some_and(|number| numbers.binary_search(&number).is_ok())
    }
}
