//! Values with parameters, written as `name(key value key value)`: distributions, graphs, loss
//! models. Commas between the parameters are optional, because inside `{ }` YAML takes a comma
//! for the end of the value.

use super::suggest::{closest, did_you_mean, quoted};
use super::written::{BadValue, Value};

/// A name and its parameters, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phrase<'a> {
    /// What stands before the bracket, or all there is.
    pub name: &'a str,
    words: Vec<&'a str>,
}

impl<'a> Phrase<'a> {
    /// Splits the text; the parameters' keys are not looked at yet.
    ///
    /// # Errors
    /// Brackets that do not match.
    pub fn parse(text: &'a str) -> Result<Phrase<'a>, BadValue> {
        let Some((name, rest)) = text.split_once('(') else {
            return Ok(Phrase {
                name: text.trim(),
                words: Vec::new(),
            });
        };
        let Some(inner) = rest.strip_suffix(')') else {
            return Err(BadValue::with_hint(
                "the closing `)` is missing",
                "inside { } a comma ends a value: separate the parameters by spaces, or put the whole in quotes",
            ));
        };
        Ok(Phrase {
            name: name.trim(),
            words: inner
                .split([' ', ','])
                .filter(|word| !word.is_empty())
                .collect(),
        })
    }

    /// The value of the only parameter, written without a key, as in `fixed(60s)`.
    ///
    /// # Errors
    /// It is missing, or not such a value.
    pub fn only<T: Value>(&self) -> Result<T, BadValue> {
        if self.words.is_empty() {
            let cause = format!("`{}` needs {} in brackets", self.name, T::WHAT);
            return Err(BadValue::new(cause));
        }
        parameter(self.name, &self.words.join(" "))
    }

    /// The parameters by their keys, which must all be among `keys`.
    ///
    /// # Errors
    /// Unknown or repeated keys.
    pub fn parameters(&self, keys: &[&'static str]) -> Result<Parameters, BadValue> {
        let mut found: Vec<(&'static str, String)> = Vec::new();
        for word in &self.words {
            if let Some(key) = keys.iter().find(|key| *key == word) {
                if found.iter().any(|(other, _)| other == key) {
                    return Err(BadValue::new(format!("`{key}` stands there twice")));
                }
                found.push((key, String::new()));
            } else if let Some((_, value)) = found.last_mut()
                && (value.is_empty() || (value.parse::<f64>().is_ok() && is_unit(word)))
            {
                if !value.is_empty() {
                    value.push(' ');
                }
                value.push_str(word);
            } else {
                let hint = did_you_mean(word, keys.iter().copied(), || {
                    format!("`{}` takes {}", self.name, keys.join(", "))
                });
                return Err(BadValue::with_hint(
                    format!("`{}` has no parameter `{word}`", self.name),
                    hint,
                ));
            }
        }
        Ok(Parameters {
            of: self.name.to_owned(),
            found,
        })
    }

    /// Refuses any parameter.
    ///
    /// # Errors
    /// There is one.
    pub fn bare(&self) -> Result<(), BadValue> {
        if self.words.is_empty() {
            return Ok(());
        }
        let cause = format!("`{}` takes no parameters", self.name);
        Err(BadValue::new(cause))
    }

    /// That the name is none of `names`.
    pub fn unknown(&self, names: &[&'static str]) -> BadValue {
        unknown_choice(self.name, names)
    }
}

/// What the word stands for: `words` name `all`, in their order.
pub fn one_of<T, const N: usize>(
    word: &str,
    words: &[&'static str],
    all: [T; N],
) -> Result<T, BadValue> {
    let mut named = words.iter().zip(all);
    let found = named.find(|(name, _)| **name == word);
    found
        .map(|(_, it)| it)
        .ok_or_else(|| unknown_choice(word, words))
}

/// That a word is none of the choices, with the nearest as hint.
pub fn unknown_choice(word: &str, choices: &[&'static str]) -> BadValue {
    let list = quoted(choices.iter().copied());
    let hint = match closest(word, choices.iter().copied()) {
        Some(name) => format!("did you mean `{name}`? there are {list}"),
        None => format!("write one of {list}"),
    };
    BadValue::with_hint(format!("there is no `{word}`"), hint)
}

/// Whether a word after a bare number is its unit.
fn is_unit(word: &str) -> bool {
    let words = [
        "us", "ms", "s", "m", "h", "B", "kB", "MB", "GB", "KiB", "MiB", "GiB", "%",
    ];
    word.contains('/') || words.contains(&word)
}

/// The parameters of a phrase.
#[derive(Clone, Debug)]
pub struct Parameters {
    of: String,
    found: Vec<(&'static str, String)>,
}

impl Parameters {
    /// The value of a key, if it is there.
    ///
    /// # Errors
    /// It is there, and no such value.
    pub fn optional<T: Value>(&self, key: &str) -> Result<Option<T>, BadValue> {
        match self.found.iter().find(|(found, _)| *found == key) {
            Some((_, text)) => parameter(key, text).map(Some),
            None => Ok(None),
        }
    }

    /// Whether a key is there that has no value.
    ///
    /// # Errors
    /// It has one.
    pub fn flag(&self, key: &str) -> Result<bool, BadValue> {
        match self.found.iter().find(|(found, _)| *found == key) {
            Some((_, value)) if !value.is_empty() => Err(BadValue::with_hint(
                format!("`{key}` has no value, and `{value}` stands behind it"),
                format!("write `{key}` alone, or leave it out"),
            )),
            found => Ok(found.is_some()),
        }
    }

    /// The value of a key.
    ///
    /// # Errors
    /// It is missing, or no such value.
    pub fn required<T: Value>(&self, key: &str) -> Result<T, BadValue> {
        self.optional(key)?
            .ok_or_else(|| BadValue::new(format!("`{}` needs its `{key}`", self.of)))
    }
}

fn parameter<T: Value>(key: &str, text: &str) -> Result<T, BadValue> {
    T::parse(text).map_err(|bad| BadValue {
        cause: format!("`{key}` needs {}, and of `{text}` {}", T::WHAT, bad.cause),
        hint: bad.hint.or_else(|| Some(format!("write {}", T::FORM))),
    })
}

#[cfg(test)]
mod tests {
    use peerlab_link::Nanos;

    use super::*;
    use crate::topology::units::Rate;

    #[test]
    fn parameters_need_no_commas_and_keep_their_units() {
        for text in [
            "f(a 0.5 b 10 Mbit/s)",
            "f( a 0.5, b 10 Mbit/s )",
            "f(b 10Mbit/s, a 0.5)",
        ] {
            let parameters = Phrase::parse(text)
                .unwrap()
                .parameters(&["a", "b"])
                .unwrap();
            assert_eq!(parameters.required::<f64>("a"), Ok(0.5));
            assert_eq!(parameters.required::<Rate>("b").unwrap().bps, 10_000_000);
        }
        assert_eq!(
            Phrase::parse("fixed(60s)").unwrap().only(),
            Ok(Nanos::from_secs(60))
        );
    }

    #[test]
    fn what_is_wrong_with_a_phrase_is_said() {
        let cut = Phrase::parse("weibull(shape 0.6").unwrap_err();
        assert!(cut.hint.unwrap().contains("comma"));
        let phrase = Phrase::parse("weibull(shpe 0.6)").unwrap();
        let bad = phrase.parameters(&["shape", "mean"]).unwrap_err();
        assert_eq!(bad.hint.unwrap(), "did you mean `shape`?");
        let phrase = Phrase::parse("weibull(shape 0.6 men 5s)").unwrap();
        assert!(
            phrase
                .parameters(&["shape", "mean"])
                .unwrap_err()
                .hint
                .unwrap()
                .contains("`mean`")
        );
    }
}
