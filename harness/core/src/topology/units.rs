//! Quantities with their units, as people write them: `30s`, `10 Mbit/s`, `64 MB`, `5%`, `5/s`.
//! A number without its unit is an error, so that no file means something else than it says.

use peerlab_link::Nanos;

use super::written::{BadValue, ToText, Value};

/// Longest time a file may name: a run is hours at most, and sums stay far from overflow.
pub const TIME_MAX: Nanos = Nanos::from_secs(30 * 24 * 3600);
/// Fastest rate a file may name, bits per second.
const RATE_BPS_MAX: f64 = 1e12;
/// Largest size a file may name, bytes.
const SIZE_BYTES_MAX: f64 = 1e13;

/// A transfer rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate {
    /// Bits per second.
    pub bps: u64,
}

/// A size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size {
    /// Bytes.
    pub bytes: u64,
}

/// A part of a whole, from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Share(pub f64);

/// How often something happens on average.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Frequency {
    /// Events per second.
    pub per_second: f64,
}

/// An upper bound, as `< 2s`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Below<T>(pub T);

/// A count, or a part of all there are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    /// So many.
    Count(u32),
    /// Such a part, rounded to the nearest whole number.
    Share(f64),
}

impl Amount {
    /// How many that is of `total`.
    pub fn of(self, total: usize) -> usize {
        match self {
            Amount::Count(count) => count as usize,
            Amount::Share(share) => libm::round(share * total as f64) as usize,
        }
    }
}

impl Value for Nanos {
    const WHAT: &'static str = "a time";
    const FORM: &'static str = "a time with its unit: us, ms, s, m or h, as `500ms`, `30s` or `2m`";
    const EXAMPLES: &'static [&'static str] = &["30s", "500ms", "2m"];

    fn parse(text: &str) -> Result<Nanos, BadValue> {
        const UNITS: [Unit; 5] = [
            ("us", 1e3),
            ("ms", 1e6),
            ("s", 1e9),
            ("m", 60e9),
            ("h", 3600e9),
        ];
        let nanos = quantity(text, &UNITS)?;
        if nanos > TIME_MAX.0 as f64 {
            return Err(BadValue::new("it is longer than 30 days"));
        }
        Ok(Nanos(libm::round(nanos) as u64))
    }
}

/// Reads a time as experiment files have it, for the command line.
///
/// # Errors
/// What is wrong with it, and what to write.
pub fn time(text: &str) -> Result<Nanos, String> {
    Nanos::parse(text).map_err(|bad| {
        let form = bad.hint.unwrap_or_else(|| format!("write {}", Nanos::FORM));
        format!("{}; {form}", bad.cause)
    })
}

impl Value for Rate {
    const WHAT: &'static str = "a rate";
    const FORM: &'static str = "a rate with its unit: bit/s, kbit/s, Mbit/s, Gbit/s, B/s, kB/s or MB/s (k is 1,000), \
                                as `10 Mbit/s`";
    const EXAMPLES: &'static [&'static str] = &["10 Mbit/s", "80 kB/s"];

    fn parse(text: &str) -> Result<Rate, BadValue> {
        const UNITS: [Unit; 7] = [
            ("bit/s", 1.0),
            ("kbit/s", 1e3),
            ("Mbit/s", 1e6),
            ("Gbit/s", 1e9),
            ("B/s", 8.0),
            ("kB/s", 8e3),
            ("MB/s", 8e6),
        ];
        let bps = libm::round(quantity(text, &UNITS)?);
        if bps > RATE_BPS_MAX {
            return Err(BadValue::new("it is faster than 1,000 Gbit/s"));
        }
        Ok(Rate { bps: bps as u64 })
    }
}

