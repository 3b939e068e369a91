//! The arguments of a call: named ones put in their places, each read as the type it must have.
//! Messages are Bitcoin Core's.

use std::str::FromStr;

use bitcoin::Amount;
use bitcoin::consensus::Decodable;
use bitcoin::consensus::encode::deserialize_hex;
use serde_json::Value;

use super::error::{Code, OrFail, RpcError, fail};

/// Hex digits of a hash.
const HASH_HEX_DIGITS: usize = 64;

/// Arguments by position; one that was not given is null.
#[derive(Clone, Debug, PartialEq)]
pub struct Arguments {
    names: &'static [&'static str],
    values: Vec<Value>,
}

impl Arguments {
    /// Puts `params` (array, object or null) in the order of `names`.
    ///
    /// Returns `None` if there are more than there are names, or fewer than `required`: the
    /// caller answers with the help text of the method, as Bitcoin Core does.
    ///
    /// # Errors
    /// `InvalidParameter` on a name that is unknown or given twice.
    pub fn new(
        names: &'static [&'static str],
        required: usize,
        params: Value,
    ) -> Result<Option<Arguments>, RpcError> {
        let mut values = match params {
            Value::Array(values) => values,
            Value::Object(mut members) => {
                let mut values = match members.remove("args") {
                    Some(Value::Array(values)) => values,
                    Some(_) => {
                        return fail(Code::InvalidParameter, "Parameter args must be an array");
                    }
                    None => Vec::new(),
                };
                for (name, value) in members {
                    place(names, &mut values, &name, value)?;
                }
                values
            }
            _ => Vec::new(),
        };
        let given = values
            .iter()
            .rposition(|v| !v.is_null())
            .map_or(0, |i| i + 1);
        let holes = values.iter().take(required).any(Value::is_null);
        if given < required || holes || values.len() > names.len() {
            return Ok(None);
        }
        values.resize(names.len(), Value::Null);
        Ok(Some(Arguments { names, values }))
    }

    /// As given.
    pub fn value(&self, index: usize) -> &Value {
        self.values.get(index).unwrap_or(&Value::Null)
    }

    /// Whether it was given.
    pub fn has(&self, index: usize) -> bool {
        !self.value(index).is_null()
    }

    /// A string.
    ///
    /// # Errors
    /// `Type` if it is something else.
    pub fn text(&self, index: usize) -> Result<&str, RpcError> {
        self.value(index)
            .as_str()
            .ok_or_else(|| self.wrong_type(index, "string"))
    }

    /// A string, if given.
    ///
    /// # Errors
    /// `Type` if it is something else.
    pub fn text_opt(&self, index: usize) -> Result<Option<&str>, RpcError> {
        self.has(index).then(|| self.text(index)).transpose()
    }

    /// A whole number.
    ///
    /// # Errors
    /// `Type` if it is something else, `InvalidParameter` if it does not fit 64 bits or is a
    /// fraction.
    pub fn integer(&self, index: usize) -> Result<i64, RpcError> {
        match self.value(index) {
            Value::Number(number) => number
                .as_i64()
                .or_fail(Code::InvalidParameter, "JSON integer out of range"),
            _ => Err(self.wrong_type(index, "number")),
        }
    }

    /// A whole number, or `default` if not given.
    ///
    /// # Errors
    /// As [`Arguments::integer`].
    pub fn integer_or(&self, index: usize, default: i64) -> Result<i64, RpcError> {
        if self.has(index) {
            self.integer(index)
        } else {
            Ok(default)
        }
    }

    /// A truth value, or `default` if not given.
    ///
    /// # Errors
    /// `Type` if it is something else.
    pub fn flag_or(&self, index: usize, default: bool) -> Result<bool, RpcError> {
        match self.value(index) {
            Value::Null => Ok(default),
            Value::Bool(flag) => Ok(*flag),
            _ => Err(self.wrong_type(index, "bool")),
        }
    }

    /// A verbosity: a number, or a truth value standing for 0 and 1.
    ///
    /// # Errors
    /// `Type` if it is something else.
    pub fn verbosity_or(&self, index: usize, default: i64) -> Result<i64, RpcError> {
        match self.value(index) {
            Value::Bool(flag) => Ok(i64::from(*flag)),
            _ => self.integer_or(index, default),
        }
    }

    /// An array.
    ///
    /// # Errors
    /// `Type` if it is something else.
    pub fn array(&self, index: usize) -> Result<&[Value], RpcError> {
        self.value(index)
            .as_array()
            .map(Vec::as_slice)
            .ok_or_else(|| self.wrong_type(index, "array"))
    }

    /// A hash as people write it, last byte first: of a block, or a transaction's id.
    ///
    /// # Errors
    /// `Type`, or `InvalidParameter` if it is not 64 hex digits.
    pub fn hash<T: FromStr>(&self, index: usize) -> Result<T, RpcError> {
        let (text, name) = (self.text(index)?, self.name(index));
        (text.len() == HASH_HEX_DIGITS).or_fail(
            Code::InvalidParameter,
            format!(
                "{name} must be of length {HASH_HEX_DIGITS} (not {}, for '{text}')",
                text.len()
            ),
        )?;
        text.parse().or_fail(
            Code::InvalidParameter,
            format!("{name} must be hexadecimal string (not '{text}')"),
        )
    }

    /// An amount in BTC, as a number or a string; `default` if not given.
    ///
    /// # Errors
    /// `Type` if it is no amount.
    pub fn amount_or(&self, index: usize, default: Amount) -> Result<Amount, RpcError> {
        let text = match self.value(index) {
            Value::Null => return Ok(default),
            // A float prints its shortest form, which is the decimal that was sent.
            Value::Number(number) => match number.as_f64() {
                Some(btc) => format!("{btc:.8}"),
                None => number.to_string(),
            },
            Value::String(text) => text.clone(),
            _ => return fail(Code::Type, "Amount is not a number or string"),
        };
        Amount::from_str_in(&text, bitcoin::Denomination::Bitcoin)
            .or_fail(Code::Type, "Invalid amount")
    }

    /// Hex that decodes to `T` and nothing more.
    ///
    /// # Errors
    /// `Type` if it is no string, else `Deserialization` with this message.
    pub fn consensus<T: Decodable>(&self, index: usize, message: &str) -> Result<T, RpcError> {
        deserialize_hex(self.text(index)?).or_fail(Code::Deserialization, message)
    }

    fn name(&self, index: usize) -> &'static str {
        self.names.get(index).copied().unwrap_or("?")
    }

    fn wrong_type(&self, index: usize, expected: &str) -> RpcError {
        RpcError::new(
            Code::Type,
            format!(
                "Wrong type passed:\n{{\n    \"Position {} ({})\": \"JSON value of type {} is \
                 not of expected type {expected}\"\n}}",
                index + 1,
                self.name(index),
                type_name(self.value(index)),
            ),
        )
    }
}

