//! Values about the network, as people write them: delays of a path, loss models, framing,
//! graphs.

use peerlab_link::{Loss, Nanos, PathDelay};

use super::phrase::{Phrase, one_of};
use super::units::{Share, Size};
use super::written::{BadValue, ToText, Value};

/// Ethernet: 14 bytes of header, 4 of check sum, 8 of preamble, 12 of gap.
pub const ETHERNET_FRAMING_BYTES: u16 = 38;

impl Value for PathDelay {
    const WHAT: &'static str = "a delay";
    const FORM: &'static str =
        "a one-way time, with jitter if wanted, as `50ms` or `50ms jitter 5ms`";
    const EXAMPLES: &'static [&'static str] = &["50ms", "50ms jitter 5ms"];

    fn parse(text: &str) -> Result<PathDelay, BadValue> {
        let (base, jitter) = match text.split_once("jitter") {
            Some((base, jitter)) => (base.trim(), Nanos::parse(jitter.trim())?),
            None => (text, Nanos::ZERO),
        };
        Ok(PathDelay {
            base: Nanos::parse(base)?,
            jitter,
        })
    }
}

impl Value for Loss {
    const WHAT: &'static str = "a loss";
    const FORM: &'static str = "a share of the packets, as `0.1%`, or bursts, as \
                                `gilbert-elliott(enter 1% leave 20% bad 50%)`";
    const EXAMPLES: &'static [&'static str] =
        &["0.1%", "gilbert-elliott(enter 1% leave 20% bad 50%)"];

    fn parse(text: &str) -> Result<Loss, BadValue> {
        let phrase = Phrase::parse(text)?;
        if phrase.name != "gilbert-elliott" {
            if phrase.name.starts_with(|c: char| c.is_ascii_alphabetic()) {
                return Err(phrase.unknown(&["gilbert-elliott"]));
            }
            let share = Share::parse(text)?;
            return Ok(match chance(share) {
                0 => Loss::None,
                chance => Loss::Bernoulli { chance },
            });
        }
        let parameters = phrase.parameters(&["enter", "leave", "good", "bad"])?;
        let leave: Share = parameters.required("leave")?;
        if leave.0 == 0.0 {
            return Err(BadValue::new(
                "`leave` is zero, so that a link once bad stays so",
            ));
        }
        Ok(Loss::GilbertElliott {
            enter: chance(parameters.required("enter")?),
            leave: chance(leave),
            good: chance(parameters.optional("good")?.unwrap_or(Share(0.0))),
            bad: chance(parameters.optional("bad")?.unwrap_or(Share(1.0))),
        })
    }
}

/// Digits after the point with which every chance of 32 bits can be written as a percentage.
const PERCENT_DIGITS_MAX: usize = 12;

impl ToText for PathDelay {
    fn to_text(&self) -> String {
        let base = self.base.to_text();
        match self.jitter {
            Nanos::ZERO => base,
            jitter => format!("{base} jitter {}", jitter.to_text()),
        }
    }
}

impl ToText for Loss {
    fn to_text(&self) -> String {
        match *self {
            Loss::None => "0%".into(),
            Loss::Bernoulli { chance } => percent(chance),
            Loss::GilbertElliott {
                enter,
                leave,
                good,
                bad,
            } => format!(
                "gilbert-elliott(enter {} leave {} good {} bad {})",
                percent(enter),
                percent(leave),
                percent(good),
                percent(bad)
            ),
        }
    }
}

/// The shortest percentage that is read as this chance.
fn percent(wanted: u32) -> String {
    let share = f64::from(wanted) / f64::from(Loss::ONE) * 100.0;
    let texts = (0..=PERCENT_DIGITS_MAX).map(|digits| format!("{share:.digits$}%"));
    let right = |text: &String| Share::parse(text).is_ok_and(|share| chance(share) == wanted);
    let mut right = texts.filter(right);
    right.next().unwrap_or_else(|| format!("{share}%"))
}

fn chance(share: Share) -> u32 {
    libm::round(share.0 * f64::from(Loss::ONE)) as u32
}

/// Bytes that the wire adds to every IP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framing(pub u16);

impl Value for Framing {
    const WHAT: &'static str = "a framing";
    const FORM: &'static str =
        "`ethernet` (38 bytes a packet), `none`, or a size up to 1,000 B, as `20 B`";
    const EXAMPLES: &'static [&'static str] = &["ethernet", "none", "20 B"];

    fn parse(text: &str) -> Result<Framing, BadValue> {
        match text {
            "ethernet" => Ok(Framing(ETHERNET_FRAMING_BYTES)),
            "none" => Ok(Framing(0)),
            _ => match Size::parse(text)?.bytes {
                bytes @ 0..=1000 => Ok(Framing(bytes as u16)),
                _ => Err(BadValue::new("it is more than 1,000 bytes a packet")),
            },
        }
    }
}

impl ToText for Framing {
    fn to_text(&self) -> String {
        format!("{} B", self.0)
    }
}

/// How nodes find each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Without a centre.
    Pure,
    /// Through seed nodes.
    Hybrid,
    /// Not at all: the graph is given.
    Static,
}