impl Value for Size {
    const WHAT: &'static str = "a size";
    const FORM: &'static str =
        "a size with its unit: B, kB, MB, GB (k is 1,000), KiB, MiB or GiB, as `64 MB`";
    const EXAMPLES: &'static [&'static str] = &["64 MB", "256 KiB"];

    fn parse(text: &str) -> Result<Size, BadValue> {
        const UNITS: [Unit; 7] = [
            ("B", 1.0),
            ("kB", 1e3),
            ("MB", 1e6),
            ("GB", 1e9),
            ("KiB", 1024.0),
            ("MiB", 1048576.0),
            ("GiB", 1073741824.0),
        ];
        let bytes = libm::round(quantity(text, &UNITS)?);
        if bytes > SIZE_BYTES_MAX {
            return Err(BadValue::new("it is larger than 10,000 GB"));
        }
        Ok(Size {
            bytes: bytes as u64,
        })
    }
}

impl Value for Share {
    const WHAT: &'static str = "a share";
    const FORM: &'static str = "a part of the whole, as `5%` or `0.05`";
    const EXAMPLES: &'static [&'static str] = &["5%", "0.05"];
    const TYPES: &'static [&'static str] = &["string", "number"];

    fn parse(text: &str) -> Result<Share, BadValue> {
        let share = match text.strip_suffix('%') {
            Some(number) => number_of(number.trim())? / 100.0,
            None => number_of(text)?,
        };
        if share > 1.0 {
            return Err(BadValue::new("it is more than the whole"));
        }
        Ok(Share(share))
    }
}

impl Value for Frequency {
    const WHAT: &'static str = "a frequency";
    const FORM: &'static str = "how many per s, min or h, as `5/s`";
    const EXAMPLES: &'static [&'static str] = &["5/s", "30/min"];

    fn parse(text: &str) -> Result<Frequency, BadValue> {
        const UNITS: [Unit; 3] = [("/s", 1.0), ("/min", 1.0 / 60.0), ("/h", 1.0 / 3600.0)];
        Ok(Frequency {
            per_second: quantity(text, &UNITS)?,
        })
    }
}

impl Value for u32 {
    const WHAT: &'static str = "a count";
    const FORM: &'static str = "a whole number from 0 up, as `10`";
    const EXAMPLES: &'static [&'static str] = &["10"];
    const TYPES: &'static [&'static str] = &["integer"];

    fn parse(text: &str) -> Result<u32, BadValue> {
        if let Ok(count) = text.parse() {
            return Ok(count);
        }
        let number = number_of(text)?;
        Err(BadValue::new(if number > f64::from(u32::MAX) {
            "it is too large"
        } else {
            "it is not a whole number"
        }))
    }
}

impl Value for f64 {
    const WHAT: &'static str = "a number";
    const FORM: &'static str = "a number from 0 up, as `1` or `0.25`";
    const EXAMPLES: &'static [&'static str] = &["1", "0.25"];
    const TYPES: &'static [&'static str] = &["number"];

    fn parse(text: &str) -> Result<f64, BadValue> {
        number_of(text)
    }
}

impl Value for u64 {
    const WHAT: &'static str = "a seed";
    const FORM: &'static str = "a whole number from 0 to 18446744073709551615";
    const EXAMPLES: &'static [&'static str] = &["7"];
    const TYPES: &'static [&'static str] = &["integer"];

    fn parse(text: &str) -> Result<u64, BadValue> {
        text.parse()
            .map_err(|_| BadValue::new("it is not a whole number of 64 bits"))
    }
}

impl Value for bool {
    const WHAT: &'static str = "yes or no";
    const FORM: &'static str = "`true` or `false`";
    const EXAMPLES: &'static [&'static str] = &["true", "false"];
    const TYPES: &'static [&'static str] = &["boolean"];

    fn parse(text: &str) -> Result<bool, BadValue> {
        text.parse()
            .map_err(|_| BadValue::new("it is neither `true` nor `false`"))
    }
}

impl Value for Amount {
    const WHAT: &'static str = "an amount";
    const FORM: &'static str = "a count or a percentage, as `3` or `10%`";
    const EXAMPLES: &'static [&'static str] = &["10%", "3"];
    const TYPES: &'static [&'static str] = &["string", "integer"];

    fn parse(text: &str) -> Result<Amount, BadValue> {
        if text.ends_with('%') {
            Share::parse(text).map(|share| Amount::Share(share.0))
        } else {
            u32::parse(text).map(Amount::Count)
        }
    }
}

