//! How the node's program is started, and how its disk is emptied, archived and restored: in a child of the
//! gate, with the program's identity and rights. When that happens is the supervisor's business.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, PipeReader, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context as _, Result, anyhow, bail};
use peerlab_link::framing::frame;
use peerlab_link::proto::{FileStamp, RAN_BYTES_MAX, Ran, Terminal, decode, encode};

use crate::archive;
use crate::digest;
use crate::disk::Disk;
use crate::ended;
use crate::privileges::{ProgramRights, become_program};
use crate::signals::{leave_room, unblock_all};
use crate::supervisor::{Pid, StartError};
use crate::talk;

/// Where programs are looked for when the environment does not say.
const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// A shell's exit code for a command that is not there.
const STATUS_NOT_FOUND: i32 = 127;
/// A shell's exit code for a command that cannot be run.
const STATUS_NOT_RUNNABLE: i32 = 126;
/// How programs are scheduled: only where nothing else wants the CPU. When many nodes want it at
/// once, as they do when a block arrives, the fabric comes first, or packets would be late. (Even
/// the greatest niceness adds up: five hundred nodes that have something to do then weigh seven
/// times what the fabric does.) Between nodes it changes nothing.
const POLICY: libc::c_int = libc::SCHED_IDLE;
/// The node's root, which is the gate's as well.
const ROOT: &str = "/";
/// `HOME` of the container's root, which engines set when the image says nothing.
const HOME_OF_ROOT: &str = "/root";

/// A program that can be started, again and again.
#[derive(Debug)]
pub struct Program {
    file: PathBuf,
    command: Vec<OsString>,
    workdir: Option<PathBuf>,
}

impl Program {
    /// Finds the program as a shell would: a name with a slash is a path (from the working
    /// directory), any other is looked for along `PATH`.
    ///
    /// # Errors
    /// When none is named, there is no such file, or it is not executable.
    pub fn find(command: Vec<OsString>, workdir: Option<PathBuf>) -> Result<Program> {
        let path = std::env::var_os("PATH").unwrap_or_else(|| PATH_DEFAULT.into());
        let name = command.first().context("there is no program to run")?;
        let file = find_file(name, workdir.as_deref(), &path)?;
        Ok(Program {
            file,
            command,
            workdir,
        })
    }

    /// Starts the program in a process group of its own, but in the gate's session: where the
    /// kernel groups what it schedules by session (autogroup), all nodes of the local engine
    /// together are then one group beside the fabric's, rather than a thousand.
    ///
    /// # Errors
    /// When it cannot be started, with a shell's exit code for it.
    pub fn start(&self, rights: &ProgramRights) -> Result<Pid, StartError> {
        let mut command = self.command(&self.file, &self.command, rights);
        let rights = rights.clone();
        // SAFETY: the gate has a single thread, so the child may do what any program may.
        unsafe {
            command.pre_exec(move || {
                leave_the_gate()?;
                leave_room()?;
                unblock_all();
                close_on_exec()?;
                become_program(&rights)?;
                Ok(())
            });
        }
        // The standard library restores SIGPIPE in the child.
        match command.spawn() {
            Ok(child) => Ok(child.id().cast_signed()),
            Err(e) => Err(not_started(&self.file, &e)),
        }
    }

    /// Runs another program beside it, in the same place and with the same rights, and what came
    /// of it ([`Ran`]) comes out of the socket. A process between waits for it, in its group.
    ///
    /// # Errors
    /// When there is no such program, or no process can be made.
    pub fn run(
        &self,
        command: &[OsString],
        rights: &ProgramRights,
    ) -> io::Result<(Pid, UnixStream)> {
        self.beside(command, rights, |program, file| {
            tell(&outcome(program, file))
        })
    }

