//! The negative control: a fault that was put in on purpose, behind a parser. If it is not found, the
//! others prove nothing.
#![cfg_attr(feature = "libfuzzer", no_main)]

use peerlab_link::framing::Deframer;
use peerlab_link::proto::StreamOpen;

/// What is not endured: blind guesses would not come near it.
const NODE: u32 = 3;
const PORT_MIN: u16 = 18_000;

pub fn check(bytes: &[u8]) -> bool {
    let mut deframer = Deframer::new();
    deframer.push(bytes);
    let mut is_opened = false;
    while let Ok(Some(opened)) = deframer.next_message::<StreamOpen>() {
        if let StreamOpen::Dial { node, port } = opened {
            assert!(node.0 != NODE || port < PORT_MIN, "the planted fault");
        }
        is_opened = true;
    }
    is_opened
}

peerlab_fuzz::target!();
