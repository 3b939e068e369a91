//! From Bitcoin Core's way of writing options to clap's. Core writes `-name=value`, `-name` for
//! `-name=1` and `-noname` for `-name=0`, with one dash or two; clap knows two dashes only.

/// Rewrites single-dash options. `names` are the options that exist: `-noname` means `-name=0`
/// for those only, so that `-notify` would stay what it is.
pub fn to_double_dash(
    arguments: impl IntoIterator<Item = String>,
    names: &[String],
) -> Vec<String> {
    arguments
        .into_iter()
        .map(|argument| rewrite(&argument, names))
        .collect()
}

fn rewrite(argument: &str, names: &[String]) -> String {
    let Some(option) = argument.strip_prefix('-') else {
        return argument.to_owned();
    };
    let option = option.strip_prefix('-').unwrap_or(option);
    if option.is_empty() {
        return argument.to_owned();
    }
    let (name, value) = match option.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (option, None),
    };
    let known = |name: &str| names.iter().any(|known| known == name);
    if let Some(negated) = name.strip_prefix("no")
        && !known(name)
        && known(negated)
    {
        // Core's double negation: -nolisten=0 is -listen=1.
        let value = if value == Some("0") { "1" } else { "0" };
        return format!("--{negated}={value}");
    }
    match value {
        Some(value) => format!("--{name}={value}"),
        None => format!("--{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn core_s_forms_become_clap_s() {
        let names = ["listen", "connect", "datadir", "node"].map(str::to_owned);
        let rewritten = |argument: &str| rewrite(argument, &names);
        assert_eq!(rewritten("-listen"), "--listen");
        assert_eq!(rewritten("--listen=1"), "--listen=1");
        assert_eq!(rewritten("-datadir=/a=b"), "--datadir=/a=b");
        assert_eq!(rewritten("-nolisten"), "--listen=0");
        assert_eq!(rewritten("-nolisten=0"), "--listen=1");
        assert_eq!(rewritten("-node=5"), "--node=5");
        assert_eq!(rewritten("-nothing"), "--nothing");
        assert_eq!(rewritten("/plain"), "/plain");
        assert_eq!(rewritten("-"), "-");
        assert_eq!(rewritten("--"), "--");
    }
}
