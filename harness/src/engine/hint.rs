//! What to do when something outside fails, for the engines' errors.

/// A Docker Engine that answers, and cannot do what it is asked.
pub const DOCKER: &str = "the engine's own log says more (`journalctl -u docker`, or Docker Desktop's \
                          diagnostics); `peerlab doctor` looks at what a run needs";
/// An image that the engine should have.
pub const IMAGE: &str = "build or pull it first, or correct its name";
/// An image's archive.
pub const ARCHIVE: &str = "it must be an OCI layout or what `docker save` writes, whole, and not \
                           compressed as a whole: save it again";
/// An image's archive that is not there.
pub const NO_ARCHIVE: &str = "correct its path in the experiment; of a record from elsewhere, put the archive \
                              under the same name into the folder `images` of the record: `peerlab \
                              replay` looks there first";
/// Processes and namespaces of this machine.
pub const MACHINE: &str =
    "`peerlab doctor` says what this machine lacks, and fewer nodes need less of it";
/// The fabric or a gate, which the engine runs.
pub const FABRIC: &str = "did the engine end or restart, or was it killed, for want of memory say (`dmesg`)? \
                          fewer nodes need less; if not, please report it, with what `RUST_LOG=debug` prints";
/// Our own programs.
pub const PROGRAMS: &str =
    "build them by hand to see why: `cargo build --release --workspace --bins`";
