//! The page of `watch --web`: a frame without facts, which its script fills with what the server tells.
//! It loads nothing from elsewhere, and runs no script but its own: the server's policy names both by
//! the nonce.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::parts::STYLE;
use crate::view::SIZE;

const LIVE_STYLE: &str = include_str!("live.css");
const SCRIPT: &str = include_str!("live.js");

/// The whole page of a network by its name.
pub fn live_page(network: &str, nonce: &str) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                // Else a browser asks for one.
                link rel="icon" href="data:,";
                title { (network) }
                style nonce=(nonce) { (PreEscaped(STYLE)) (PreEscaped(LIVE_STYLE)) }
            }
            body {
                main {
                    header { span #pill.pill {} h1 { (network) } }
                    p #facts.facts {}
                    (now())
                    (over_time())
                    div.two { (branches()) (costs()) }
                }
                script nonce=(nonce) { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

fn now() -> Markup {
    let view = format!("0 0 {:.0} {:.0}", SIZE[0], SIZE[1]);
    html! {
        section {
            h2 { "The network now" }
            p.actions {
                button #partition { "Partition in halves" }
                button #heal { "Heal" }
                span.of { span #chosen {} }
                button #kill { "Kill" }
                button #freeze { "Freeze" }
                button #start { "Start" }
                button #mine { "Mine a block" }
            }
            p #said.hint role="status" {}
            svg #graph.wide viewBox=(view) role="img" aria-label="Who is connected to whom" {
                g #regions {}
                g #links {}
                g #nodes {}
            }
            p #legend.legend {}
            (super::parts::hint("A dot is a node, coloured by the branch that its tip is on; choose one by a click. \
                Lines are connections, as the nodes told them last; those between branches are dashed."))
        }
    }
}

fn over_time() -> Markup {
    html! {
        section {
            h2 { "Nodes over time" }
            canvas #history role="img" aria-label="Each node over time, coloured by the branch that its tip is on" {}
            (super::parts::hint("The last five minutes at most. Shaded: a fault was in force."))
        }
    }
}

fn branches() -> Markup {
    html! {
        section {
            h2 { "Branches" }
            table { tbody #branches {} }
        }
    }
}

fn costs() -> Markup {
    html! {
        section {
            h2 { "Faults, traffic, host" }
            table { tbody #costs {} }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_whole_and_needs_nothing_else() {
        let text = live_page("net-20", "abc");
        for outside in [
            "https:",
            "@import",
            "url(",
            "<img",
            "src=",
            "onclick",
            "innerHTML",
        ] {
            assert!(!text.contains(outside), "it contains {outside}");
        }
        // Only the name of SVG's own elements.
        assert_eq!(text.matches("http:").count(), 1);
        assert_eq!(text.matches("<script nonce=\"abc\">").count(), 1);
        assert_eq!(text.matches("<script").count(), 1);
        assert_eq!(text.matches("</script").count(), 1);
    }

    #[test]
    fn a_hostile_name_stays_text() {
        let text = live_page("</title><script>alert(1)</script>", "abc");
        assert_eq!(text.matches("<script").count(), 1);
    }
}
