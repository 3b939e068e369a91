//! Every target holds for what is kept in its corpus; and a target that does not hold is noticed.

use std::fs;

use peerlab_fuzz::replay::{corpus, replay};

/// Each with a test of its own.
macro_rules! targets {
    ($($name:ident)*) => {
        #[path = "../targets"]
        mod target {
            $(pub mod $name;)*
            pub mod planted;
        }

        $(
            #[test]
            fn $name() {
                assert_eq!(replay(&corpus(stringify!($name)), target::$name::check), Ok(Vec::new()));
            }
        )*

        #[test]
        fn every_corpus_has_its_target() {
            let folders = fs::read_dir(corpus("")).unwrap();
            let mut names: Vec<_> = folders.map(|it| it.unwrap().file_name()).collect();
            names.sort();
            assert_eq!(names, [$(stringify!($name)),*]);
        }
    };
}

targets! {
    accounts
    archives
    baselines
    block_files
    control_frames
    docker_answers
    docker_settings
    experiments
    gate_messages
    layers
    network_requests
    node_answers
    node_archives
    packets
    peer_messages
    plans
    records
    rpc_requests
    store_files
    stored_records
}

#[test]
fn a_target_that_does_not_hold_is_noticed_with_its_input() {
    use peerlab_link::NodeId;
    use peerlab_link::framing::frame;
    use peerlab_link::proto::StreamOpen;

    let folder = tempfile::tempdir().unwrap();
    let (node, good, bad) = (
        NodeId(3),
        folder.path().join("good"),
        folder.path().join("bad"),
    );
    fs::write(&good, frame(&StreamOpen::Dial { node, port: 1 })).unwrap();
    assert_eq!(
        replay(folder.path(), target::planted::check),
        Ok(Vec::new())
    );
    fs::write(&bad, frame(&StreamOpen::Dial { node, port: 18_443 })).unwrap();
    let failed = replay(folder.path(), target::planted::check);
    assert_eq!(failed, Ok(vec![bad.display().to_string()]));
    // Large ones are not to be kept, and a corpus that is not there is no test.
    fs::write(&good, [0; 17 << 10]).unwrap();
    let failed = replay(folder.path(), target::planted::check).unwrap();
    assert_eq!(failed.len(), 2);
    assert!(replay(&folder.path().join("none"), target::planted::check).is_err());
    // Nor is one of which nothing is read.
    fs::remove_file(&bad).unwrap();
    fs::write(&good, [0xff; 40]).unwrap();
    assert!(replay(folder.path(), target::planted::check).is_err());
}
