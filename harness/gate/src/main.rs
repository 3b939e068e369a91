//! `peerlab-gate`: see the library.

fn main() {
    peerlab_gate::main()
}
