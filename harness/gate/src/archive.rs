//! What a node has written, as a tar in pieces on a socket, and back. Both are done in a child of the gate, with
//! the program's identity, while the program is down; when that is, the supervisor knows.
//!
//! The tar is what a layer of an image is: paths below the root, and for each that was removed of the node's image
//! an empty file whose name begins with [`REMOVED`]. Sockets, pipes and devices are left out: they mean nothing
//! without the program that made them.

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::lchown;
use std::path::{Path, PathBuf};

use peerlab_link::framing::{Deframer, frame};
use peerlab_link::proto::{ARCHIVE_PIECE_BYTES_MAX, ArchivePiece, Archived};
use rustix::process::{getegid, geteuid};
use tar::{Archive, Builder, Entry, EntryType, Header, HeaderMode};

use crate::disk::{Disk, is_folder, remove};

/// What an archive may hold, in either direction: what the local engine unpacks of an image at most.
const LIMITS: Archived = Archived {
    entries: 1_000_000,
    bytes: 32 << 30,
};
/// How names begin that stand for what was removed of an image, as layers have it.
const REMOVED: &str = ".wh.";

/// Writes all that a node has written, and the end that says whether it is whole.
///
/// # Errors
/// When nobody reads it any more.
pub fn save(disk: &Disk, socket: &mut impl Write) -> io::Result<()> {
    let result = write_tar(disk, socket);
    socket.write_all(&frame(&ArchivePiece::End(result)))
}

/// Unpacks such an archive, and tells what came of it.
///
/// # Errors
/// When nobody reads that any more.
pub fn restore(disk: &Disk, socket: &mut (impl Read + Write)) -> io::Result<()> {
    let mut pieces = Pieces::new(&mut *socket);
    let result = read_tar(disk, &mut pieces);
    // Whoever still writes reads no answer.
    let _ = io::copy(&mut pieces, &mut io::sink());
    socket.write_all(&frame(&ArchivePiece::End(result)))
}

/// Says that there is none, and why.
pub fn refused(reason: &str) -> Vec<u8> {
    frame(&ArchivePiece::End(Err(reason.to_owned())))
}

fn write_tar(disk: &Disk, socket: &mut impl Write) -> Result<Archived, String> {
    let mut tar = Builder::new(PieceWriter {
        socket,
        piece: Vec::new(),
    });
    tar.follow_symlinks(false);
    tar.mode(HeaderMode::Complete);
    let mut sums = Archived::default();
    disk.written(|path, metadata| {
        let failed = |e: io::Error| format!("cannot archive {}: {e}", path.display());
        let bytes = append(&mut tar, disk, path, metadata).map_err(failed)?;
        if let Some(bytes) = bytes {
            count(&mut sums, bytes)?;
        }
        Ok(())
    })?;
    let written = tar.into_inner().and_then(|mut writer| writer.flush());
    written.map_err(|e| format!("cannot write the archive: {e}"))?;
    Ok(sums)
}

/// Appends one path; how many bytes of content it has, or nothing where it is left out.
fn append<W: Write>(
    tar: &mut Builder<W>,
    disk: &Disk,
    path: &Path,
    metadata: Option<&Metadata>,
) -> io::Result<Option<u64>> {
    let name = path.file_name().unwrap_or_default();
    let Some(metadata) = metadata else {
        let mut removed = std::ffi::OsString::from(REMOVED);
        removed.push(name);
        let mut header = Header::new_gnu();
        header.set_size(0);
        tar.append_data(&mut header, path.with_file_name(removed), io::empty())?;
        return Ok(Some(0));
    };
    if name.as_bytes().starts_with(REMOVED.as_bytes()) {
        let reason = format!("a name that begins with {REMOVED} means what was removed");
        return Err(io::Error::new(ErrorKind::InvalidInput, reason));
    }
    let from = disk.root().join(path);
    let kind = metadata.file_type();
    if kind.is_file() {
        tar.append_file(path, &mut File::open(from)?)?;
        return Ok(Some(metadata.len()));
    }
    if kind.is_dir() {
        tar.append_dir(path, from)?;
        return Ok(Some(0));
    }
    if kind.is_symlink() {
        tar.append_path_with_name(from, path)?;
        return Ok(Some(0));
    }
    Ok(None)
}

