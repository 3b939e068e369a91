//! The end of what a node wrote: as people read it, with how much was left out before; and when its lines were
//! read, as far as the engine can tell.

use peerlab_link::starter::LogPiece;

/// The end of a node's log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeLog {
    /// Bytes that were written before.
    pub left_out: u64,
    pub bytes: Vec<u8>,
    /// When what pieces of it were read.
    pub read: Vec<LogPiece>,
}

impl NodeLog {
    /// As people read it: a line goes before it where it is not the whole.
    pub fn into_bytes(self) -> Vec<u8> {
        let Some(mut log) = self.head() else {
            return self.bytes;
        };
        log.extend(self.bytes);
        log
    }

    /// By number of the line in what people read: when it was read, in milliseconds since the Unix epoch. A line
    /// that is not named was read when the one before it was.
    pub fn line_times(&self) -> Vec<(u32, u64)> {
        let mut times: Vec<(u32, u64)> = Vec::new();
        let mut pieces = self.read.iter().peekable();
        let mut begin = 0;
        for (line, text) in
            (u32::from(self.left_out > 0)..).zip(self.bytes.split(|it| *it == b'\n'))
        {
            // The piece that has its first byte.
            let mut of_line = None;
            while let Some(piece) = pieces.next_if(|piece| piece.at as usize <= begin) {
                of_line = Some(piece.unix_ms);
            }
            times.extend(of_line.map(|ms| (line, ms)));
            begin += text.len() + 1;
        }
        times
    }

    /// The whole lines of it that were read at this instant or later, in milliseconds since the Unix epoch; all
    /// where the engine cannot tell.
    pub fn lines_since(&self, unix_ms: u64) -> String {
        let first = self.read.iter().find(|piece| piece.unix_ms >= unix_ms);
        let begin = match first {
            Some(piece) => piece.at as usize,
            None if self.read.is_empty() => 0,
            None => self.bytes.len(),
        };
        let mut lines = self.bytes.get(begin..).unwrap_or_default();
        if begin == 0 && self.left_out > 0 {
            // The first may have been cut.
            let end = lines.iter().position(|it| *it == b'\n');
            lines = end.map_or(&[][..], |end| &lines[end + 1..]);
        }
        let end = lines.iter().rposition(|it| *it == b'\n');
        let whole = end.map_or(&[][..], |end| &lines[..=end]);
        String::from_utf8_lossy(whole).into_owned()
    }

    fn head(&self) -> Option<Vec<u8>> {
        let left_out = self.left_out;
        (left_out > 0)
            .then(|| format!("[{left_out} bytes before this are left out]\n").into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(left_out: u64, text: &str, read: &[(u32, u64)]) -> NodeLog {
        NodeLog {
            left_out,
            bytes: text.into(),
            read: read
                .iter()
                .map(|&(at, unix_ms)| LogPiece { at, unix_ms })
                .collect(),
        }
    }

    #[test]
    fn a_line_was_read_when_its_first_byte_was() {
        let log = log(0, "one\ntwo\nthree\nfour\n", &[(0, 10), (6, 20), (14, 30)]);
        assert_eq!(log.line_times(), [(0, 10), (2, 20), (3, 30)]);
        assert_eq!(log.into_bytes(), b"one\ntwo\nthree\nfour\n");
    }

    #[test]
    fn whole_lines_are_told_from_an_instant_on() {
        let log = |left_out, text| log(left_out, text, &[(0, 10), (4, 20), (8, 30)]);
        let whole = log(0, "one\ntwo\nthree\nfo");
        for (since, lines) in [
            (0, "one\ntwo\nthree\n"),
            (10, "one\ntwo\nthree\n"),
            (11, "two\nthree\n"),
            (30, "three\n"),
            (31, ""),
        ] {
            assert_eq!(whole.lines_since(since), lines, "{since}");
        }
        assert_eq!(log(9, "ne\ntwo\n").lines_since(0), "two\n");
        assert_eq!(log(9, "neverending").lines_since(0), "");
        let unread = NodeLog {
            bytes: "one\n".into(),
            ..NodeLog::default()
        };
        assert_eq!(unread.lines_since(50), "one\n");
    }

    #[test]
    fn a_line_before_the_end_says_how_much_is_left_out() {
        let log = log(9, "ne\ntwo\n", &[(0, 10), (3, 20)]);
        assert_eq!(log.line_times(), [(1, 10), (2, 20)]);
        assert_eq!(
            log.into_bytes(),
            b"[9 bytes before this are left out]\nne\ntwo\n"
        );
        assert_eq!(NodeLog::default().line_times(), []);
    }
}