impl Value for Below<Nanos> {
    const WHAT: &'static str = "an upper bound on a time";
    const FORM: &'static str = "`<` and a time, as `< 2s`";
    const EXAMPLES: &'static [&'static str] = &["< 2s"];

    fn parse(text: &str) -> Result<Self, BadValue> {
        below(text)
    }
}

impl Value for Below<Rate> {
    const WHAT: &'static str = "an upper bound on a rate";
    const FORM: &'static str = "`<` and a rate, as `< 80 kB/s`";
    const EXAMPLES: &'static [&'static str] = &["< 80 kB/s"];

    fn parse(text: &str) -> Result<Self, BadValue> {
        below(text)
    }
}

impl ToText for Nanos {
    fn to_text(&self) -> String {
        const MILLI: u64 = 1_000_000;
        const SECOND: u64 = 1_000_000_000;
        if self.0 > 0 && self.0 < SECOND && self.0.is_multiple_of(MILLI) {
            return format!("{}ms", self.0 / MILLI);
        }
        let (whole, part) = (self.0 / SECOND, self.0 % SECOND);
        if part == 0 {
            return format!("{whole}s");
        }
        format!("{whole}.{}s", format!("{part:09}").trim_end_matches('0'))
    }
}

impl ToText for Rate {
    fn to_text(&self) -> String {
        in_units(
            self.bps,
            &[("Mbit/s", 1_000_000), ("kbit/s", 1_000)],
            "bit/s",
        )
    }
}

impl ToText for Size {
    fn to_text(&self) -> String {
        const UNITS: [(&str, u64); 4] = [
            ("MiB", 1 << 20),
            ("MB", 1_000_000),
            ("KiB", 1 << 10),
            ("kB", 1_000),
        ];
        in_units(self.bytes, &UNITS, "B")
    }
}

impl ToText for u32 {
    fn to_text(&self) -> String {
        self.to_string()
    }
}

impl ToText for u64 {
    fn to_text(&self) -> String {
        self.to_string()
    }
}

impl ToText for f64 {
    fn to_text(&self) -> String {
        self.to_string()
    }
}

impl ToText for bool {
    fn to_text(&self) -> String {
        self.to_string()
    }
}

impl ToText for Share {
    /// The shortest percentage that is read as this share.
    fn to_text(&self) -> String {
        const DIGITS_MAX: usize = 17;
        let percent = self.0 * 100.0;
        let mut texts = (0..=DIGITS_MAX).map(|digits| format!("{percent:.digits$}%"));
        let right = |text: &String| Share::parse(text).is_ok_and(|share| share == *self);
        texts.find(right).unwrap_or_else(|| self.0.to_string())
    }
}

impl ToText for Amount {
    fn to_text(&self) -> String {
        match self {
            Amount::Count(count) => count.to_string(),
            Amount::Share(share) => Share(*share).to_text(),
        }
    }
}

impl ToText for Below<Nanos> {
    fn to_text(&self) -> String {
        format!("< {}", self.0.to_text())
    }
}

impl ToText for Below<Rate> {
    fn to_text(&self) -> String {
        // Bandwidth is counted in bytes.
        match self.0.bps {
            bps if bps.is_multiple_of(8) => format!("< {} B/s", bps / 8),
            _ => format!("< {}", self.0.to_text()),
        }
    }
}

/// In the first unit of which it is a whole number.
fn in_units(amount: u64, units: &[(&str, u64)], base: &str) -> String {
    let whole = |(_, factor): &&(&str, u64)| amount > 0 && amount.is_multiple_of(*factor);
    match units.iter().find(whole) {
        Some((unit, factor)) => format!("{} {unit}", amount / factor),
        None => format!("{amount} {base}"),
    }
}