    /// Starts another program beside it, in the same place and with the same rights, whose standard streams
    /// are the socket; or a terminal behind it, where one is wanted and the node can have any. A process
    /// between carries what is said, in its group, and ends what it started once nobody listens any more.
    ///
    /// # Errors
    /// As [`Program::run`].
    pub fn talk(
        &self,
        command: &[OsString],
        terminal: Option<&Terminal>,
        rights: &ProgramRights,
    ) -> io::Result<(Pid, UnixStream)> {
        self.beside(command, rights, |program, _| {
            let socket = UnixStream::from(rustix::stdio::stdout().try_clone_to_owned()?);
            talk::carry(program, &socket, terminal)
        })
    }

    /// Makes a process beside the program, with the same rights, that does this work with another: with what
    /// starts that, and its file. Its standard output is the other end of the socket.
    fn beside(
        &self,
        command: &[OsString],
        rights: &ProgramRights,
        work: impl FnOnce(&mut Command, &Path) -> io::Result<()>,
    ) -> io::Result<(Pid, UnixStream)> {
        let file = self.find_other(command)?;
        let (ours, theirs) = UnixStream::pair()?;
        let mut command = self.command(&file, command, rights);
        let pid = fork(rights, || {
            leave_the_gate()?;
            leave_room()?;
            rustix::stdio::dup2_stdout(&theirs)?;
            // Among them the gate's end of what it speaks to the fabric with.
            close_inherited();
            work(&mut command, &file)
        })?;
        Ok((pid, ours))
    }

    /// Finds a program as [`Program::find`] does.
    fn find_other(&self, command: &[OsString]) -> io::Result<PathBuf> {
        let path = std::env::var_os("PATH").unwrap_or_else(|| PATH_DEFAULT.into());
        let errno = io::Error::from_raw_os_error;
        let name = command.first().ok_or_else(|| errno(libc::EINVAL))?;
        find_file(name, self.workdir.as_deref(), &path).map_err(|_| errno(libc::ENOENT))
    }

    /// A program with these words, in the node's place.
    fn command(&self, file: &Path, words: &[OsString], rights: &ProgramRights) -> Command {
        let mut command = Command::new(file);
        command
            .arg0(&words[0])
            .args(&words[1..])
            .stdin(Stdio::null());
        if let Some(workdir) = &self.workdir {
            command.current_dir(workdir);
        }
        if let Some(identity) = &rights.identity
            && std::env::var_os("HOME").is_none_or(|home| home == HOME_OF_ROOT)
        {
            command.env("HOME", &identity.home);
        }
        command
    }
}

/// Starts a process that empties a disk as the program's user, so that it can remove what the program
/// can, and nothing else. What came of it, [`emptied`], comes out of the pipe.
///
/// # Errors
/// When no process can be made.
pub fn start_emptying(disk: &Disk, rights: &ProgramRights) -> io::Result<(Pid, PipeReader)> {
    let (ours, mut theirs) = io::pipe()?;
    let pid = fork(rights, || theirs.write_all(&encode(&disk.renew())))?;
    Ok((pid, ours))
}

/// How many files and folders a process has removed that has ended with this status.
pub fn emptied(status: i32, mut told: PipeReader) -> Result<u64, String> {
    let mut bytes = Vec::new();
    let read = told.read_to_end(&mut bytes).map(|_| decode(&bytes));
    match read {
        Ok(Ok(result)) => result,
        _ => Err(format!(
            "what was to empty the disk ended with status {status}"
        )),
    }
}

/// Which way what a node has written goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carry {
    /// Out of the socket.
    Out,
    /// Into the socket.
    In,
}

/// Starts a process that carries what the node has written, as the program's user, so that it reads and writes
/// what the program can, and nothing else.
///
/// # Errors
/// When no process can be made.
pub fn start_carrying(
    carry: Carry,
    disk: &Disk,
    rights: &ProgramRights,
) -> io::Result<(Pid, UnixStream)> {
    speaking(rights, || {
        let mut socket = UnixStream::from(rustix::stdio::stdout().try_clone_to_owned()?);
        match carry {
            Carry::Out => archive::save(disk, &mut socket),
            Carry::In => archive::restore(disk, &mut socket),
        }
    })
}

