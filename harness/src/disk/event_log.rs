//! `events.jsonl` on disk: one RunEvent a line, streamed out while the run goes on and streamed
//! in when it is judged, never held whole. What the lines mean is `run_event`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use sha2::{Digest, Sha256};

use peerlab_core::event::{RunEvent, What};

/// Longest line that the reader takes: the counters of 100,000 nodes fit, and a damaged file
/// without line ends cannot fill the memory.
const LINE_BYTES_MAX: u64 = 64 << 20;

/// What is written out at once, unless a phase border comes first.
const WRITE_BUFFER_BYTES: usize = 256 << 10;

/// The log could not be written or read: which file, where, and why, for people.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct LogError(String);

/// Writes events to disk as they come.
///
/// Lines are buffered; phase borders, `Ended` and [`EventLog::finish`] flush them, so that what
/// a killed run leaves is whole up to the last phase border at least.
#[derive(Debug)]
pub struct EventLog {
    path: PathBuf,
    out: BufWriter<File>,
    /// Of a network that stays: what keeps it small.
    bound: Option<Bound>,
    /// Why the log stopped; every later write repeats it.
    failed: Option<LogError>,
}

impl EventLog {
    /// Creates the file, or empties it.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn create(path: &Path) -> Result<EventLog, LogError> {
        let file = File::create(path)
            .map_err(|e| LogError(format!("cannot create {}: {e}", path.display())))?;
        mark_written(&file);
        Ok(EventLog {
            path: path.to_owned(),
            out: BufWriter::with_capacity(WRITE_BUFFER_BYTES, file),
            bound: None,
            failed: None,
        })
    }

    /// The same for a network that may stay for long: each line is written out at once, and the file
    /// is bounded. Beyond `bytes_max` measurements are left out, and beyond twice as much everything
    /// but its last line.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn create_bounded(path: &Path, bytes_max: u64) -> Result<EventLog, LogError> {
        let bound = Some(Bound {
            bytes_max,
            bytes: 0,
            told: 0,
        });
        Ok(EventLog {
            bound,
            ..EventLog::create(path)?
        })
    }

    /// Adds one event.
    ///
    /// # Errors
    /// When this line, or one buffered before it, could not be written. The run must then end
    /// as an environment error: its record has a hole.
    pub fn write(&mut self, event: &RunEvent) -> Result<(), LogError> {
        self.unfailed()?;
        if self.bound.as_mut().is_some_and(|bound| !bound.keeps(event)) {
            return Ok(());
        }
        if self.bound.is_some() {
            return self.write_at_once(event);
        }
        let result = serde_json::to_writer(&mut self.out, event)
            .map_err(io::Error::from)
            .and_then(|()| self.out.write_all(b"\n"));
        self.note(result)?;
        match event.what {
            What::Phase { .. } | What::Ended { .. } => self.flush(),
            _ => Ok(()),
        }
    }

    fn write_at_once(&mut self, event: &RunEvent) -> Result<(), LogError> {
        let line = serde_json::to_vec(event).map_err(io::Error::from);
        let result = line.and_then(|mut line| {
            line.push(b'\n');
            if let Some(bound) = &mut self.bound {
                bound.bytes += line.len() as u64;
            }
            self.out.write_all(&line)?;
            self.out.flush()
        });
        self.note(result)
    }

    /// Hands everything written so far to the operating system.
    ///
    /// # Errors
    /// As [`EventLog::write`].
    pub fn flush(&mut self) -> Result<(), LogError> {
        self.unfailed()?;
        let result = self.out.flush();
        self.note(result)
    }

    /// Flushes, and waits until the file is on the disk.
    ///
    /// # Errors
    /// As [`EventLog::write`].
    pub fn finish(mut self) -> Result<(), LogError> {
        self.flush()?;
        let result = match self.out.get_ref().sync_all() {
            // A pipe or a character device cannot be synchronised, and need not be.
            Err(e) if e.kind() == io::ErrorKind::InvalidInput => Ok(()),
            other => other,
        };
        self.note(result)
    }

    fn unfailed(&self) -> Result<(), LogError> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    fn note(&mut self, result: io::Result<()>) -> Result<(), LogError> {
        result.map_err(|e| {
            let path = self.path.display();
            let error = LogError(format!("cannot write the run's events to {path}: {e}"));
            self.failed.insert(error).clone()
        })
    }
}

/// Lets others see that a file is written to, as long as it is open. Not every file system can.
pub fn mark_written(file: &File) {
    if let Err(error) = flock(file, FlockOperation::NonBlockingLockExclusive) {
        tracing::debug!("a file of a run cannot be locked: {error}");
    }
}

