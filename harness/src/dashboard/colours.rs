//! Colours of the screen, or none: what they tell is told by letters as well.

use peerlab_core::view::Mark;
use ratatui::style::{Color, Modifier, Style};

/// Of branches, by their numbers; further ones begin anew. Each is legible on light and dark.
const BRANCHES: [(Color, Color); 5] = [
    (Color::Blue, Color::White),
    (Color::Yellow, Color::Black),
    (Color::Magenta, Color::White),
    (Color::Cyan, Color::Black),
    (Color::Green, Color::Black),
];

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Colours {
    /// Whether there are any.
    pub on: bool,
}

impl Colours {
    fn of(self, style: Style) -> Style {
        if self.on { style } else { Style::new() }
    }

    /// Of a node's mark.
    pub fn mark(self, mark: Mark) -> Style {
        self.of(match mark {
            Mark::Branch(number) => {
                let (ground, ink) = BRANCHES[number % BRANCHES.len()];
                Style::new().bg(ground).fg(ink)
            }
            Mark::Behind => Style::new().bg(Color::DarkGray).fg(Color::White),
            Mark::Unknown | Mark::Starting | Mark::Removed => Style::new().fg(Color::DarkGray),
            Mark::Down | Mark::Frozen => Style::new().fg(Color::Red).add_modifier(Modifier::BOLD),
            Mark::Ended => Style::new().bg(Color::Red).fg(Color::White),
        })
    }

    /// What is as it should be.
    pub fn good(self) -> Style {
        self.of(Style::new().fg(Color::Green))
            .add_modifier(Modifier::BOLD)
    }

    /// What is not, or not yet.
    pub fn notable(self) -> Style {
        self.of(Style::new().fg(Color::Yellow))
            .add_modifier(Modifier::BOLD)
    }

    /// What stands beside the point.
    pub fn dim(self) -> Style {
        self.of(Style::new().fg(Color::DarkGray))
    }

    /// Where the keys act.
    pub fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// Titles.
    pub fn title(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// The small chart.
    pub fn chart(self) -> Style {
        self.of(Style::new().fg(Color::Blue))
    }
}
