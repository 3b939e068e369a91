//! Files of blocks (`-loadblock`): read up to what is none, and taken in by a chain, which is then as high
//! as it says. Blocks that a chain has were written as they are read.
#![cfg_attr(feature = "libfuzzer", no_main)]

use std::io::Error;

use bitcoin::Block;
use bitcoin::consensus::{deserialize, serialize};
use peerlab_fuzz::ledger;
use peerlab_node::chain::block_file::BlockFileReader;

pub fn check(bytes: &[u8]) -> bool {
    let blocks: Vec<Block> = BlockFileReader::new(bytes).map_while(Result::ok).collect();
    for block in &blocks {
        let again = deserialize::<Block>(&serialize(block));
        assert_eq!(again.ok().as_ref(), Some(block));
    }
    let mut chain = ledger::begun();
    let before = chain.tip().height;
    let read = blocks.len() as u64;
    let source = blocks.into_iter().map(Ok::<_, Error>);
    let imported = chain
        .import(ledger::now().unix_secs(), source)
        .expect("memory does not fail");
    assert_eq!(imported.read, read);
    assert!(imported.new + imported.refused <= read, "{imported:?}");
    assert!(chain.tip().height >= before);
    assert_eq!(chain.hash_at(chain.tip().height), Some(chain.tip().hash));
    imported.new > 0
}

peerlab_fuzz::target!();
