//! How a value stands in the file: text that may or may not be what was asked for. A bad value
//! does not end the parsing, so that all bad values of a file are told at once.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{
    Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor,
    value::MapAccessDeserializer, value::SeqAccessDeserializer,
};
use serde::{Serialize, Serializer};

/// A value that a person writes as one word or phrase, as `30s` or `weibull(mean 60s shape 0.6)`.
pub trait Value: Sized {
    /// What it is, with its article: `a time`.
    const WHAT: &'static str;
    /// What to write, for hints and the JSON Schema.
    const FORM: &'static str;
    /// Values that are right, for editors. The first is tested to parse.
    const EXAMPLES: &'static [&'static str];

    /// Its types in the JSON Schema.
    const TYPES: &'static [&'static str] = &["string"];

    /// Reads it.
    ///
    /// # Errors
    /// Why the text is no such value.
    fn parse(text: &str) -> Result<Self, BadValue>;
}

/// A value that can be written back: what is read from the text is the same.
pub trait ToText: Value {
    /// As a person would write it.
    fn to_text(&self) -> String;
}

/// Why a text is not the value asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadValue {
    /// Why, as a clause: `the unit is missing`.
    pub cause: String,
    /// What to do, where the value's general form does not say it.
    pub hint: Option<String>,
}

impl BadValue {
    /// With the value's general form as hint.
    pub fn new(cause: impl Into<String>) -> BadValue {
        BadValue {
            cause: cause.into(),
            hint: None,
        }
    }

    /// With a hint of its own.
    pub fn with_hint(cause: impl Into<String>, hint: impl Into<String>) -> BadValue {
        BadValue {
            cause: cause.into(),
            hint: Some(hint.into()),
        }
    }
}

/// A value as written: read, or the text and the reason why it could not be.
#[derive(Clone, Debug, PartialEq)]
pub struct Written<T> {
    /// As in the file, or a word for what stands there instead of a text.
    pub text: String,
    /// What it means.
    pub value: Result<T, BadValue>,
}

impl<T: Value> Written<T> {
    /// What stands in the file, read.
    pub fn read(text: &str) -> Written<T> {
        Written {
            text: text.to_owned(),
            value: T::parse(text.trim()),
        }
    }
}

impl<T: ToText> Written<T> {
    /// A value, written out.
    pub fn of(value: T) -> Written<T> {
        Written {
            text: value.to_text(),
            value: Ok(value),
        }
    }
}

impl<T: ToText + Default> Default for Written<T> {
    fn default() -> Written<T> {
        Written::of(T::default())
    }
}

impl<T: Value> Serialize for Written<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Ok(number) = self.text.parse::<u64>() {
            number.serialize(serializer)
        } else if let Ok(number) = self.text.parse::<f64>() {
            number.serialize(serializer)
        } else if let Ok(choice) = self.text.parse::<bool>() {
            choice.serialize(serializer)
        } else {
            self.text.serialize(serializer)
        }
    }
}

impl<'de, T: Value> Deserialize<'de> for Written<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WrittenVisitor(PhantomData))
    }
}

struct WrittenVisitor<T>(PhantomData<T>);

impl<T: Value> WrittenVisitor<T> {
    fn other<E>(what: &str) -> Result<Written<T>, E> {
        Ok(Written {
            text: what.to_owned(),
            value: Err(BadValue::new(format!("{what} stands here"))),
        })
    }
}

impl<'de, T: Value> Visitor<'de> for WrittenVisitor<T> {
    type Value = Written<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::WHAT)
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Written::read(text))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Written::read(&value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Written::read(&value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Written::read(&value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Written::read(&value.to_string()))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Self::other("nothing")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Self::other("a list")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Self::other("a map")
    }
}

impl<T: Value> JsonSchema for Written<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        T::WHAT.into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "type": T::TYPES,
            "description": T::FORM,
            "examples": T::EXAMPLES,
        })
    }
}

/// A short form, written as one word, or the long form `T`, a map or a list.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum WordOr<T> {
    /// The short form.
    Word(String),
    /// The long form.
    Long(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for WordOr<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WordOrVisitor(PhantomData))
    }
}

struct WordOrVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for WordOrVisitor<T> {
    type Value = WordOr<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a word, or the long form")
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(WordOr::Word(text.to_owned()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(WordOr::Word(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(WordOr::Word(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(WordOr::Word(value.to_string()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        T::deserialize(SeqAccessDeserializer::new(seq)).map(WordOr::Long)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(WordOr::Long)
    }
}

impl<T: Default> Default for WordOr<T> {
    fn default() -> WordOr<T> {
        WordOr::Long(T::default())
    }
}

impl<T: JsonSchema> JsonSchema for WordOr<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("word or {}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let long = generator.subschema_for::<T>();
        schemars::json_schema!({
            "anyOf": [{ "type": ["string", "number"] }, long],
        })
    }
}

/// A text that may look like a number or a truth value: `env: { PORT: 2380, QUIET: true }`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Text(pub String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl Visitor<'_> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E>(self, text: &str) -> Result<Text, E> {
        Ok(Text(text.to_owned()))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Text, E> {
        Ok(Text(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Text, E> {
        Ok(Text(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Text, E> {
        Ok(Text(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Text, E> {
        Ok(Text(value.to_string()))
    }
}

impl JsonSchema for Text {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "text".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({ "type": ["string", "number", "boolean"] })
    }
}
