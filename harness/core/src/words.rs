//! How figures are put into words, the same in sentences, tables and drawings. For people only:
//! nothing is decided from a rounded figure.

use peerlab_link::Nanos;

/// How many names a list shows before it says how many others there are.
const NAMES_SHOWN: usize = 4;

/// A length of time with three digits or so: `850 us`, `42 ms`, `1.84 s`, `12.3 s`, `2 min 5 s`.
pub fn duration(t: Nanos) -> String {
    let seconds = t.as_secs_f64();
    match t.0 {
        0 => "0 s".to_owned(),
        1..=9_999 => format!("{} ns", t.0),
        10_000..=999_499 => format!("{:.0} us", seconds * 1e6),
        999_500..=9_949_999 => trimmed(seconds * 1e3, 1, "ms"),
        9_950_000..=999_499_999 => format!("{:.0} ms", seconds * 1e3),
        999_500_000..=9_994_999_999 => trimmed(seconds, 2, "s"),
        9_995_000_000..=119_949_999_999 => trimmed(seconds, 1, "s"),
        _ => {
            let whole = seconds.round() as u64;
            match (whole / 60, whole % 60) {
                (minutes, 0) => format!("{minutes} min"),
                (minutes, rest) => format!("{minutes} min {rest} s"),
            }
        }
    }
}

/// A length of time that may be days: `12.3 s`, `2 h 5 min`, `3 d 4 h`.
pub fn long(t: Nanos) -> String {
    let minutes = t.0 / 60_000_000_000;
    let (days, hours) = (minutes / (24 * 60), minutes / 60 % 24);
    match (days, hours) {
        (0, 0) => duration(Nanos(t.0 / 100_000_000 * 100_000_000)),
        (0, _) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {hours} h"),
    }
}

/// An instant of the run: `30 s`, `61.2 s`. Always in seconds, to be compared with the
/// experiment file.
pub fn instant(t: Nanos) -> String {
    trimmed(t.as_secs_f64(), 1, "s")
}

/// Bytes per second: `820 B/s`, `81.2 kB/s`, `1.25 MB/s`.
pub fn rate(bytes_per_s: u64) -> String {
    format!("{}/s", bytes(bytes_per_s))
}

/// Bytes: `820 B`, `81.2 kB`, `1.25 MB`, `3.4 GB`.
pub fn bytes(n: u64) -> String {
    let n = n as f64;
    match n {
        ..999.5 => format!("{n:.0} B"),
        ..999_500.0 => trimmed(n / 1e3, 1, "kB"),
        ..999_500_000.0 => trimmed(n / 1e6, 2, "MB"),
        _ => trimmed(n / 1e9, 2, "GB"),
    }
}

/// A share of one, as percent: `0 %`, `3.4 %`, `100 %`.
pub fn percent(share: f64) -> String {
    trimmed(share * 100.0, 1, "%")
}

/// A count with its noun: `1 block`, `3 blocks`.
pub fn count(n: u64, noun: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", thousands(n))
}

/// A count with its thousands set apart: `12,345`.
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Names in a row, the first few of them: `peers-3, peers-4 and 5 others`.
pub fn names(all: &[String]) -> String {
    match all {
        [] => "no node".to_owned(),
        [only] => only.clone(),
        _ if all.len() <= NAMES_SHOWN => {
            let (last, first) = (&all[all.len() - 1], &all[..all.len() - 1]);
            format!("{} and {last}", first.join(", "))
        }
        _ => {
            let shown = NAMES_SHOWN - 1;
            let others = all.len() - shown;
            format!("{} and {others} others", all[..shown].join(", "))
        }
    }
}

/// Text of somebody else's as a terminal may show it: what would drive the terminal or hide is escaped.
pub fn visible(text: &str) -> String {
    escaped(text, is_unseen)
}

/// The same of a text of several lines, whose ends and tabs stay.
pub fn visible_lines(text: &str) -> String {
    escaped(text, |c| is_unseen(c) && !matches!(c, '\n' | '\t'))
}

fn escaped(text: &str, is_hidden: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hidden(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Control characters, and those that change the order of others or have no width.
pub fn is_unseen(c: char) -> bool {
    let is_format = matches!(
        c,
        '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}'
    );
    c.is_control() || is_format
}

/// A number with at most so many decimals, without trailing zeros, and its unit.
fn trimmed(value: f64, decimals: usize, unit: &str) -> String {
    let mut text = format!("{value:.decimals$}");
    if text.contains('.') {
        let kept = text.trim_end_matches('0').trim_end_matches('.').len();
        text.truncate(kept);
    }
    format!("{text} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let of = |ns| duration(Nanos(ns));
        assert_eq!(of(0), "0 s");
        assert_eq!(of(850_000), "850 us");
        assert_eq!(of(4_200_000), "4.2 ms");
        assert_eq!(of(42_400_000), "42 ms");
        assert_eq!(of(999_600_000), "1 s");
        assert_eq!(of(1_840_000_000), "1.84 s");
        assert_eq!(of(20_000_000_000), "20 s");
        assert_eq!(of(125_000_000_000), "2 min 5 s");
        assert_eq!(of(119_990_000_000), "2 min");
    }

    #[test]
    fn rates_and_counts() {
        assert_eq!(rate(820), "820 B/s");
        assert_eq!(rate(80_000), "80 kB/s");
        assert_eq!(rate(1_250_000), "1.25 MB/s");
        assert_eq!(bytes(3_400_000_000), "3.4 GB");
        assert_eq!(count(1, "block"), "1 block");
        assert_eq!(count(1_234_567, "block"), "1,234,567 blocks");
        assert_eq!(percent(0.034), "3.4 %");
    }

    #[test]
    fn what_drives_a_terminal_or_hides_is_escaped() {
        let hostile = "\u{1b}[2Jgo\u{202e}ne\u{9b}\t!\né";
        assert_eq!(visible(hostile), r"\u{1b}[2Jgo\u{202e}ne\u{9b}\t!\né");
        assert_eq!(
            visible_lines(hostile),
            "\\u{1b}[2Jgo\\u{202e}ne\\u{9b}\t!\né"
        );
    }

    #[test]
    fn lists_of_names() {
        let all: Vec<String> = (1..=7).map(|i| format!("n{i}")).collect();
        assert_eq!(names(&all[..1]), "n1");
        assert_eq!(names(&all[..2]), "n1 and n2");
        assert_eq!(names(&all[..4]), "n1, n2, n3 and n4");
        assert_eq!(names(&all), "n1, n2, n3 and 4 others");
    }
}
