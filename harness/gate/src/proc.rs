//! /proc as the gate reads it: which processes and threads there are, and what `stat` says of one.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use crate::supervisor::Pid;

/// Bytes of a file of /proc that are read; what is looked for stands in the first lines of each.
const PROC_FILE_BYTES_MAX: usize = 4096;

/// The processes that are seen here but PID 1, which is the gate.
pub fn processes() -> impl Iterator<Item = Pid> {
    numbers("/proc").filter(|&pid| pid != 1)
}

/// The threads of a process, each with its folder.
pub fn threads(process: Pid) -> impl Iterator<Item = (Pid, String)> {
    let folder = format!("/proc/{process}/task");
    let threads = numbers(&folder);
    threads.map(move |thread| (thread, format!("{folder}/{thread}")))
}

/// The entries of a folder that are numbers.
fn numbers(folder: &str) -> impl Iterator<Item = Pid> + use<> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// Makes something of a file of /proc, with one call for its text where [`fs::read_to_string`] needs many:
/// it does not know the length.
pub fn read_once<T>(path: impl AsRef<Path>, made: impl FnOnce(&str) -> Option<T>) -> Option<T> {
    let mut text = [0; PROC_FILE_BYTES_MAX];
    let length = File::open(path).ok()?.read(&mut text).ok()?;
    made(str::from_utf8(&text[..length]).ok()?)
}

/// What `stat` says of a process, or of one of its threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// A letter.
    pub state: char,
    pub parent: Pid,
    /// Its process group.
    pub group: Pid,
    /// CPU time of the children that it has waited for, in ticks.
    pub children_ticks: u64,
    /// Bytes of its address space; none once it has ended.
    pub memory: u64,
}

impl Stat {
    /// Reads it of what has this folder.
    pub fn of(folder: &str) -> Option<Stat> {
        read_once(format!("{folder}/stat"), Stat::from_text)
    }

    /// The second field is a name in parentheses that may hold anything, so counting starts behind its end.
    fn from_text(text: &str) -> Option<Stat> {
        let (_, rest) = text.rsplit_once(')')?;
        let mut fields = rest.split_ascii_whitespace();
        // Counted as the kernel's manual does, from one.
        let mut field = 2;
        let mut at = |number: usize| {
            let skipped = number - field - 1;
            field = number;
            fields.nth(skipped)
        };
        let state = at(3)?.chars().next()?;
        let parent = at(4)?.parse().ok()?;
        let group = at(5)?.parse().ok()?;
        // Signed in the format, though never negative.
        let user: i64 = at(16)?.parse().ok()?;
        let system: i64 = at(17)?.parse().ok()?;
        Some(Stat {
            state,
            parent,
            group,
            children_ticks: u64::try_from(user.checked_add(system)?).ok()?,
            memory: at(23)?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_whatever_a_program_is_called() {
        let text =
            "17 (evil) 9 (x) S 1 16 17 0 -1 4194560 200 0 0 0 11 12 13 14 20 0 1 0 99 4096 5";
        let stat = Stat {
            state: 'S',
            parent: 1,
            group: 16,
            children_ticks: 27,
            memory: 4096,
        };
        assert_eq!(Stat::from_text(text), Some(stat));
        assert_eq!(Stat::from_text("17 (x"), None);
        assert_eq!(Stat::from_text("17 (x) S 1 16"), None);
    }

    #[test]
    fn this_process_is_read_and_its_threads_share_its_memory() {
        let own = std::process::id().cast_signed();
        let all = Stat::of(&format!("/proc/{own}")).unwrap();
        let thread = rustix::thread::gettid().as_raw_nonzero().get();
        let (_, folder) = threads(own).find(|(it, _)| *it == thread).unwrap();
        let of_thread = Stat::of(&folder).unwrap();
        assert_eq!((of_thread.state, of_thread.group), ('R', all.group));
        assert!(all.memory > 0 && of_thread.memory > 0);
        assert!(processes().any(|pid| pid == own));
    }
}