fn below<T: Value>(text: &str) -> Result<Below<T>, BadValue> {
    let Some(bound) = text.strip_prefix('<') else {
        return Err(BadValue::new("it does not begin with `<`"));
    };
    T::parse(bound.trim()).map(Below).map_err(|bad| BadValue {
        hint: bad
            .hint
            .or_else(|| Some(format!("after the `<`, write {}", T::FORM))),
        ..bad
    })
}

/// A unit's name, and how many base units it is.
type Unit = (&'static str, f64);

/// A number and one of the units, in base units.
fn quantity(text: &str, units: &[Unit]) -> Result<f64, BadValue> {
    let digits = text
        .find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '-' | '+' | '_')))
        .unwrap_or(text.len());
    let (number, unit) = (text[..digits].trim(), text[digits..].trim());
    if number.is_empty() {
        return Err(BadValue::new("it does not begin with a number"));
    }
    let number = number_of(number)?;
    if unit.is_empty() {
        return Err(BadValue::new("the unit is missing"));
    }
    if let Some((_, factor)) = units.iter().find(|(name, _)| *name == unit) {
        return Ok(number * factor);
    }
    let mut bad = BadValue::new(format!("`{unit}` is not one of its units"));
    let same = |(name, _): &&Unit| name.eq_ignore_ascii_case(unit);
    if let Some((name, _)) = units.iter().find(same) {
        bad.hint = Some(format!(
            "did you mean `{name}`? capital and small letters differ"
        ));
    }
    Err(bad)
}

/// A number from 0 up, in plain decimal notation.
fn number_of(text: &str) -> Result<f64, BadValue> {
    if text.starts_with('-') && text[1..].parse::<f64>().is_ok() {
        return Err(BadValue::new("it is negative"));
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number.abs()),
        _ => Err(BadValue::new(format!("`{text}` is not a number"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_mean_what_they_say() {
        assert_eq!(Nanos::parse("1.5s"), Ok(Nanos::from_millis(1500)));
        assert_eq!(Nanos::parse("2 m"), Ok(Nanos::from_secs(120)));
        assert_eq!(Rate::parse("80 kB/s"), Ok(Rate { bps: 640_000 }));
        assert_eq!(Rate::parse("10Mbit/s"), Ok(Rate { bps: 10_000_000 }));
        assert_eq!(Size::parse("64 MiB"), Ok(Size { bytes: 67_108_864 }));
        assert_eq!(Share::parse("12.5%"), Ok(Share(0.125)));
        assert_eq!(Frequency::parse("30/min").unwrap().per_second, 0.5);
        assert_eq!(Below::parse("< 2s"), Ok(Below(Nanos::from_secs(2))));
        assert_eq!(Amount::parse("10%").unwrap().of(95), 10);
    }

    proptest::proptest! {
        #[test]
        fn a_share_is_read_back(parts in 0u32..=10_000) {
            let share = Share(f64::from(parts) / 10_000.0);
            proptest::prop_assert_eq!(Share::parse(&share.to_text()), Ok(share));
        }
    }

    #[test]
    fn what_is_wrong_with_a_quantity_is_said() {
        let cause = |bad: BadValue| bad.cause;
        assert_eq!(
            cause(Nanos::parse("30").unwrap_err()),
            "the unit is missing"
        );
        assert_eq!(cause(Nanos::parse("-3s").unwrap_err()), "it is negative");
        assert_eq!(
            cause(Nanos::parse("soon").unwrap_err()),
            "it does not begin with a number"
        );
        assert_eq!(
            cause(u32::parse("2.5").unwrap_err()),
            "it is not a whole number"
        );
        assert_eq!(cause(u32::parse("-2").unwrap_err()), "it is negative");
        assert_eq!(
            cause(Share::parse("120%").unwrap_err()),
            "it is more than the whole"
        );
        let bad = Rate::parse("10 mbit/s").unwrap_err();
        assert!(bad.hint.unwrap().contains("`Mbit/s`"));
    }
}
