//! The methods: which there are, what arguments they take, and who carries them out.

use super::arguments::Arguments;
use super::context::{Answer, Context, done};
use super::envelope::Call;
use super::error::{Code, OrFail, RpcError};
use super::{blocks, chain_state, control, mempool, mining, network, raw_transactions};

/// How many numbers from [`Context::nonce`] on belong to one call: one for every block that it
/// may mine.
pub const NONCES_PER_CALL: u64 = mining::BLOCKS_PER_CALL_MAX;

type Handler = fn(&mut Context<'_>, &Arguments) -> Answer;

/// A method.
pub(super) struct Method {
    /// Its heading in `help`.
    topic: &'static str,
    /// Its name.
    pub(super) name: &'static str,
    /// Its arguments, in order.
    pub(super) arguments: &'static [&'static str],
    /// How many of them must be given.
    required: usize,
    /// What it does, in a sentence.
    about: &'static str,
    handler: Handler,
}

impl Method {
    /// `name arg1 ( arg2 )`, as Bitcoin Core's help writes it.
    fn usage(&self) -> String {
        let (required, optional) = self.arguments.split_at(self.required);
        let mut usage = self.name.to_owned();
        for name in required {
            usage.push_str(&format!(" {name}"));
        }
        if !optional.is_empty() {
            usage.push_str(&format!(" ( {} )", optional.join(" ")));
        }
        usage
    }

    /// Usage and purpose.
    fn describe(&self) -> String {
        format!("{}\n\n{}\n", self.usage(), self.about)
    }
}

macro_rules! methods {
    ($($topic:literal: $($path:ident::$name:ident($($required:ident)* $([$($optional:ident)*])?) $about:literal;)*)*) => {
        &[$($(Method {
            topic: $topic,
            name: stringify!($name),
            arguments: &[$(stringify!($required),)* $($(stringify!($optional),)*)?],
            required: <[&str]>::len(&[$(stringify!($required)),*]),
            about: $about,
            handler: $path::$name,
        },)*)*]
    };
}

/// All methods, by topic and name.
pub(super) const METHODS: &[Method] = methods! {
    "Blockchain":
    blocks::getbestblockhash() "The hash of the best block.";
    blocks::getblock(blockhash [verbosity]) "A block: hex (0), with transaction ids (1), with transactions (2).";
    chain_state::getblockchaininfo() "The state of the chain.";
    blocks::getblockcount() "The height of the best block.";
    blocks::getblockhash(height) "The hash of the block at a height of the active chain.";
    blocks::getblockheader(blockhash [verbose]) "A block's header, as object or hex.";
    chain_state::getchaintips() "The ends of all branches.";
    chain_state::getdifficulty() "How many times harder than the easiest target of the main network.";
    mempool::getmempoolentry(txid) "A transaction in the mempool.";
    mempool::getmempoolinfo() "The state of the mempool.";
    mempool::getrawmempool([verbose mempool_sequence]) "The transactions in the mempool.";
    chain_state::gettxout(txid n [include_mempool]) "An unspent output.";
    chain_state::gettxoutsetinfo([hash_type hash_or_height use_index]) "The set of unspent outputs in numbers (hash_type: hash_serialized_3, muhash, none).";
    chain_state::waitforblock(blockhash [timeout]) "Waits until this block is the best, or for so many milliseconds.";
    chain_state::waitforblockheight(height [timeout]) "Waits until the best block is at this height or above.";
    chain_state::waitfornewblock([timeout current_tip]) "Waits until the best block changes (from current_tip, if given).";
    "Control":
    control::getmemoryinfo([mode]) "Locked memory: none, since there is no wallet.";
    self::help([command]) "All methods, or one.";
    control::stop() "Ends the daemon.";
    control::uptime() "Seconds since the start of the daemon.";
    "Generating":
    mining::generateblock(output transactions [submit]) "Mines a block of these transactions.";
    mining::generatetoaddress(nblocks address [maxtries]) "Mines blocks to an address.";
    "Mining":
    mining::submitblock(hexdata [dummy]) "Takes a block in.";
    "Network":
    network::addnode(node command [v2transport]) "Adds or removes a peer to stay connected to ('add', 'remove'), or connects once ('onetry').";
    network::clearbanned() "Lifts all bans.";
    network::disconnectnode([address nodeid]) "Disconnects a peer.";
    network::getaddednodeinfo([node]) "The peers added by addnode.";
    network::getconnectioncount() "The number of connections.";
    network::getnettotals() "Bytes received and sent.";
    network::getnetworkinfo() "The state of the network.";
    network::getnodeaddresses([count network]) "Addresses of peers that are known.";
    network::getpeerinfo() "The peers.";
    network::listbanned() "The bans.";
    network::ping() "Pings all peers; getpeerinfo says how long they take.";
    network::setban(subnet command [bantime absolute]) "Bans an address ('add') or lifts its ban ('remove').";
    "Rawtransactions":
    raw_transactions::decoderawtransaction(hexstring [iswitness]) "A transaction's parts.";
    raw_transactions::getrawtransaction(txid [verbosity blockhash]) "A transaction of the mempool, or of a block.";
    raw_transactions::sendrawtransaction(hexstring [maxfeerate maxburnamount]) "Takes a transaction in and relays it.";
    raw_transactions::testmempoolaccept(rawtxs [maxfeerate]) "Whether transactions would be taken in, each for itself.";
};

/// The method of this name.
fn find(name: &str) -> Option<&'static Method> {
    METHODS.iter().find(|method| method.name == name)
}

/// Carries a call out.
///
/// # Errors
/// What the caller is answered, with Bitcoin Core's codes and words.
pub fn call(context: &mut Context<'_>, call: Call) -> Answer {
    let method = find(&call.method).or_fail(Code::MethodNotFound, "Method not found")?;
    let arguments = Arguments::new(method.arguments, method.required, call.params)?
        .ok_or_else(|| RpcError::new(Code::Misc, method.describe()))?;
    (method.handler)(context, &arguments)
}

fn help(_: &mut Context<'_>, arguments: &Arguments) -> Answer {
    let Some(command) = arguments.text_opt(0)? else {
        return done(overview());
    };
    match find(command) {
        Some(method) => done(method.describe()),
        None => done(format!("help: unknown command: {command}\n")),
    }
}

fn overview() -> String {
    let mut text = String::new();
    let mut topic = "";
    for method in METHODS {
        if method.topic != topic {
            let gap = if topic.is_empty() { "" } else { "\n" };
            topic = method.topic;
            text.push_str(&format!("{gap}== {topic} ==\n"));
        }
        text.push_str(&method.usage());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_parts_required_from_optional() {
        let usage = |name| find(name).map(Method::usage).unwrap();
        assert_eq!(usage("getblockcount"), "getblockcount");
        assert_eq!(usage("getblock"), "getblock blockhash ( verbosity )");
        assert_eq!(
            usage("getrawmempool"),
            "getrawmempool ( verbose mempool_sequence )"
        );
    }

    #[test]
    fn names_are_sorted_within_their_topic_and_unique() {
        let names: Vec<_> = METHODS.iter().map(|m| (m.topic, m.name)).collect();
        assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
    }
}