impl Value for Mode {
    const WHAT: &'static str = "a way of discovery";
    const FORM: &'static str = "`pure`, `hybrid` or `static`";
    const EXAMPLES: &'static [&'static str] = &["pure", "hybrid", "static"];

    fn parse(text: &str) -> Result<Mode, BadValue> {
        one_of(
            text,
            Self::EXAMPLES,
            [Mode::Pure, Mode::Hybrid, Mode::Static],
        )
    }
}

impl ToText for Mode {
    fn to_text(&self) -> String {
        let word = match self {
            Mode::Pure => "pure",
            Mode::Hybrid => "hybrid",
            Mode::Static => "static",
        };
        word.to_owned()
    }
}

/// The kinds of static graph.
#[derive(Clone, Debug, PartialEq)]
pub enum Graph {
    /// A circle.
    Ring,
    /// A chain.
    Line,
    /// Everybody to one node; the first of all when not named.
    Star {
        /// Name of the node in the middle.
        centre: Option<String>,
    },
    /// Everybody to everybody.
    Complete,
    /// Everybody has the same number of links, otherwise random.
    RandomRegular {
        /// Links of each node.
        degree: u32,
    },
    /// A ring lattice with some links moved (Watts and Strogatz 1998).
    SmallWorld {
        /// Links of each node before moving; even.
        degree: u32,
        /// Chance that a link is moved.
        rewire: f64,
    },
    /// Newcomers link to nodes in proportion to their links (Barabási and Albert 1999).
    ScaleFree {
        /// Links that each newcomer brings.
        links: u32,
    },
}

/// A node's name inside a phrase.
struct NodeName(String);

impl Value for NodeName {
    const WHAT: &'static str = "a node's name";
    const FORM: &'static str = "a node's name, as `hub-0`";
    const EXAMPLES: &'static [&'static str] = &["hub-0"];

    fn parse(text: &str) -> Result<NodeName, BadValue> {
        Ok(NodeName(text.to_owned()))
    }
}

impl Value for Graph {
    const WHAT: &'static str = "a graph";
    const FORM: &'static str = "`ring`, `line`, `star`, `star(centre hub-0)`, `complete`, \
                                `random-regular(degree 8)`, `small-world(degree 4 rewire 10%)` or \
                                `scale-free(links 3)`";
    const EXAMPLES: &'static [&'static str] = &[
        "random-regular(degree 8)",
        "ring",
        "line",
        "star",
        "star(centre hub-0)",
        "complete",
        "small-world(degree 4 rewire 10%)",
        "scale-free(links 3)",
    ];

    fn parse(text: &str) -> Result<Graph, BadValue> {
        let phrase = Phrase::parse(text)?;
        let bare = |graph| phrase.bare().map(|()| graph);
        match phrase.name {
            "ring" => bare(Graph::Ring),
            "line" => bare(Graph::Line),
            "complete" => bare(Graph::Complete),
            "star" => {
                let centre = phrase
                    .parameters(&["centre"])?
                    .optional::<NodeName>("centre")?;
                Ok(Graph::Star {
                    centre: centre.map(|name| name.0),
                })
            }
            "random-regular" => Ok(Graph::RandomRegular {
                degree: links(phrase.parameters(&["degree"])?.required("degree")?, 2)?,
            }),
            "small-world" => {
                let parameters = phrase.parameters(&["degree", "rewire"])?;
                let degree = links(parameters.required("degree")?, 2)?;
                if degree % 2 == 1 {
                    return Err(BadValue::new(
                        "the degree of a small world is even: half the links go each way",
                    ));
                }
                let Share(rewire) = parameters.required("rewire")?;
                Ok(Graph::SmallWorld { degree, rewire })
            }
            "scale-free" => Ok(Graph::ScaleFree {
                links: links(phrase.parameters(&["links"])?.required("links")?, 1)?,
            }),
            _ => Err(phrase.unknown(&[
                "ring",
                "line",
                "star",
                "complete",
                "random-regular",
                "small-world",
                "scale-free",
            ])),
        }
    }
}

fn links(count: u32, min: u32) -> Result<u32, BadValue> {
    if count < min {
        return Err(BadValue::new(format!(
            "a connected graph of this kind needs at least {min} links a node"
        )));
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        for example in Graph::EXAMPLES {
            Graph::parse(example).unwrap();
        }
        for example in Loss::EXAMPLES {
            Loss::parse(example).unwrap();
        }
        assert_eq!(Loss::parse("0%"), Ok(Loss::None));
        assert_eq!(
            Loss::parse("100%"),
            Ok(Loss::Bernoulli { chance: Loss::ONE })
        );
        let delay = PathDelay::parse("50ms jitter 5ms").unwrap();
        assert_eq!(delay.jitter, Nanos::from_millis(5));
        assert_eq!(Framing::parse("ethernet"), Ok(Framing(38)));
    }

    #[test]
    fn graphs_that_cannot_be_are_refused() {
        for text in [
            "ring(degree 2)",
            "random-regular",
            "random-regular(degree 1)",
            "small-world(degree 3 rewire 1%)",
            "mesh",
        ] {
            Graph::parse(text).unwrap_err();
        }
    }
}
