//! "Did you mean": the nearest of the known names.

/// Edits up to which a name counts as a slip of another, as a part of its length.
const EDITS_PER_LENGTH: f64 = 0.4;

/// The nearest name, if one is near. Of equally near ones the first.
pub fn closest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let bare = |text: &str| text.to_lowercase().replace(['_', ' '], "-");
    let word = bare(word);
    let distance = |name: &str| strsim::damerau_levenshtein(&word, &bare(name));
    let (edits, name) = names
        .into_iter()
        .map(|name| (distance(name), name))
        .min_by_key(|(edits, _)| *edits)?;
    let longest = word.chars().count().max(name.chars().count());
    (edits as f64 <= longest as f64 * EDITS_PER_LENGTH).then_some(name)
}

/// "Did you mean" the nearest name, or another hint where none is near.
pub fn did_you_mean<'a>(
    word: &str,
    names: impl IntoIterator<Item = &'a str>,
    otherwise: impl FnOnce() -> String,
) -> String {
    let near = |name| format!("did you mean `{name}`?");
    closest(word, names).map_or_else(otherwise, near)
}

/// Names in a row, as a person would write them into the file.
pub fn quoted<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_other_words_are_not() {
        let names = ["bandwidth", "converged", "nodes_up"];
        assert_eq!(closest("bandwith", names), Some("bandwidth"));
        assert_eq!(closest("nodes-up", names), Some("nodes_up"));
        assert_eq!(closest("Converge", names), Some("converged"));
        assert_eq!(closest("latency", names), None);
    }
}
