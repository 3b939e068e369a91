//! Bounds on what is read of an archive, which may be hostile: few bytes can stand for very many.
//! Reading ends as well where the run is to stop.

use std::cell::Cell;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};

use peerlab_core::conduct::Stop;

/// What may be read of an archive.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes, unpacked, the holes of sparse files among them.
    pub bytes: u64,
    /// Files, folders and links.
    pub files: u64,
}

/// Bytes of what describes one entry: its name, what it links to, its attributes, the map of a
/// sparse file. All of it is in memory at once. The library that Docker reads layers with has the
/// same limit for a name.
const DESCRIPTION_BYTES_MAX: u64 = 1 << 20;

const TOO_LARGE: &str = "it unpacks to too many bytes";
const TOO_MANY: &str = "it holds too many files";
const TOO_LONG: &str = "the name and attributes of an entry are too long";

/// Counts what is read of one archive.
pub struct Meter<'a> {
    stop: &'a Stop,
    bytes: Budget,
    files: Budget,
    /// Bytes of a description that is being read.
    description: Budget,
}

impl<'a> Meter<'a> {
    pub fn new(limits: Limits, stop: &'a Stop) -> Meter<'a> {
        Meter {
            stop,
            bytes: Budget::new(limits.bytes, (ErrorKind::FileTooLarge, TOO_LARGE)),
            files: Budget::new(limits.files, (ErrorKind::FileTooLarge, TOO_MANY)),
            description: Budget::new(u64::MAX, (ErrorKind::InvalidData, TOO_LONG)),
        }
    }

    /// A reader that counts.
    pub fn reader<R>(&self, inner: R) -> Metered<'_, R> {
        Metered { inner, meter: self }
    }

    /// The next entry of a tar that a reader of this meter reads. Of the one before it, nothing may
    /// be left to read, unless the tar is read by seeking.
    ///
    /// # Errors
    /// When there is no end to its description, the tar is damaged, or a limit is reached.
    pub fn next<'e, R: Read>(
        &self,
        entries: &mut tar::Entries<'e, R>,
    ) -> io::Result<Option<tar::Entry<'e, R>>> {
        self.description.left.set(DESCRIPTION_BYTES_MAX);
        let next = entries.next().transpose();
        self.description.left.set(u64::MAX);
        if let Ok(Some(_)) = next {
            self.count_file()?;
        }
        next
    }

    /// Counts a file, folder or link.
    ///
    /// # Errors
    /// When it is one too many.
    pub fn count_file(&self) -> io::Result<()> {
        self.files.spend(1)
    }
}

/// What may still be read, and what is wrong where it is more.
struct Budget {
    left: Cell<u64>,
    excess: (ErrorKind, &'static str),
}

impl Budget {
    fn new(left: u64, excess: (ErrorKind, &'static str)) -> Budget {
        let left = Cell::new(left);
        Budget { left, excess }
    }

    fn spend(&self, amount: u64) -> io::Result<()> {
        let (kind, excess) = self.excess;
        let rest = self.left.get().checked_sub(amount);
        self.left
            .set(rest.ok_or_else(|| io::Error::new(kind, excess))?);
        Ok(())
    }
}

/// What is read through a meter.
pub struct Metered<'m, R> {
    inner: R,
    meter: &'m Meter<'m>,
}

impl<R> Metered<'_, R> {
    pub fn into_inner(self) -> R {
        self.inner
    }
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.meter.stop.is_asked() {
            // `ErrorKind::Interrupted` would be tried again.
            return Err(io::Error::other("the run is to stop"));
        }
        let count = self.inner.read(buffer)?;
        self.meter.bytes.spend(count as u64)?;
        self.meter.description.spend(count as u64)?;
        Ok(count)
    }
}

impl<R: Seek> Seek for Metered<'_, R> {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.inner.seek(position)
    }
}
