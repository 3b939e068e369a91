//! The JSON Schema of the experiment file, for editors that complete and check YAML.

use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use serde_json::Value;

use super::file::File;

/// The schema, from the same types that read the file (JSON Schema draft 7, which editors know).
pub fn schema() -> Value {
    let settings = SchemaSettings::draft07().with_transform(RecursiveTransform(refuse_null));
    let generator = settings.into_generator();
    generator.into_root_schema_for::<File>().to_value()
}

/// An optional key may be left out, but not left empty.
fn refuse_null(schema: &mut Schema) {
    let is_null = |value: &Value| *value == "null" || value["type"] == "null";
    let Some(object) = schema.as_object_mut() else {
        return;
    };
    for key in ["type", "anyOf"] {
        let Some(Value::Array(choices)) = object.get_mut(key) else {
            continue;
        };
        choices.retain(|choice| !is_null(choice));
        if let [only] = choices.as_slice() {
            let only = only.clone();
            match only {
                Value::Object(inner) => {
                    object.remove(key);
                    for (key, value) in inner {
                        object.entry(key).or_insert(value);
                    }
                }
                only => drop(object.insert(key.to_owned(), only)),
            }
        }
    }
    // The default of a section is that of each of its keys.
    if let Some(Value::Null | Value::Object(_)) = object.get("default") {
        object.remove("default");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::FaultKey;

    /// Every property of every object, by its path.
    fn properties(schema: &Value, path: &str, found: &mut Vec<(String, Value)>) {
        match schema {
            Value::Object(object) => {
                for (key, value) in object {
                    if key == "properties" {
                        for (name, property) in value.as_object().unwrap() {
                            found.push((format!("{path}.{name}"), property.clone()));
                        }
                    }
                    properties(value, &format!("{path}.{key}"), found);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| properties(item, path, found)),
            _ => {}
        }
    }

    #[test]
    fn every_key_is_described_and_unknown_ones_are_refused() {
        let schema = schema();
        let mut found = Vec::new();
        properties(&schema, "", &mut found);
        assert!(found.len() > 60, "{}", found.len());
        for (path, property) in &found {
            assert!(property["description"].is_string(), "{path}: {property}");
        }
        assert_eq!(schema["additionalProperties"], false);
        assert!(!schema.to_string().contains("null"), "{schema:#}");
        let mut keys: Vec<&str> = vec!["at", "for", "until", "name", "one_way"];
        keys.extend(FaultKey::ALL.into_iter().map(FaultKey::word));
        keys.sort_unstable();
        let fault = schema["definitions"]["Fault"]["properties"].as_object();
        let mut properties: Vec<&String> = fault.unwrap().keys().collect();
        properties.sort_unstable();
        assert_eq!(properties, keys);
        let count = &schema["definitions"]["NodeGroup"]["properties"]["count"];
        assert_eq!(count["type"], "integer");
    }
}