/// One more, which must not be too many.
fn count(sums: &mut Archived, bytes: u64) -> Result<(), String> {
    sums.entries += 1;
    sums.bytes = sums.bytes.saturating_add(bytes);
    if sums.entries > LIMITS.entries {
        return Err(format!("there are more than {} files", LIMITS.entries));
    }
    if sums.bytes > LIMITS.bytes {
        return Err(format!("there are more than {} bytes", LIMITS.bytes));
    }
    Ok(())
}

fn read_tar<S: Read>(disk: &Disk, pieces: &mut Pieces<S>) -> Result<Archived, String> {
    let broken = |e: io::Error| format!("the archive cannot be read: {e}");
    let mut tar = Archive::new(&mut *pieces);
    let mut sums = Archived::default();
    let mut folders = Vec::new();
    for entry in tar.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        count(&mut sums, entry.size())?;
        unpack(disk, &mut entry, &mut folders)?;
    }
    // What is in a folder comes after it, and could not be made in one that is read only.
    for (path, folder) in folders.into_iter().rev() {
        let place = disk.place(&path)?;
        // Something else may have taken its place since.
        if is_folder(&place) {
            let applied = folder.apply(&place);
            applied.map_err(|e| format!("cannot make {}: {e}", path.display()))?;
        }
    }
    io::copy(pieces, &mut io::sink()).map_err(broken)?;
    if pieces.end != Some(sums) {
        return Err("the archive is not whole".into());
    }
    Ok(sums)
}

/// What is set once all is in a folder.
struct Folder {
    mode: u32,
    mtime: u64,
    owner: Owner,
}

impl Folder {
    fn apply(&self, place: &Path) -> io::Result<()> {
        self.owner.apply(place)?;
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(self.mode);
        fs::set_permissions(place, permissions)?;
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(self.mtime);
        File::open(place)?.set_modified(time)
    }
}

/// Whose something was.
struct Owner {
    uid: u32,
    gid: u32,
}

impl Owner {
    /// Gives it back, where that can be: in a node that knows one user only, all is that user's.
    fn apply(&self, place: &Path) -> io::Result<()> {
        if self.uid == geteuid().as_raw() && self.gid == getegid().as_raw() {
            return Ok(());
        }
        match lchown(place, Some(self.uid), Some(self.gid)) {
            Err(e) if matches!(e.raw_os_error(), Some(libc::EPERM | libc::EINVAL)) => Ok(()),
            other => other,
        }
    }
}

fn unpack<S: Read>(
    disk: &Disk,
    entry: &mut Entry<'_, S>,
    folders: &mut Vec<(PathBuf, Folder)>,
) -> Result<(), String> {
    let path = entry.path().map_err(|e| format!("a path is none: {e}"))?;
    let path = path.into_owned();
    let place = disk.place(&path)?;
    let unpacked = match removed_name(&path) {
        Some(name) => remove_what_is_there(&place.with_file_name(name)),
        None => unpack_at(entry, &place).map(|folder| {
            folders.extend(folder.map(|folder| (path.clone(), folder)));
        }),
    };
    unpacked.map_err(|e| format!("cannot unpack {}: {e}", path.display()))
}

/// Of a file that stands for something that was removed: its name.
fn removed_name(path: &Path) -> Option<std::ffi::OsString> {
    let name = path.file_name()?.as_bytes();
    let name = name.strip_prefix(REMOVED.as_bytes())?;
    // Anything but a name would mean another place.
    let plain = !matches!(name, b"" | b"." | b"..");
    plain.then(|| std::ffi::OsStr::from_bytes(name).to_owned())
}