fn place(
    names: &[&str],
    values: &mut Vec<Value>,
    name: &str,
    value: Value,
) -> Result<(), RpcError> {
    let index = names.iter().position(|known| *known == name).or_fail(
        Code::InvalidParameter,
        format!("Unknown named parameter {name}"),
    )?;
    if values.len() <= index {
        values.resize(index + 1, Value::Null);
    }
    values[index].is_null().or_fail(
        Code::InvalidParameter,
        format!("Parameter {name} specified twice both as positional and named argument"),
    )?;
    values[index] = value;
    Ok(())
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::BlockHash;
    use serde_json::json;

    use super::*;

    const NAMES: &[&str] = &["hash", "verbose", "count"];

    fn arguments(params: Value) -> Arguments {
        Arguments::new(NAMES, 1, params).unwrap().unwrap()
    }

    #[test]
    fn named_arguments_find_their_place() {
        let named = arguments(json!({"count": 3, "hash": "ab"}));
        assert_eq!(named.text(0), Ok("ab"));
        assert!(!named.has(1));
        assert_eq!(named.integer(2), Ok(3));
        assert_eq!(named, arguments(json!({"args": ["ab"], "count": 3})));
    }

    #[test]
    fn wrong_numbers_and_names_are_refused() {
        assert_eq!(Arguments::new(NAMES, 1, json!([])), Ok(None));
        assert_eq!(Arguments::new(NAMES, 1, json!([null, true])), Ok(None));
        assert_eq!(Arguments::new(NAMES, 1, json!(["a", true, 1, 2])), Ok(None));
        let error = Arguments::new(NAMES, 1, json!({"hsah": 1})).unwrap_err();
        assert_eq!(error.message, "Unknown named parameter hsah");
        let error = Arguments::new(NAMES, 1, json!({"args": ["a"], "hash": "b"})).unwrap_err();
        assert!(error.message.contains("specified twice"));
    }

    #[test]
    fn types_are_checked_in_core_s_words() {
        let given = arguments(json!(["ab", 1, "7"]));
        let error = given.integer(2).unwrap_err();
        assert_eq!(error.code, Code::Type);
        assert_eq!(
            error.message,
            "Wrong type passed:\n{\n    \"Position 3 (count)\": \"JSON value of type string is not \
             of expected type number\"\n}"
        );
        assert_eq!(given.flag_or(1, false).unwrap_err().code, Code::Type);
        assert_eq!(given.verbosity_or(1, 0), Ok(1));
        assert_eq!(
            given.hash::<BlockHash>(0).unwrap_err().message,
            "hash must be of length 64 (not 2, for 'ab')"
        );
        let odd = arguments(json!(["zz".repeat(32)]));
        assert!(
            odd.hash::<BlockHash>(0)
                .unwrap_err()
                .message
                .starts_with("hash must be hexadecimal string")
        );
        assert!(arguments(json!(["a", null, 1.5])).integer(2).is_err());
    }

    #[test]
    fn amounts_come_as_numbers_or_strings() {
        for (value, sats) in [
            (json!(0.1), 10_000_000),
            (json!("0.00000001"), 1),
            (json!(1), 100_000_000),
        ] {
            let given = arguments(json!(["a", null, value]));
            assert_eq!(given.amount_or(2, Amount::ZERO), Ok(Amount::from_sat(sats)));
        }
        assert!(
            arguments(json!(["a", null, -1]))
                .amount_or(2, Amount::ZERO)
                .is_err()
        );
    }
}
