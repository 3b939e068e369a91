//! A probe for any program: the digest of a file that it writes is what the node says, and nothing as long
//! as there is none. The node's gate makes it, so that the image needs no tool for it.

use peerlab_link::proto::{Digested, FileStamp};

use super::polled::Ask;
use super::{Answer, ProbeError, Reach, Said};

pub struct File<R> {
    reach: R,
    path: String,
    /// The last digest, and how the file was then.
    known: Option<(FileStamp, Said)>,
}

impl<R: Reach> File<R> {
    /// Reads nothing yet.
    pub fn new(reach: R, path: String) -> File<R> {
        File {
            reach,
            path,
            known: None,
        }
    }

    async fn digest(&mut self) -> Result<Said, ProbeError> {
        let stamp = self.known.as_ref().map(|(stamp, _)| *stamp);
        match self.reach.digest(&self.path, stamp).await? {
            Digested::Absent => Ok(Said::Nothing),
            Digested::Unchanged => match &self.known {
                Some((_, said)) => Ok(said.clone()),
                None => Err(ProbeError::Malformed(
                    "nothing was known of the file".into(),
                )),
            },
            Digested::Digest { sha256, stamp } => {
                let hex = sha256.iter().map(|byte| format!("{byte:02x}"));
                let said = Said::Value(hex.collect());
                self.known = stamp.map(|stamp| (stamp, said.clone()));
                Ok(said)
            }
            Digested::Refused(reason) => Err(ProbeError::Unreadable {
                path: self.path.clone(),
                reason,
            }),
        }
    }
}

impl<R: Reach> Ask for File<R> {
    fn ask(&mut self) -> Answer<'_, Said> {
        Box::pin(self.digest())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::scripted::Scripted;

    #[tokio::test]
    async fn a_file_says_its_digest_and_one_that_is_not_there_nothing() {
        let stamp = FileStamp {
            inode: 1,
            bytes: 2,
            changed: (3, 4),
        };
        let digest = |byte, stamp| Digested::Digest {
            sha256: [byte; 32],
            stamp,
        };
        let reach = Scripted::digests([
            Digested::Absent,
            digest(0x0a, None),
            digest(0x0b, Some(stamp)),
            Digested::Unchanged,
            Digested::Absent,
            Digested::Refused("permission denied".into()),
        ]);
        let asked = reach.stamps();
        let mut file = File::new(reach, "/data/f".into());
        let said = |byte: &str| Ok(Said::Value(byte.repeat(32)));
        assert_eq!(file.ask().await, Ok(Said::Nothing));
        assert_eq!(file.ask().await, said("0a"));
        assert_eq!(file.ask().await, said("0b"));
        assert_eq!(file.ask().await, said("0b"));
        assert_eq!(file.ask().await, Ok(Said::Nothing));
        let error = file.ask().await.unwrap_err();
        assert_eq!(error.to_string(), "/data/f: permission denied");
        let asked = asked.lock().unwrap();
        assert_eq!(asked[..4], [None, None, None, Some(stamp)]);
    }
}