/// Makes of a place what an entry says; of a folder, what is to be set later.
fn unpack_at<S: Read>(entry: &mut Entry<'_, S>, place: &Path) -> io::Result<Option<Folder>> {
    let header = entry.header();
    let owner = Owner {
        uid: header.uid()? as u32,
        gid: header.gid()? as u32,
    };
    match header.entry_type() {
        EntryType::Directory => {
            let folder = Folder {
                mode: header.mode()?,
                mtime: header.mtime()?,
                owner,
            };
            if !is_folder(place) {
                remove_what_is_there(place)?;
                fs::create_dir(place)?;
            }
            Ok(Some(folder))
        }
        EntryType::Regular | EntryType::GNUSparse | EntryType::Symlink => {
            remove_what_is_there(place)?;
            entry.set_preserve_permissions(true);
            entry.unpack(place)?;
            owner.apply(place)?;
            Ok(None)
        }
        other => Err(io::Error::new(
            ErrorKind::InvalidData,
            format!("{other:?} is nothing that is archived"),
        )),
    }
}

fn remove_what_is_there(place: &Path) -> io::Result<()> {
    match fs::symlink_metadata(place) {
        Ok(metadata) => remove(place, &metadata).map(drop),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
    }
}

/// Cuts what is written into pieces.
struct PieceWriter<'a, W> {
    socket: &'a mut W,
    piece: Vec<u8>,
}

impl<W: Write> Write for PieceWriter<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = ARCHIVE_PIECE_BYTES_MAX - self.piece.len();
        let length = bytes.len().min(room);
        self.piece.extend_from_slice(&bytes[..length]);
        if length == room {
            self.flush()?;
        }
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::take(&mut self.piece);
        self.socket.write_all(&frame(&ArchivePiece::Bytes(piece)))
    }
}

/// Puts pieces together. It ends where its end says that it is whole, and fails where that does not come.
struct Pieces<S> {
    socket: S,
    deframer: Deframer,
    piece: Vec<u8>,
    /// How much of the piece was read.
    read: usize,
    end: Option<Archived>,
}

impl<S: Read> Pieces<S> {
    fn new(socket: S) -> Pieces<S> {
        Pieces {
            socket,
            deframer: Deframer::new(),
            piece: Vec::new(),
            read: 0,
            end: None,
        }
    }

    fn next(&mut self) -> io::Result<ArchivePiece> {
        let mut bytes = [0; ARCHIVE_PIECE_BYTES_MAX];
        loop {
            if let Some(piece) = self.deframer.next_message().map_err(io::Error::other)? {
                return Ok(piece);
            }
            match self.socket.read(&mut bytes)? {
                0 => return Err(io::Error::new(ErrorKind::UnexpectedEof, "it broke off")),
                length => self.deframer.push(&bytes[..length]),
            }
        }
    }
}

