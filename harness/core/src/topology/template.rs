//! `{{ ... }}` in what a group says of its program, in the language of Jinja. Checked when the file is read,
//! filled in when the plan is made.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Enumerator, Object, ObjectRepr, Value};
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior};

use super::suggest::did_you_mean;
use super::written::BadValue;

/// Path of the pre-mined blocks inside every node.
pub const PREMINED_PATH: &str = "/peerlab/premined.dat";
/// Where nodes may keep their data: what is there is not the image's.
pub const DATA_PATH: &str = "/data";

/// Names that stand for something of the node's.
const NAMES: [&str; 14] = [
    "bootstrap",
    "count",
    "data",
    "group",
    "groups",
    "index",
    "ip",
    "name",
    "nodes",
    PEER,
    "peers",
    "premined",
    "region",
    "seed",
];
/// An argument in which it stands is repeated for each peer.
const PEER: &str = "peer";
/// Steps of one template: a line for each of 100,000 nodes takes a tenth of it.
const STEPS_MAX: u64 = 10_000_000;

/// A node, as other nodes' templates see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    pub name: String,
    pub group: String,
    /// In its group.
    pub index: u32,
    pub ip: Ipv4Addr,
    pub region: String,
}

impl Object for Known {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        Some(match key.as_str()? {
            "name" => Value::from(self.name.as_str()),
            "group" => Value::from(self.group.as_str()),
            "index" => Value::from(self.index),
            "ip" => Value::from(self.ip.to_string()),
            "region" => Value::from(self.region.as_str()),
            _ => return None,
        })
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Str(&["name", "group", "index", "ip", "region"])
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// All nodes, by name and by group.
#[derive(Debug, Default)]
pub struct Directory {
    nodes: BTreeMap<String, Value>,
    groups: BTreeMap<String, Vec<Value>>,
}

impl Directory {
    /// Of these nodes, in their order.
    pub fn new(nodes: impl IntoIterator<Item = Known>) -> Directory {
        let mut directory = Directory::default();
        for node in nodes {
            let (name, group) = (node.name.clone(), node.group.clone());
            let value = Value::from_object(node);
            directory
                .groups
                .entry(group)
                .or_default()
                .push(value.clone());
            directory.nodes.insert(name, value);
        }
        directory
    }
}

/// `nodes`, whose keys are names.
#[derive(Debug)]
struct ByName(Arc<Directory>);

impl Object for ByName {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.0.nodes.get(key.as_str()?).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let names = self.0.nodes.keys();
        Enumerator::Values(names.map(|name| Value::from(name.as_str())).collect())
    }
}

/// `groups`, whose values are lists of nodes.
#[derive(Debug)]
struct ByGroup(Arc<Directory>);

impl Object for ByGroup {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let group = self.0.groups.get(key.as_str()?);
        group.map(|nodes| Value::from(nodes.clone()))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let names = self.0.groups.keys();
        Enumerator::Values(names.map(|name| Value::from(name.as_str())).collect())
    }
}

/// `bootstrap`: the peers. One beyond them stands for the last, since how many discovery gives a node differs
/// from node to node.
#[derive(Debug)]
struct FirstPeers {
    peers: Vec<Ipv4Addr>,
    /// Whether one was wanted where there is none.
    in_vain: AtomicBool,
}

impl Object for FirstPeers {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let peer = self.peers.get(key.as_usize()?).or(self.peers.last());
        if peer.is_none() {
            self.in_vain.store(true, Ordering::Relaxed);
        }
        Some(Value::from(
            peer.map(Ipv4Addr::to_string).unwrap_or_default(),
        ))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.peers.len())
    }
}

/// What the names stand for, for one node.
#[derive(Clone, Debug)]
pub struct Values<'a> {
    /// The node itself.
    pub own: &'a Known,
    /// How many nodes its group has.
    pub count: u32,
    /// 64 hex digits that chance gives this node alone.
    pub seed: &'a str,
    /// The peers that discovery gives it.
    pub peers: &'a [Ipv4Addr],
    /// All nodes.
    pub directory: &'a Arc<Directory>,
}

/// The names of a node in the form that templates read.
#[derive(Debug)]
struct Names {
    own: Value,
    count: u32,
    seed: String,
    peers: Vec<Value>,
    bootstrap: Value,
    directory: Arc<Directory>,
    /// The one that an argument is repeated for.
    peer: Option<Ipv4Addr>,
}

impl Object for Names {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        Some(match name {
            "name" | "group" | "index" | "ip" | "region" => return self.own.get_attr(name).ok(),
            "count" => Value::from(self.count),
            "seed" => Value::from(self.seed.as_str()),
            "data" => Value::from(DATA_PATH),
            "premined" => Value::from(PREMINED_PATH),
            "peers" => Value::from(self.peers.clone()),
            "bootstrap" => self.bootstrap.clone(),
            "nodes" => Value::from_object(ByName(self.directory.clone())),
            "groups" => Value::from_object(ByGroup(self.directory.clone())),
            PEER => Value::from(self.peer?.to_string()),
            _ => return None,
        })
    }
}