/// Whether some process has marked a file as one that it writes to.
pub fn is_written(path: &Path) -> bool {
    let Ok(file) = File::open(path) else {
        return false;
    };
    let locked = flock(&file, FlockOperation::NonBlockingLockShared);
    locked == Err(rustix::io::Errno::WOULDBLOCK)
}

/// What a log leaves out once it is long.
#[derive(Debug)]
struct Bound {
    bytes_max: u64,
    /// Written so far.
    bytes: u64,
    /// How often it was told that something is left out from now on.
    told: u32,
}

impl Bound {
    /// Whether an event is still written. What is left out from now on is told once.
    fn keeps(&mut self, event: &RunEvent) -> bool {
        let left_out = match self.bytes / self.bytes_max.max(1) {
            0 => return true,
            1 => "measurements are",
            _ => "everything but its end is",
        };
        let level = u32::try_from(self.bytes / self.bytes_max.max(1))
            .unwrap_or(2)
            .min(2);
        if self.told < level {
            self.told = level;
            let mb = self.bytes / 1_000_000;
            tracing::warn!("the record has {mb} MB: {left_out} left out from now on");
        }
        match &event.what {
            What::Ended { .. } => true,
            what => level < 2 && !what.is_measurement(),
        }
    }
}

/// Reads events from disk, one at a time. After the last event ask [`EventReader::torn`].
#[derive(Debug)]
pub struct EventReader<R = BufReader<File>> {
    path: PathBuf,
    input: R,
    /// The line read last, from 1.
    line: u64,
    buffer: Vec<u8>,
    torn: Option<u64>,
    ended: bool,
    digest: Sha256,
}

impl EventReader {
    /// Opens a file of events.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> Result<EventReader, LogError> {
        let file = File::open(path)
            .map_err(|e| LogError(format!("cannot open {}: {e}", path.display())))?;
        Ok(EventReader::new(path, BufReader::new(file)))
    }
}

impl<R: BufRead> EventReader<R> {
    /// Reads from anything; `path` is for messages only.
    pub fn new(path: &Path, input: R) -> EventReader<R> {
        EventReader {
            path: path.to_owned(),
            input,
            line: 0,
            buffer: Vec::new(),
            torn: None,
            ended: false,
            digest: Sha256::new(),
        }
    }

    /// The number of the last line, when it was cut off in the middle: the run was killed while
    /// it wrote. The events before it are whole.
    pub fn torn(&self) -> Option<u64> {
        self.torn
    }

    /// SHA-256 of all that was read, in hex: at the end, what `sha256sum` says of the file.
    pub fn sha256(&self) -> String {
        format!("{:x}", self.digest.clone().finalize())
    }

    /// Reads one event, or the end.
    fn read_event(&mut self) -> Result<Option<RunEvent>, LogError> {
        let whole = self.read_line().map_err(|e| {
            let (path, line) = (self.path.display(), self.line);
            LogError(format!("cannot read {path} at line {line}: {e}"))
        })?;
        if self.buffer.is_empty() && !whole {
            return Ok(None);
        }
        match serde_json::from_slice(&self.buffer) {
            Ok(event) => Ok(Some(event)),
            Err(_) if !whole => {
                self.torn = Some(self.line);
                Ok(None)
            }
            Err(e) => {
                let (path, line) = (self.path.display(), self.line);
                Err(LogError(format!("{path}, line {line}: {e}")))
            }
        }
    }

    /// Reads one line and says whether it has its end.
    fn read_line(&mut self) -> io::Result<bool> {
        self.buffer.clear();
        self.line += 1;
        let mut limited = (&mut self.input).take(LINE_BYTES_MAX);
        limited.read_until(b'\n', &mut self.buffer)?;
        self.digest.update(&self.buffer);
        let whole = self.buffer.last() == Some(&b'\n');
        if whole {
            self.buffer.pop();
        } else if self.buffer.len() as u64 == LINE_BYTES_MAX {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("the line is longer than {LINE_BYTES_MAX} bytes"),
            ));
        }
        Ok(whole)
    }
}

impl<R: BufRead> Iterator for EventReader<R> {
    type Item = Result<RunEvent, LogError>;

    /// After an error the reader yields nothing more.
    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.read_event().transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }
}

#[cfg(test)]
mod tests {
    use peerlab_link::{Nanos, NodeId};

    use super::*;
    use peerlab_core::event::Tip;
    use peerlab_core::report::files;

    fn tip_event(t: u64, height: u32) -> RunEvent {
        RunEvent {
            t: Nanos(t),
            what: What::Tip {
                node: NodeId(3),
                tip: Tip {
                    hash: format!("{height:064x}"),
                    height,
                },
            },
        }
    }