impl<S: Read> Read for Pieces<S> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        while self.read == self.piece.len() {
            if self.end.is_some() {
                return Ok(0);
            }
            match self.next()? {
                ArchivePiece::Bytes(piece) => (self.piece, self.read) = (piece, 0),
                ArchivePiece::End(Ok(archived)) => self.end = Some(archived),
                ArchivePiece::End(Err(reason)) => return Err(io::Error::other(reason)),
            }
        }
        let length = bytes.len().min(self.piece.len() - self.read);
        bytes[..length].copy_from_slice(&self.piece[self.read..self.read + length]);
        self.read += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink};
    use std::os::unix::net::UnixListener;

    use super::*;

    /// An image's files, and what lies beside its root.
    struct Image(tempfile::TempDir);

    impl Image {
        fn new() -> Image {
            let folder = tempfile::tempdir().unwrap();
            let image = Image(folder);
            fs::create_dir_all(image.at("etc/deep")).unwrap();
            fs::write(image.at("etc/conf"), "first").unwrap();
            fs::write(image.at("etc/deep/file"), "first").unwrap();
            fs::write(image.at("motd"), "hello").unwrap();
            symlink("etc", image.at("link")).unwrap();
            fs::write(image.beside(), "beside").unwrap();
            image
        }

        fn root(&self) -> PathBuf {
            self.0.path().join("root")
        }

        fn at(&self, name: &str) -> PathBuf {
            self.root().join(name)
        }

        fn beside(&self) -> PathBuf {
            self.0.path().join("beside")
        }

        fn disk(&self) -> Disk {
            Disk::new(self.root(), None, crate::provided::Provided::default()).unwrap()
        }
    }

    /// The two directions of a socket.
    struct Socket<'a> {
        heard: &'a [u8],
        said: Vec<u8>,
    }

    impl Read for Socket<'_> {
        fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
            self.heard.read(bytes)
        }
    }

    impl Write for Socket<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.said.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn saved(disk: &Disk) -> Vec<u8> {
        let mut bytes = Vec::new();
        save(disk, &mut bytes).unwrap();
        bytes
    }

    fn restored(disk: &Disk, heard: &[u8]) -> Result<Archived, String> {
        let said = Vec::new();
        let mut socket = Socket { heard, said };
        restore(disk, &mut socket).unwrap();
        let mut deframer = Deframer::new();
        deframer.push(&socket.said);
        match deframer.next_message().unwrap() {
            Some(ArchivePiece::End(result)) => result,
            other => panic!("{other:?}"),
        }
    }

    /// All that is below a folder: kind and permissions, and what is in it or where it points to.
    fn content(folder: &Path) -> Vec<(PathBuf, u32, String)> {
        let mut found = Vec::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(next) = folders.pop() {
            for entry in fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                let metadata = fs::symlink_metadata(&path).unwrap();
                let text = if metadata.is_symlink() {
                    fs::read_link(&path).unwrap().display().to_string()
                } else {
                    fs::read_to_string(&path).unwrap_or_default()
                };
                if metadata.is_dir() {
                    folders.push(path.clone());
                }
                let name = path.strip_prefix(folder).unwrap().to_owned();
                found.push((name, metadata.mode(), text));
            }
        }
        found.sort();
        found
    }

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_was_written_is_the_same_elsewhere() {
        let (here, there) = (Image::new(), Image::new());
        let (disk, other) = (here.disk(), there.disk());
        fs::create_dir_all(here.at("data/regtest")).unwrap();
        let long = format!("data/regtest/{}", "n".repeat(200));
        fs::write(here.at(&long), "x".repeat(3 * ARCHIVE_PIECE_BYTES_MAX)).unwrap();
        fs::write(here.at("data/secret"), "s").unwrap();
        mode(&here.at("data/secret"), 0o600);
        symlink("/nowhere", here.at("data/away")).unwrap();
        let _socket = UnixListener::bind(here.at("data/rpc.sock")).unwrap();
        // Of the image: changed, removed, and of another kind.
        fs::write(here.at("motd"), "other words").unwrap();
        fs::remove_file(here.at("etc/conf")).unwrap();
        fs::remove_dir_all(here.at("etc/deep")).unwrap();
        fs::write(here.at("etc/deep"), "no folder").unwrap();
        fs::remove_file(here.at("link")).unwrap();
        fs::create_dir(here.at("link")).unwrap();
        // Read only once all is in it.
        mode(&here.at("data/regtest"), 0o500);
        // Its content has holes, which are none on disk there either.
        let sparse = File::create(here.at("data/map")).unwrap();
        sparse.set_len(64 << 20).unwrap();
        sparse.write_all_at(b"x", 32 << 20).unwrap();
        let archive = saved(&disk);
        assert!(archive.len() < 1 << 20, "{}", archive.len());
        let sums = restored(&other, &archive).unwrap();
        assert_eq!(sums.entries, 10);
        fs::remove_file(here.at("data/rpc.sock")).unwrap();
        assert_eq!(content(&there.root()), content(&here.root()));
        assert_eq!(fs::read_to_string(there.beside()).unwrap(), "beside");
        let blocks = fs::metadata(there.at("data/map")).unwrap().blocks();
        assert!(blocks * 512 < 1 << 20, "{blocks}");
        // What was restored is what is saved next.
        assert_eq!(saved(&other).len(), archive.len());
    }

    #[test]
    fn nothing_was_written_and_nothing_is_restored() {
        let (here, there) = (Image::new(), Image::new());
        let (disk, other) = (here.disk(), there.disk());
        let before = content(&there.root());
        assert_eq!(restored(&other, &saved(&disk)), Ok(Archived::default()));
        assert_eq!(content(&there.root()), before);
    }

    #[test]
    fn what_breaks_off_or_tells_of_an_error_is_not_whole() {
        let (here, there) = (Image::new(), Image::new());
        let disk = here.disk();
        fs::write(here.at("new"), "x".repeat(5_000)).unwrap();
        let archive = saved(&disk);
        let other = there.disk();
        for cut in (0..archive.len()).step_by(97).chain([archive.len() - 1]) {
            let told = restored(&other, &archive[..cut]).unwrap_err();
            assert!(told.contains("broke off"), "{cut}: {told}");
        }
        restored(&other, &archive).unwrap();
        assert_eq!(
            restored(&other, &refused("no disk")).unwrap_err(),
            "the archive cannot be read: no disk"
        );
        // Its end tells of one more than there are.
        let end = frame(&ArchivePiece::End(Ok(Archived {
            entries: 2,
            bytes: 5_000,
        })));
        let mut bytes = archive[..archive.len() - end.len()].to_vec();
        bytes.extend(end);
        assert_eq!(
            restored(&other, &bytes).unwrap_err(),
            "the archive is not whole"
        );
    }

    /// An archive of one entry, whatever its name.
    fn hostile(name: &str, kind: EntryType, content: &[u8]) -> Vec<u8> {
        hostiles(&[(name, kind)], content)
    }

    /// The same of several with the same content.
    fn hostiles(entries: &[(&str, EntryType)], content: &[u8]) -> Vec<u8> {
        let mut tar = Builder::new(Vec::new());
        for (name, kind) in entries {
            let mut header = Header::new_ustar();
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(*kind);
            header.set_size(content.len() as u64);
            header.set_mode(0o777);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(0);
            if matches!(kind, EntryType::Link | EntryType::Symlink) {
                header.set_link_name("../beside").unwrap();
            }
            header.set_cksum();
            tar.append(&header, content).unwrap();
        }
        let count = entries.len() as u64;
        let end = ArchivePiece::End(Ok(Archived {
            entries: count,
            bytes: count * content.len() as u64,
        }));
        let bytes = ArchivePiece::Bytes(tar.into_inner().unwrap());
        [frame(&bytes), frame(&end)].concat()
    }

    #[test]
    fn an_archive_leads_nowhere_else() {
        let image = Image::new();
        symlink("..", image.at("up")).unwrap();
        let (disk, before) = (image.disk(), content(&image.root()));
        let file = EntryType::Regular;
        for (name, kind) in [
            ("../beside", file),
            ("etc/../../beside", file),
            ("/beside", file),
            ("up/beside", file),
            ("link/conf", file),
            ("up/../beside", EntryType::Directory),
            ("", file),
            (".", EntryType::Directory),
            ("../.wh.beside", file),
            ("up/.wh.beside", file),
            ("node", EntryType::Block),
            ("pipe", EntryType::Fifo),
            ("same", EntryType::Link),
            ("motd/x", file),
        ] {
            let content = if kind == file { &b"x"[..] } else { b"" };
            restored(&disk, &hostile(name, kind, content)).expect_err(name);
        }
        assert_eq!(content(&image.root()), before);
        // A link is one, and what it points at is not touched when something takes its place.
        restored(&disk, &hostile("new", EntryType::Symlink, b"")).unwrap();
        restored(&disk, &hostile("new", file, b"x")).unwrap();
        assert_eq!(fs::read_to_string(image.at("new")).unwrap(), "x");
        restored(&disk, &hostile(".wh...", file, b"")).unwrap();
        assert_eq!(fs::read_to_string(image.beside()).unwrap(), "beside");
        // What a folder is to be is nothing that a link in its place hands on.
        let mode = || fs::metadata(image.beside()).unwrap().mode() & 0o777;
        let was = mode();
        let kinds = [("late", EntryType::Directory), ("late", EntryType::Symlink)];
        restored(&disk, &hostiles(&kinds, b"")).unwrap();
        assert_eq!(mode(), was);
        assert_ne!(was, 0o777);
        restored(&disk, &hostile(".wh.motd", file, b"")).unwrap();
        assert!(!image.at("motd").exists());
    }

    #[test]
    fn a_name_that_would_mean_what_was_removed_cannot_be_saved() {
        let image = Image::new();
        let disk = image.disk();
        fs::write(image.at(".wh.motd"), "x").unwrap();
        let told = restored(&Image::new().disk(), &saved(&disk)).unwrap_err();
        assert!(told.contains("a name that begins with .wh."), "{told}");
    }
}