/// Where a template stands decides which names it may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Within {
    /// One of a list of arguments.
    Arguments,
    /// A value of its own.
    Value,
}

/// Whether a text's templates are right.
///
/// # Errors
/// What is not, and why.
pub fn check(text: &str, within: Within) -> Result<(), BadValue> {
    if is_plain(text) {
        return Ok(());
    }
    let environment = environment();
    let template = environment.template_from_str(text).map_err(refusal)?;
    let mut used: Vec<String> = template.undeclared_variables(false).into_iter().collect();
    used.sort_unstable();
    for name in &used {
        let is_known = NAMES.contains(&name.as_str());
        // Functions and filters are looked up when they are used.
        let is_function = environment.globals().any(|(known, _)| known == name);
        if !is_known && !is_function {
            return Err(unknown(name));
        }
        if name == PEER && within == Within::Value {
            return Err(BadValue::with_hint(
                "`peer` stands for one peer after the other in a list of arguments, and this is no such list",
                "write `{% for peer in peers %}..{% endfor %}`, or `{{ bootstrap[0] }}` for the first",
            ));
        }
    }
    Ok(())
}

/// Fills in arguments. One with `{{ peer }}` is repeated for each peer; one with `bootstrap[0]` is left out where
/// a node knows nobody at first.
///
/// # Errors
/// The index of the argument that cannot be filled in, and why.
pub fn fill_arguments(
    arguments: &[String],
    values: &Values<'_>,
) -> Result<Vec<String>, (usize, BadValue)> {
    let mut filled = Vec::new();
    for (index, argument) in arguments.iter().enumerate() {
        if is_plain(argument) {
            filled.push(argument.clone());
            continue;
        }
        let environment = environment();
        let template = environment.template_from_str(argument);
        let is_repeated = template.is_ok_and(|it| it.undeclared_variables(false).contains(PEER));
        let peers: Vec<Option<Ipv4Addr>> = if is_repeated {
            values.peers.iter().copied().map(Some).collect()
        } else {
            vec![None]
        };
        for peer in peers {
            let text = fill_one(argument, values, peer).map_err(|bad| (index, bad))?;
            filled.extend(text);
        }
    }
    Ok(filled)
}

/// Fills in a text of its own.
///
/// # Errors
/// Why it cannot be.
pub fn fill(text: &str, values: &Values<'_>) -> Result<String, BadValue> {
    if is_plain(text) {
        return Ok(text.to_owned());
    }
    let filled = fill_one(text, values, None)?;
    filled.ok_or_else(|| {
        BadValue::with_hint(
            format!("`{}` knows nobody at first", values.own.name),
            "write `{% if peers %}..{% endif %}` around it",
        )
    })
}

/// `None` where a peer is wanted and there is none.
fn fill_one(
    text: &str,
    values: &Values<'_>,
    peer: Option<Ipv4Addr>,
) -> Result<Option<String>, BadValue> {
    let first = Arc::new(FirstPeers {
        peers: values.peers.to_vec(),
        in_vain: AtomicBool::new(false),
    });
    let names = Names {
        own: Value::from_object(values.own.clone()),
        count: values.count,
        seed: values.seed.to_owned(),
        peers: values
            .peers
            .iter()
            .map(|ip| Value::from(ip.to_string()))
            .collect(),
        bootstrap: Value::from_dyn_object(first.clone()),
        directory: values.directory.clone(),
        peer,
    };
    let environment = environment();
    let filled = environment.render_str(text, Value::from_object(names));
    let filled = filled.map_err(refusal)?;
    Ok((!first.in_vain.load(Ordering::Relaxed)).then_some(filled))
}

/// Whether it has no template.
fn is_plain(text: &str) -> bool {
    !["{{", "{%", "{#"].iter().any(|open| text.contains(open))
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    // As in Ansible: a line that holds a `{% .. %}` alone leaves nothing.
    let mut syntax = SyntaxConfig::builder();
    syntax.trim_blocks(true).lstrip_blocks(true);
    syntax.keep_trailing_newline(true);
    environment.set_syntax(syntax.build().unwrap_or_default());
    environment.set_fuel(Some(STEPS_MAX));
    environment
}

fn unknown(name: &str) -> BadValue {
    let known = || {
        let names: Vec<String> = NAMES.iter().map(|name| format!("`{name}`")).collect();
        format!("there are {}", names.join(", "))
    };
    let hint = did_you_mean(name, NAMES, known);
    BadValue::with_hint(
        format!("`{name}` is unknown here"),
        hint.replace("mean `bootstrap`", "mean `bootstrap[0]`"),
    )
}