/// Starts a process that makes the digest of a file, as the program's user; it comes out of the socket.
///
/// # Errors
/// When no process can be made.
pub fn start_digest(
    path: String,
    unless: Option<FileStamp>,
    rights: &ProgramRights,
) -> io::Result<(Pid, UnixStream)> {
    speaking(rights, || {
        let digested = digest::digest(Path::new(ROOT), Path::new(&path), unless);
        io::stdout().write_all(&frame(&digested))?;
        io::stdout().flush()
    })
}

/// Makes a process that does this work with the program's identity and rights, and whose standard output is the
/// other end of the socket.
fn speaking(
    rights: &ProgramRights,
    work: impl FnOnce() -> io::Result<()>,
) -> io::Result<(Pid, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    let pid = fork(rights, || {
        leave_the_gate()?;
        rustix::stdio::dup2_stdout(&theirs)?;
        // Among them the gate's end, without which a socket whose other end is gone would not be told.
        close_inherited();
        work()
    })?;
    Ok((pid, ours))
}

/// Makes a process that does this work with the program's identity and rights. Its exit code is an
/// errno, or zero.
fn fork(rights: &ProgramRights, work: impl FnOnce() -> io::Result<()>) -> io::Result<Pid> {
    // SAFETY: the gate has a single thread, so the child may do what any program may.
    match unsafe { libc::fork() } {
        0 => {
            unblock_all();
            let result = become_program(rights)
                .map_err(io::Error::from)
                .and_then(|()| work());
            let status = result
                .err()
                .map_or(0, |e| e.raw_os_error().unwrap_or(libc::EIO));
            // SAFETY: ends this process at once, running nothing of the gate's.
            unsafe { libc::_exit(status) }
        }
        pid if pid > 0 => Ok(pid),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Runs a program to its end.
fn outcome(command: &mut Command, file: &Path) -> Ran {
    run_to_end(command).unwrap_or_else(|e| {
        let StartError { status, reason } = not_started(file, &e);
        Ran {
            status,
            output: Vec::new(),
            errors: reason.into_bytes(),
        }
    })
}

/// The same, where it can be started.
fn run_to_end(command: &mut Command) -> io::Result<Ran> {
    let (output, its_output) = io::pipe()?;
    let (errors, its_errors) = io::pipe()?;
    let errors = thread::Builder::new().spawn(move || beginning(errors))?;
    let child = command.stdout(its_output).stderr(its_errors).spawn();
    // Nobody but the program has the other ends now.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = child?;
    let output = beginning(output);
    let status = child.wait()?;
    Ok(Ran {
        status: ended::number(status.into_raw()),
        output,
        errors: errors.join().unwrap_or_default(),
    })
}

/// As much of what is written to a pipe as may be told; what follows is read as well, or its writer would
/// wait.
fn beginning(mut pipe: PipeReader) -> Vec<u8> {
    let mut bytes = Vec::new();
    let kept = pipe
        .by_ref()
        .take(RAN_BYTES_MAX as u64)
        .read_to_end(&mut bytes);
    let _ = kept.and_then(|_| io::copy(&mut pipe, &mut io::sink()));
    bytes
}

/// Passes on what came of a program; its errors go to the node's log as well.
fn tell(ran: &Ran) -> io::Result<()> {
    let mut out = io::stdout();
    out.write_all(&frame(ran))?;
    out.flush()?;
    // Last: whoever reads the log may be slow.
    io::stderr().write_all(&ran.errors)
}

/// Why a program does not run, and what a shell would exit with.
pub fn not_started(file: &Path, error: &io::Error) -> StartError {
    StartError {
        status: if error.kind() == io::ErrorKind::NotFound {
            STATUS_NOT_FOUND
        } else {
            STATUS_NOT_RUNNABLE
        },
        reason: format!("cannot start {}: {error}", file.display()),
    }
}

/// A process group of its own, and [`POLICY`], which needs no right. Where that is refused, packets
/// are later, which the lateness figures show.
fn leave_the_gate() -> io::Result<()> {
    rustix::process::setpgid(None, None)?;
    let none = libc::sched_param { sched_priority: 0 };
    // SAFETY: the kernel reads the structure given; process zero is the calling one.
    let _ = unsafe { libc::sched_setscheduler(0, POLICY, &raw const none) };
    Ok(())
}

/// Closes whatever descriptors this process was started with, but the standard three. To be
/// called first of all, or in a child of the gate that touches nothing of the gate's any more.
pub fn close_inherited() {
    // SAFETY: no descriptor that anything in this process owns is used, or closed, from now on.
    unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) };
}