    fn phase_event(t: u64) -> RunEvent {
        RunEvent {
            t: Nanos(t),
            what: What::Phase {
                name: "faults".into(),
            },
        }
    }

    fn read(bytes: &[u8]) -> (Vec<Result<RunEvent, LogError>>, Option<u64>) {
        let mut reader = EventReader::new(Path::new("events.jsonl"), bytes);
        let events = reader.by_ref().collect();
        (events, reader.torn())
    }

    #[test]
    fn what_is_written_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(files::EVENTS);
        let events = vec![tip_event(5, 1), phase_event(6), tip_event(7, 2)];
        let mut log = EventLog::create(&path).unwrap();
        for event in &events {
            log.write(event).unwrap();
        }
        log.finish().unwrap();

        let mut reader = EventReader::open(&path).unwrap();
        let back: Vec<RunEvent> = reader.by_ref().map(|e| e.unwrap()).collect();
        assert_eq!(back, events);
        assert_eq!(reader.torn(), None);
    }

    #[test]
    fn a_bounded_log_leaves_measurements_out_first_and_keeps_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(files::EVENTS);
        let mut log = EventLog::create_bounded(&path, 1_000).unwrap();
        let measured = |t| RunEvent {
            t: Nanos(t),
            what: What::Traffic { nodes: Vec::new() },
        };
        let ended = RunEvent {
            t: Nanos(999),
            what: What::Ended { interrupted: false },
        };
        for t in 0..100 {
            log.write(&measured(t)).unwrap();
            log.write(&tip_event(t, 1)).unwrap();
        }
        log.write(&ended).unwrap();
        // Each line is there at once.
        let kept: Vec<RunEvent> = EventReader::open(&path)
            .unwrap()
            .map(|e| e.unwrap())
            .collect();
        assert!(std::fs::metadata(&path).unwrap().len() < 2_200);
        let measurements = kept.iter().filter(|it| it.what.is_measurement()).count();
        let tips = kept.len() - measurements - 1;
        assert!(
            measurements > 0 && tips > 2 * measurements,
            "{measurements} {tips}"
        );
        assert_eq!(kept.last(), Some(&ended));
    }

    #[test]
    fn a_phase_border_reaches_the_file_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(files::EVENTS);
        let mut log = EventLog::create(&path).unwrap();
        log.write(&tip_event(5, 1)).unwrap();
        assert_eq!(std::fs::read(&path).unwrap().len(), 0);
        log.write(&phase_event(6)).unwrap();
        assert_eq!(EventReader::open(&path).unwrap().count(), 2);
    }

    #[test]
    fn a_full_disk_is_reported_and_stays_reported() {
        let mut log = EventLog::create(Path::new("/dev/full")).unwrap();
        log.write(&tip_event(1, 1)).unwrap(); // still in the buffer
        let error = log.write(&phase_event(2)).unwrap_err().to_string();
        assert!(error.contains("No space left"), "{error}");
        let again = log.write(&tip_event(3, 2)).unwrap_err().to_string();
        assert_eq!(again, error);
        assert_eq!(log.finish().unwrap_err().to_string(), error);
    }

    #[test]
    fn a_torn_last_line_is_told_and_tolerated() {
        let mut bytes = serde_json::to_vec(&tip_event(5, 1)).unwrap();
        bytes.push(b'\n');
        let whole = bytes.len();
        bytes.extend(serde_json::to_vec(&tip_event(6, 2)).unwrap());
        for cut in whole + 1..bytes.len() {
            let (events, torn) = read(&bytes[..cut]);
            assert_eq!(events.len(), 1, "cut at {cut}");
            assert_eq!(torn, Some(2), "cut at {cut}");
        }
        // Only the line end is missing: the event is whole.
        let (events, torn) = read(&bytes);
        assert_eq!((events.len(), torn), (2, None));
    }

    #[test]
    fn a_bad_line_in_the_middle_is_an_error_with_its_number() {
        let good = serde_json::to_string(&tip_event(5, 1)).unwrap();
        let text = format!("{good}\n{{\"t\":1,\"event\":\"moon\"}}\n{good}\n");
        let (events, _) = read(text.as_bytes());
        assert_eq!(events.len(), 2);
        let error = events[1].as_ref().unwrap_err().to_string();
        assert!(error.starts_with("events.jsonl, line 2:"), "{error}");
    }

    #[test]
    fn an_empty_file_has_no_events_and_is_not_torn() {
        let (events, torn) = read(b"");
        assert_eq!((events.len(), torn), (0, None));
    }
}
