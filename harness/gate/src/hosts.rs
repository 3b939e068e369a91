//! The name `localhost`, which programs look for in a file that engines write for their own networks alone.
//! No other name is given.

use std::fs;
use std::path::Path;

const LOOPBACK: &str = "127.0.0.1\tlocalhost\n";

/// Writes the file, unless something is in it, or it is a link, which leads where an image wants. Where it
/// cannot be written the image has no place for it, and no program that looks there.
pub fn name_loopback(file: &Path) {
    let is_free = fs::symlink_metadata(file).map_or(true, |it| it.is_file() && it.len() == 0);
    if is_free {
        let _ = fs::write(file, LOOPBACK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_image_or_an_engine_says_stays() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("hosts");
        let after = || {
            name_loopback(&file);
            fs::read_to_string(&file).unwrap()
        };
        assert_eq!(after(), LOOPBACK);
        fs::write(&file, "").unwrap();
        assert_eq!(after(), LOOPBACK);
        fs::write(&file, "10.0.0.1 ledger\n").unwrap();
        assert_eq!(after(), "10.0.0.1 ledger\n");
        name_loopback(&folder.path().join("missing/hosts"));
        let (link, target) = (folder.path().join("link"), folder.path().join("target"));
        std::os::unix::fs::symlink(&target, &link).unwrap();
        name_loopback(&link);
        assert!(!target.exists());
    }
}
