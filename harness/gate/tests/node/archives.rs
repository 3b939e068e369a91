//! What a node has written, out of its gate and into another.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use peerlab_link::framing::Deframer;
use peerlab_link::proto::{ArchivePiece, Archived, FromGate, ProcessOp, ToGate};

use crate::fabric::{Bench, Gate};

/// The socket that comes for a message.
fn socket(gate: &Gate, message: &ToGate) -> UnixStream {
    gate.send(message);
    match gate.receive().expect("the gate lives") {
        (FromGate::Dialed { id: 7, errno: 0 }, Some(socket)) => {
            let stream = UnixStream::from(socket);
            stream.set_nonblocking(false).unwrap();
            stream
        }
        other => panic!("{other:?}"),
    }
}

/// All bytes of an archive, and what its end says.
fn archive(gate: &Gate) -> (Vec<u8>, Result<Archived, String>) {
    let mut bytes = Vec::new();
    let mut stream = socket(gate, &ToGate::Archive { id: 7 });
    stream.read_to_end(&mut bytes).unwrap();
    let end = end_of(&bytes);
    (bytes, end)
}

fn restore(gate: &Gate, archive: &[u8]) -> Result<Archived, String> {
    let mut stream = socket(gate, &ToGate::Restore { id: 7 });
    // One that is refused is not read.
    let _ = stream.write_all(archive);
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    end_of(&answer)
}

fn end_of(bytes: &[u8]) -> Result<Archived, String> {
    let mut pieces = Deframer::new();
    pieces.push(bytes);
    loop {
        match pieces.next_message().unwrap().expect("an end") {
            ArchivePiece::Bytes(_) => {}
            ArchivePiece::End(end) => return end,
        }
    }
}

#[test]
fn what_a_node_wrote_goes_out_while_it_is_down_and_into_another_before_it_starts() {
    let (here, there) = (Bench::new(), Bench::new());
    let disk = |bench: &Bench| format!("--disk={}", bench.path("data").display());
    fs::write(here.path("data/of-image"), "first").unwrap();
    fs::write(there.path("data/of-image"), "first").unwrap();
    let data = here.path("data");
    let script = format!(
        "cd {}; echo second >of-image; echo ledger >chain; echo up >started; exec sleep 1000",
        data.display()
    );
    let gate = here.gate(&[&disk(&here), "--drop-all-caps"], &script);
    let _tun = gate.run();
    here.findings("data/started");
    let (_, running) = archive(&gate);
    assert_eq!(running.unwrap_err(), "its program is running");
    gate.obeys(1, ProcessOp::Stop);
    let (bytes, whole) = archive(&gate);
    assert_eq!(whole.unwrap().entries, 3);
    // It goes on as any that was stopped.
    gate.obeys(2, ProcessOp::Start);

    let script = there.find("found", &format!("cat {}/*", there.path("data").display()));
    let other = there.gate(
        &[&disk(&there), "--drop-all-caps"],
        &format!("{script}; exec sleep 1000"),
    );
    let _tun = other.open();
    assert_eq!(restore(&other, &bytes).unwrap().entries, 3);
    other.send(&ToGate::Go { run: true });
    assert_eq!(there.findings("found"), "ledger\nsecond\nup\n");
    assert_eq!(
        restore(&other, &bytes).unwrap_err(),
        "its program is running"
    );
}

#[test]
fn a_node_without_a_disk_that_is_known_has_no_archive() {
    let bench = Bench::new();
    let gate = bench.gate(&[], "exec sleep 1000");
    let _tun = gate.open();
    let (_, end) = archive(&gate);
    assert_eq!(end.unwrap_err(), "the node has no disk that is known");
}
