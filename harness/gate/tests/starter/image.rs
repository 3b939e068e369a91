//! Nodes whose root is an image: they see its files, write in a layer of their own, and reach no
//! more of the machine than our own node does.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::Path;

use peerlab_link::starter::{FromStarter, NodeSpec};

use crate::harness::{Starter, spec};

/// Where this binary is in the image.
const PROBE: &str = "/bin/image-probe";

/// An image: this very test as its program, and a file.
fn image() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["bin", "etc", "srv", "proc"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    let probe = folder.path().join(PROBE.trim_start_matches('/'));
    fs::copy(std::env::current_exe().unwrap(), probe).unwrap();
    fs::write(folder.path().join("etc/motd"), "of the image").unwrap();
    folder
}

/// A node whose program is a test of this file.
fn node_of_image(node: u32, test: &str) -> NodeSpec {
    NodeSpec {
        image: Some(0),
        env: vec![("GREETING".to_owned(), "hello".to_owned())],
        workdir: Some("/srv".to_owned()),
        replaced: true,
        // Found by PATH, as images do it.
        ..spec(node, &["image-probe", "--exact", test, "--nocapture"])
    }
}

/// Not a test but the node's program in the test below; does nothing anywhere else.
#[test]
fn inside() {
    if std::env::current_exe().unwrap() != Path::new(PROBE) {
        return;
    }
    assert_eq!(std::env::var("GREETING").unwrap(), "hello");
    assert_eq!(std::env::current_dir().unwrap(), Path::new("/srv"));
    // Nobody has been here before.
    assert_eq!(fs::read_to_string("/etc/motd").unwrap(), "of the image");
    assert!(!Path::new("/srv/mark").exists());
    fs::write("/etc/motd", "changed").unwrap();
    fs::write("/srv/mark", "new").unwrap();
    assert_eq!(fs::read_to_string("/etc/motd").unwrap(), "changed");
    fs::remove_file("/etc/motd").unwrap();
    assert!(!Path::new("/etc/motd").exists());
    // What every node has.
    fs::write("/data/file", "x").unwrap();
    fs::write("/tmp/file", "x").unwrap();
    fs::write("/dev/null", "x").unwrap();
    assert!(Path::new("/peerlab/fabric.sock").exists());
    assert!(Path::new("/proc/self/status").exists());
    // And what none has.
    let status = fs::read_to_string("/proc/self/status").unwrap();
    assert!(status.contains("CapEff:\t0000000000000000"), "{status}");
    assert!(status.contains("Seccomp:\t2"), "{status}");
    for outside in ["/images", "/layer", "/old", "/root/.."] {
        let beside = fs::read_dir(outside).map(|entries| entries.count());
        assert!(beside.is_err() || outside == "/root/..", "{outside}");
    }
    let denied = fs::write("/proc/sys/kernel/hostname", "x").unwrap_err();
    assert!(matches!(
        denied.kind(),
        ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied
    ));
    // Its layer is bounded.
    assert!(fs::write("/srv/large", vec![1; 64 << 20]).is_err());
}

#[test]
fn each_node_of_an_image_has_its_own_layer_over_it() {
    let image = image();
    let mut starter = Starter::spawn();
    starter.images = vec![image.path().to_str().unwrap().to_owned()];
    starter.start_fabric();
    for node in [1, 2] {
        starter.open(node_of_image(node, "image::inside"));
    }
    starter.go();
    let mut ends = [starter.fabric_says(), starter.fabric_says()];
    ends.sort();
    let logs = format!("{} {}", starter.log(1), starter.log(2));
    assert_eq!(ends, ["exited 1 0", "exited 2 0"], "{logs}");
    assert!(logs.contains("1 passed"), "{logs}");
    // Nobody has been here before, says the program of a node that was emptied: not even where it
    // changed and removed files of the image.
    starter.wipe(1);
    // In /data, /tmp and /srv.
    assert_eq!(starter.fabric_says(), "Ok(Emptied { entries: 4 }) 1");
    assert_eq!(starter.fabric_says(), "Ok(Running) 1");
    assert_eq!(starter.fabric_says(), "exited 1 0", "{}", starter.log(1));
    // The image itself is as it was.
    let motd = fs::read_to_string(image.path().join("etc/motd")).unwrap();
    assert_eq!(motd, "of the image");
    assert!(!image.path().join("srv/mark").exists());
    assert!(!image.path().join("data").exists());
}

/// As [`inside`], where folders of the image are links.
#[test]
fn inside_of_links() {
    if std::env::current_exe().unwrap() != Path::new(PROBE) {
        return;
    }
    for (link, place) in [("/tmp", "/var/tmp"), ("/data", "/var/lib/thing")] {
        assert_eq!(fs::read_link(link).unwrap(), Path::new(place));
        fs::write(format!("{link}/file"), "x").unwrap();
        assert!(Path::new(place).join("file").exists());
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        assert!(mounts.contains(&format!("tmpfs {place} tmpfs")), "{mounts}");
    }
}

#[test]
fn links_of_an_image_lead_nowhere_else() {
    let image = image();
    fs::create_dir_all(image.path().join("var/tmp")).unwrap();
    symlink("/var/tmp", image.path().join("tmp")).unwrap();
    symlink("/var/lib/thing", image.path().join("data")).unwrap();
    let mut starter = Starter::spawn();
    starter.images = vec![image.path().to_str().unwrap().to_owned()];
    starter.start_fabric();
    starter.open(node_of_image(1, "image::inside_of_links"));
    starter.go();
    let end = starter.fabric_says();
    let log = starter.log(1);
    assert_eq!(end, "exited 1 0", "{log}");
    assert!(log.contains("1 passed"), "{log}");
}

#[test]
fn an_image_that_is_not_there_is_told() {
    let mut starter = Starter::spawn();
    starter.images = vec!["/no/image".to_owned()];
    let FromStarter::Failed { reason, .. } = starter.set_up() else {
        panic!("ready")
    };
    assert!(reason.contains("/no/image"), "{reason}");
}