/// Every descriptor but the standard three closes when the program starts.
fn close_on_exec() -> io::Result<()> {
    // SAFETY: close_range with this flag only marks descriptors.
    let result = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            3,
            u32::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    if result == 0 {
        return Ok(());
    }
    // Kernels before 5.11 lack it. Every descriptor that the gate opens is so marked anyway.
    for entry in fs::read_dir("/proc/self/fd")? {
        let Some(fd) = entry?
            .file_name()
            .to_str()
            .and_then(|n| n.parse::<i32>().ok())
        else {
            continue;
        };
        if fd > 2 {
            // SAFETY: only marks the descriptor.
            unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
    Ok(())
}

/// See [`Program::find`].
fn find_file(name: &OsStr, workdir: Option<&Path>, path: &OsStr) -> Result<PathBuf> {
    if name.as_bytes().contains(&b'/') {
        let file = workdir.unwrap_or(Path::new("")).join(name);
        return match fs::metadata(&file) {
            Ok(m) if !is_executable(&m) => {
                bail!("the program {} is not an executable file", file.display())
            }
            Ok(_) => Ok(file),
            Err(e) => Err(anyhow!(
                "the program {} cannot be used: {e}",
                file.display()
            )),
        };
    }
    std::env::split_paths(path)
        .map(|folder| folder.join(name))
        .find(|file| fs::metadata(file).is_ok_and(|m| is_executable(&m)))
        .ok_or_else(|| {
            anyhow!(
                "no program {} in the image (PATH={})",
                name.display(),
                path.display()
            )
        })
}

/// Whether somebody may execute this file.
fn is_executable(metadata: &fs::Metadata) -> bool {
    metadata.is_file() && metadata.permissions().mode() & 0o111 != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_as_a_shell_finds_them() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (name, mode) in [("a/prog", 0o644), ("b/prog", 0o755), ("b/plain", 0o644)] {
            fs::create_dir_all(at(name).parent().unwrap()).unwrap();
            fs::write(at(name), "").unwrap();
            fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        fs::create_dir(at("a/plain")).unwrap();
        let path = std::env::join_paths([at("a"), at("b")]).unwrap();
        let find = |name: &str| find_file(name.as_ref(), Some(folder.path()), &path);

        assert_eq!(find("prog").unwrap(), at("b/prog"));
        assert_eq!(find("b/prog").unwrap(), at("b/prog"));
        assert_eq!(find("./b/prog").unwrap(), at("./b/prog"));
        assert!(
            find("plain")
                .unwrap_err()
                .to_string()
                .contains("no program plain")
        );
        assert!(
            find("a/prog")
                .unwrap_err()
                .to_string()
                .contains("not an executable file")
        );
        assert!(
            find("a/none")
                .unwrap_err()
                .to_string()
                .contains("No such file")
        );
        assert!(
            find("a/plain")
                .unwrap_err()
                .to_string()
                .contains("not an executable file")
        );
    }
}
