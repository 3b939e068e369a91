//! What can be written out one by one in place of being drawn: blocks, transactions, outages, and
//! the region or the first peers of each node. The rest of the file's sections are in `file`.

use std::fmt;
use std::marker::PhantomData;

use peerlab_link::Nanos;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::written::Written;

/// A block that is mined.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "the keys of a block: at, by")]
pub struct BlockAt {
    /// When, counted from the start of the run.
    pub at: Written<Nanos>,
    /// Which node mines it. If it is down then, nothing is mined.
    pub by: String,
}

/// A transaction that is submitted.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "the keys of a transaction: at, to")]
pub struct TransactionAt {
    /// When, counted from the start of the run.
    pub at: Written<Nanos>,
    /// Which node it is submitted to.
    pub to: String,
}

/// A time that a node is down.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "the keys of an outage: at, for")]
pub struct OutageAt {
    /// From when, counted from the start of the run.
    pub at: Written<Nanos>,
    /// For how long. It is over when the settle phase begins, at the latest.
    #[serde(rename = "for")]
    pub lasts: Written<Nanos>,
}

/// A list of names, or a map.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ListOr<M> {
    /// The names.
    List(Vec<String>),
    /// The map.
    Map(M),
}

impl<'de, M: Deserialize<'de>> Deserialize<'de> for ListOr<M> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ListOrVisitor(PhantomData))
    }
}

struct ListOrVisitor<M>(PhantomData<M>);

impl<'de, M: Deserialize<'de>> Visitor<'de> for ListOrVisitor<M> {
    type Value = ListOr<M>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list, or a map")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(seq)).map(ListOr::List)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        M::deserialize(MapAccessDeserializer::new(map)).map(ListOr::Map)
    }
}

impl<M: JsonSchema> JsonSchema for ListOr<M> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("list or {}", M::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let list = generator.subschema_for::<Vec<String>>();
        let map = generator.subschema_for::<M>();
        schemars::json_schema!({ "anyOf": [list, map] })
    }
}
