//! One random stream per directed link. A stream depends on the network's seed and the link's two
//! ends alone, so that adding a node, or a packet on another link, disturbs no other link.
//!
//! ChaCha8 with the network's seed gives two secret words; they and the two ends give a link's
//! starting state; from there on the link draws by SplitMix64 (Steele, Lea and Flood 2014), whose
//! whole state is one word. These steps are part of the format of a plan: changing any of them
//! changes what every recorded plan does, and the golden values in `properties` say so.

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

use crate::change::Loss;
use crate::id::{NodeId, link_number};

/// SplitMix64's increment: 2^64 divided by the golden ratio, made odd.
const INCREMENT: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64's output function: a bijection in which every input bit moves half the output bits.
#[inline]
pub(super) fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// Where every link's stream begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct StreamSource {
    secrets: [u64; 2],
}

impl StreamSource {
    /// The streams of one network.
    pub(super) fn new(seed: u64) -> StreamSource {
        let mut key = [0u8; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..20].copy_from_slice(b"peerlab-link");
        let mut chacha = ChaCha8Rng::from_seed(key);
        StreamSource {
            secrets: [chacha.next_u64(), chacha.next_u64()],
        }
    }

    /// The stream of one directed link, from its beginning.
    pub(super) fn stream(&self, src: NodeId, dst: NodeId) -> RandomStream {
        let [first, second] = self.secrets;
        RandomStream {
            state: mix(mix(link_number(src, dst) ^ first).wrapping_add(second)),
        }
    }
}

/// One link's stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct RandomStream {
    state: u64,
}

impl RandomStream {
    /// The next word.
    #[inline]
    pub(super) fn word(&mut self) -> u64 {
        self.state = self.state.wrapping_add(INCREMENT);
        mix(self.state)
    }

    /// Uniform from zero to `max`, both included.
    #[inline]
    pub(super) fn up_to(&mut self, max: u64) -> u64 {
        let wide = u128::from(self.word()) * (u128::from(max) + 1);
        (wide >> 64) as u64
    }
}

/// Whether something of this chance (a part of [`Loss::ONE`]) happens, given 32 random bits.
#[inline]
pub(super) fn happens(chance: u32, draw: u32) -> bool {
    draw < chance || chance == Loss::ONE
}
