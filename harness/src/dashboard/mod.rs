//! The live screen of a network: what is drawn, what keys ask for, and the terminal that it fills while
//! it is shown. Nothing is asked of a network here, and nothing is done to it: `cli` does that.

mod colours;
mod draw;
mod full_screen;
mod keys;
mod state;
mod strip;

pub use full_screen::{FullScreen, give_terminal_back, keys};
pub use keys::Wish;
pub use state::{Dashboard, Purpose};
