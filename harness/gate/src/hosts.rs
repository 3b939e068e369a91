//! The names of nodes, which programs look for in a file that engines write for their own networks alone: all
//! nodes share one, in the folder that they share with the fabric.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use peerlab_link::proto::{HOSTS_NAME, SHARED_DIR};

const LOOPBACK: &str = "127.0.0.1\tlocalhost\n";

/// Makes the file a link to the shared one, unless something is in it, or it is a link already, which leads where
/// an image wants. Where it cannot be replaced it names loopback alone; where it cannot be written the image has no
/// place for it, and no program that looks there.
pub fn name_nodes(file: &Path) {
    let is_free = fs::symlink_metadata(file).map_or(true, |it| it.is_file() && it.len() == 0);
    if is_free && link(file).is_err() {
        let _ = fs::write(file, LOOPBACK);
    }
}

fn link(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    symlink(Path::new(SHARED_DIR).join(HOSTS_NAME), file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_image_or_an_engine_says_stays() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("hosts");
        let shared = Path::new("/peerlab/hosts");
        name_nodes(&file);
        assert_eq!(fs::read_link(&file).unwrap(), shared);
        name_nodes(&file);
        assert_eq!(fs::read_link(&file).unwrap(), shared);
        fs::remove_file(&file).unwrap();
        fs::write(&file, "").unwrap();
        name_nodes(&file);
        assert_eq!(fs::read_link(&file).unwrap(), shared);
        fs::remove_file(&file).unwrap();
        fs::write(&file, "10.0.0.1 ledger\n").unwrap();
        name_nodes(&file);
        assert_eq!(fs::read_to_string(&file).unwrap(), "10.0.0.1 ledger\n");
        name_nodes(&folder.path().join("missing/hosts"));
        let (link, target) = (folder.path().join("link"), folder.path().join("target"));
        symlink(&target, &link).unwrap();
        name_nodes(&link);
        assert!(!target.exists());
    }
}
