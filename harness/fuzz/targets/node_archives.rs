//! Archives of what nodes have written, as a gate unpacks them: whatever is in one, nothing beside the node's root
//! is touched.
#![cfg_attr(feature = "libfuzzer", no_main)]

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt as _, symlink};

use peerlab_fuzz::tar::repaired;
use peerlab_gate::fuzz::{Disk, Provided, restore};
use peerlab_link::framing::{Deframer, frame};
use peerlab_link::proto::{ArchivePiece, Archived};

/// What lies beside the root, and is to stay so.
const BESIDE: &str = "beside";
/// What is told of one that was unpacked, and of which more or less was announced.
const NOT_WHOLE: &str = "the archive is not whole";

pub fn check(bytes: &[u8]) -> bool {
    let temp = tempfile::tempdir().expect("a temporary folder");
    let (root, beside) = (temp.path().join("root"), temp.path().join(BESIDE));
    fs::create_dir_all(root.join("bin")).expect("room for it");
    fs::write(root.join("bin/sh"), "first").expect("room for it");
    symlink("..", root.join("up")).expect("room for it");
    fs::write(&beside, BESIDE).expect("room for it");
    let before = fs::metadata(&beside).expect("it is there").mode();
    let disk = Disk::new(root, None, Provided::default()).expect("it can be listed");
    let pieces = [
        ArchivePiece::Bytes(repaired(bytes)),
        ArchivePiece::End(Ok(Archived::default())),
    ];
    let mut socket = Socket {
        heard: io::Cursor::new(pieces.map(|piece| frame(&piece)).concat()),
        said: Vec::new(),
    };
    restore(&disk, &mut socket).expect("somebody listens");
    let text = fs::read_to_string(&beside).expect("it is still there");
    assert_eq!(text, BESIDE);
    let mode = fs::metadata(&beside).expect("it is still there").mode();
    assert_eq!(mode, before, "of what lies beside");
    assert_eq!(fs::read_dir(temp.path()).expect("a folder").count(), 2);
    let mut said = Deframer::new();
    said.push(&socket.said);
    match said.next_message().expect("a message") {
        Some(ArchivePiece::End(Ok(archived))) => assert_eq!(archived, Archived::default()),
        Some(ArchivePiece::End(Err(reason))) => return reason == NOT_WHOLE,
        other => panic!("{other:?}"),
    }
    false
}

/// The two directions of a socket.
struct Socket {
    heard: io::Cursor<Vec<u8>>,
    said: Vec<u8>,
}

impl Read for Socket {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.heard.read(bytes)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.said.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

peerlab_fuzz::target!();
