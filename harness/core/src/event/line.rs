//! Reads one line of a record. `#[serde(flatten)]` would say the same, but it keeps every value of
//! the line in between, which of the counters of thousands of nodes takes longer than reading them.

use std::fmt;

use peerlab_link::Nanos;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, Deserializer, Error, IntoDeserializer, MapAccess, Visitor};

use super::run_event::{RunEvent, What};

/// The key of an event's time; what stands beside it is the event.
const TIME: &str = "t";

impl<'de> Deserialize<'de> for RunEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RunEvent, D::Error> {
        deserializer.deserialize_map(Line)
    }
}

struct Line;

impl<'de> Visitor<'de> for Line {
    type Value = RunEvent;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an event")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RunEvent, A::Error> {
        let mut time = None;
        let map = WithoutTime {
            map,
            time: &mut time,
        };
        let what = What::deserialize(MapAccessDeserializer::new(map))?;
        let t = time.ok_or_else(|| A::Error::missing_field(TIME))?;
        Ok(RunEvent { t, what })
    }
}

/// A map without its time, which is put aside.
struct WithoutTime<'a, A> {
    map: A,
    time: &'a mut Option<Nanos>,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for WithoutTime<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        while let Some(key) = self.map.next_key::<String>()? {
            if key != TIME {
                return seed.deserialize(key.into_deserializer()).map(Some);
            }
            if self.time.replace(self.map.next_value()?).is_some() {
                return Err(A::Error::duplicate_field(TIME));
            }
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_time_once_wherever_it_stands() {
        let read = serde_json::from_str::<RunEvent>;
        let event = read(r#"{"event":"node_up","node":1,"\u0074":5}"#).unwrap();
        assert_eq!(event.t, Nanos(5));
        assert_eq!(
            event,
            read(r#"{"t":5,"event":"node_up","node":1}"#).unwrap()
        );
        let without = read(r#"{"event":"node_up","node":1}"#).unwrap_err();
        assert_eq!(without.to_string(), "missing field `t` at line 1 column 28");
        let twice = read(r#"{"t":5,"event":"node_up","node":1,"t":5}"#).unwrap_err();
        assert_eq!(twice.to_string(), "duplicate field `t` at line 1 column 40");
    }
}
