//! Regular expressions by which what a node writes or answers is read.

use regex::{Regex, RegexBuilder};

/// Memory of a compiled pattern, bytes: enough for a line's length, and an experiment may have many.
const COMPILED_BYTES_MAX: usize = 1 << 20;

/// Compiles a pattern.
///
/// # Errors
/// Why it is none, as a clause.
pub fn compile(pattern: &str) -> Result<Regex, String> {
    let compiled = RegexBuilder::new(pattern)
        .size_limit(COMPILED_BYTES_MAX)
        .build();
    compiled.map_err(|error| match error {
        // Its last line says what is wrong; those before show where.
        regex::Error::Syntax(text) => {
            let last = text.lines().last().unwrap_or_default();
            last.trim_start_matches("error: ").to_owned()
        }
        other => other.to_string(),
    })
}

/// Of the last match in a text: its first group, or all of it where it has none.
pub fn last_match<'t>(pattern: &Regex, text: &'t str) -> Option<&'t str> {
    let found = pattern.captures_iter(text).last()?;
    let found = found.get(1).or(found.get(0))?;
    Some(found.as_str().trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_match_counts_and_its_first_group() {
        let of = |pattern: &str, text| {
            let pattern = compile(pattern).unwrap();
            last_match(&pattern, text).map(str::to_owned)
        };
        let text = "height 3, height 4";
        assert_eq!(of(r"height (\d+)", text).as_deref(), Some("4"));
        assert_eq!(of(r"height \d+", text).as_deref(), Some("height 4"));
        assert_eq!(of("depth", text), None);
        // The group has no part in this match.
        assert_eq!(of("a(b)|h", "h").as_deref(), Some("h"));
    }

    #[test]
    fn what_is_wrong_with_a_pattern_is_said_in_a_clause() {
        assert_eq!(compile("a(b").unwrap_err(), "unclosed group");
        let large = compile(r"\w{1000}{1000}").unwrap_err();
        assert!(!large.contains('\n'), "{large}");
    }
}