/// What the template engine says, as a clause; its own line counts within the value.
fn refusal(error: Error) -> BadValue {
    let detail = error
        .detail()
        .map_or_else(|| error.kind().to_string(), str::to_owned);
    let place = match error.line() {
        Some(line) if line > 1 => format!(" (line {line} of this value)"),
        _ => String::new(),
    };
    let cause = format!("{detail}{place}");
    match error.kind() {
        ErrorKind::SyntaxError => BadValue::with_hint(
            cause,
            "templates are Jinja's: `{{ ip }}`, `{% for node in groups['peers'] %}..{% endfor %}`; `{{ '{{' }}` for \
             braces as such",
        ),
        ErrorKind::UndefinedError => BadValue::with_hint(
            format!("something in it is not there: {cause}"),
            "nodes are found by name, as `nodes['seeds-0'].ip`; they have name, group, index, ip and region",
        ),
        ErrorKind::OutOfFuel => BadValue::with_hint(
            "it takes too many steps",
            format!("a template may take {STEPS_MAX} steps"),
        ),
        _ => BadValue::new(cause),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEERS: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 0, 0, 2), Ipv4Addr::new(10, 0, 0, 3)];

    fn known(name: &str, group: &str, index: u32) -> Known {
        Known {
            name: name.into(),
            group: group.into(),
            index,
            ip: Ipv4Addr::new(10, 0, 0, 9 + index as u8),
            region: "europe".into(),
        }
    }

    /// Fills in what node `core-1`, which knows these peers, says.
    fn with<T>(peers: &[Ipv4Addr], what: impl FnOnce(&Values<'_>) -> T) -> T {
        let own = known("core-1", "core", 1);
        let all = [
            known("core-0", "core", 0),
            own.clone(),
            known("seeds-0", "seeds", 5),
        ];
        what(&Values {
            own: &own,
            count: 2,
            seed: "ab",
            peers,
            directory: &Arc::new(Directory::new(all)),
        })
    }

    #[test]
    fn arguments_are_filled_in_and_repeated_for_each_peer() {
        let arguments = [
            "-a={{ip}}:{{ index }}",
            "-n={{ peer }}:1",
            "-b={{ bootstrap[0] }}",
            "-c={{ bootstrap[7] }}",
            "-d={{ peers | join(',') }}",
            "x",
        ]
        .map(String::from);
        let filled = with(&PEERS, |values| fill_arguments(&arguments, values)).unwrap();
        let expected = [
            "-a=10.0.0.10:1",
            "-n=10.0.0.2:1",
            "-n=10.0.0.3:1",
            "-b=10.0.0.2",
            "-c=10.0.0.3",
            "-d=10.0.0.2,10.0.0.3",
            "x",
        ];
        assert_eq!(filled, expected);
        let lonely = with(&[], |values| fill_arguments(&arguments, values)).unwrap();
        assert_eq!(lonely, ["-a=10.0.0.10:1", "-d=", "x"]);
    }

    #[test]
    fn other_nodes_are_known_by_name_and_by_group() {
        let text = "{{ nodes['seeds-0'].ip }} {% for it in groups.core %}{{ it }}={{ it.region }};{% endfor %} {{ seed }}\n";
        let filled = with(&PEERS, |values| fill(text, values)).unwrap();
        assert_eq!(filled, "10.0.0.14 core-0=europe;core-1=europe; ab\n");
    }

    #[test]
    fn what_is_not_there_is_an_error() {
        for text in ["{{ nodes['seed-9'].ip }}", "{{ groups.others[0].ip }}"] {
            assert!(check(text, Within::Value).is_ok(), "{text}");
            let bad = with(&PEERS, |values| fill(text, values)).unwrap_err();
            assert!(bad.cause.contains("not there"), "{bad:?}");
        }
        let bad = with(&[], |values| fill("{{ bootstrap[0] }}", values)).unwrap_err();
        assert_eq!(bad.cause, "`core-1` knows nobody at first");
        let endless =
            "{% for a in range(10000) %}{% for b in range(10000) %}x{% endfor %}{% endfor %}";
        let bad = with(&PEERS, |values| fill(endless, values)).unwrap_err();
        assert_eq!(bad.cause, "it takes too many steps");
    }

    #[test]
    fn wrong_templates_are_refused() {
        let bad = |text| check(text, Within::Arguments).unwrap_err();
        assert_eq!(
            bad("{{ bootsrap }}").hint.unwrap(),
            "did you mean `bootstrap[0]`?"
        );
        assert!(
            bad("{{ ip }").cause.contains("unexpected"),
            "{:?}",
            bad("{{ ip }")
        );
        assert!(check("{{ peer }}", Within::Arguments).is_ok());
        assert!(check("{{ peer }}", Within::Value).is_err());
        let looped = "{% for peer in peers %}{{ peer }}{% endfor %}";
        assert!(check(looped, Within::Value).is_ok());
        assert!(check("{ ip }", Within::Value).is_ok());
    }
}
