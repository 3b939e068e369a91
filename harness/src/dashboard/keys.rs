//! What a key asks for.

use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::state::{Dashboard, Purpose};
use super::strip::Rows;
use crate::network::Order;

/// What is to be done about a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// The screen is left; what it showed goes on.
    Leave,
    /// What it showed ends.
    End,
    /// As by SIGINT.
    Interrupt,
    /// The network is to do something.
    Do(Order),
}

/// The keys, each with what it does, for the last line of the screen.
pub fn help(purpose: Purpose) -> &'static [(&'static str, &'static str)] {
    match purpose {
        Purpose::Run { .. } => &[("q", "end the run"), ("arrows", "select")],
        Purpose::Watch | Purpose::Hold => &[
            ("q", "quit"),
            ("p", "partition"),
            ("h", "heal"),
            ("k", "kill"),
            ("s", "start"),
            ("f", "freeze"),
            ("m", "mine"),
            ("arrows", "select"),
        ],
    }
}

impl Dashboard {
    /// Takes in what came from the terminal, which is so wide; gives what is to be done about it.
    pub fn take(&mut self, event: &Event, width: u16) -> Option<Wish> {
        match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => self.press(*key, width),
            _ => None,
        }
    }

    fn press(&mut self, key: KeyEvent, width: u16) -> Option<Wish> {
        let again = std::mem::take(&mut self.asked_to_end);
        if again {
            self.message.clear();
        }
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if control => Some(Wish::Interrupt),
            KeyCode::Char('q') => self.quit(again),
            KeyCode::Char(letter) if !control && !self.is_run() => self.act(letter),
            code => {
                self.select(code, width);
                None
            }
        }
    }

    fn is_run(&self) -> bool {
        matches!(self.purpose, Purpose::Run { .. })
    }

    fn quit(&mut self, again: bool) -> Option<Wish> {
        let end = match self.purpose {
            Purpose::Watch => return Some(Wish::Leave),
            Purpose::Hold => "the network",
            Purpose::Run { .. } => "the run",
        };
        if again {
            return Some(match self.purpose {
                Purpose::Run { .. } => Wish::Interrupt,
                Purpose::Watch | Purpose::Hold => Wish::End,
            });
        }
        self.asked_to_end = true;
        self.message = format!("q again ends {end}; any other key, and it goes on");
        None
    }

    fn act(&self, letter: char) -> Option<Wish> {
        let node = self.selected_node()?.node.clone();
        Some(Wish::Do(match letter {
            'p' => Order::Partition,
            'h' => Order::Heal,
            'k' => Order::Kill(node),
            'f' => Order::Freeze(node),
            's' => Order::Start(node),
            'm' => Order::Mine(node),
            _ => return None,
        }))
    }

    fn select(&mut self, code: KeyCode, width: u16) {
        let Some(snapshot) = &self.snapshot else {
            return;
        };
        let nodes = snapshot.nodes.len();
        let rows = Rows::of(nodes, width);
        // In a strip of one row, up and down go through the table under it.
        let row = if rows.count > 1 { rows.each } else { 1 };
        let last = nodes.saturating_sub(1);
        let at = self.selected;
        self.selected = match code {
            KeyCode::Left => at.saturating_sub(1),
            KeyCode::Right => (at + 1).min(last),
            KeyCode::Up if at >= row => at - row,
            KeyCode::Down if at + row <= last => at + row,
            KeyCode::Home => 0,
            KeyCode::End => last,
            _ => at,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::super::state::tests::board;
    use super::*;

    fn press(board: &mut Dashboard, code: KeyCode) -> Option<Wish> {
        board.take(&Event::Key(KeyEvent::new(code, KeyModifiers::NONE)), 80)
    }

    fn letter(board: &mut Dashboard, letter: char) -> Option<Wish> {
        press(board, KeyCode::Char(letter))
    }

    #[test]
    fn a_network_that_ends_with_the_screen_ends_only_when_asked_twice() {
        let mut board = board(Purpose::Watch, 4);
        assert_eq!(letter(&mut board, 'q'), Some(Wish::Leave));
        board.purpose = Purpose::Hold;
        assert_eq!(letter(&mut board, 'q'), None);
        assert!(board.message.starts_with("q again ends the network"));
        assert_eq!(press(&mut board, KeyCode::Right), None);
        assert_eq!(board.message, "");
        assert_eq!(letter(&mut board, 'q'), None);
        assert_eq!(letter(&mut board, 'q'), Some(Wish::End));
        board.purpose = Purpose::Run {
            end: peerlab_link::Nanos(1),
        };
        assert_eq!(letter(&mut board, 'q'), None);
        assert_eq!(letter(&mut board, 'q'), Some(Wish::Interrupt));
    }

    #[test]
    fn control_c_is_an_interrupt_and_other_control_keys_do_nothing() {
        let mut board = board(Purpose::Watch, 4);
        let mut control = |letter| {
            let key = KeyEvent::new(KeyCode::Char(letter), KeyModifiers::CONTROL);
            board.take(&Event::Key(key), 80)
        };
        assert_eq!(control('c'), Some(Wish::Interrupt));
        assert_eq!(control('k'), None);
        assert_eq!(control('p'), None);
    }

    #[test]
    fn keys_act_upon_the_selected_node() {
        let mut board = board(Purpose::Watch, 5);
        press(&mut board, KeyCode::Down);
        press(&mut board, KeyCode::Right);
        let node = || "peers-2".to_owned();
        for (key, order) in [
            ('k', Order::Kill(node())),
            ('f', Order::Freeze(node())),
            ('s', Order::Start(node())),
            ('m', Order::Mine(node())),
            ('h', Order::Heal),
            ('p', Order::Partition),
        ] {
            assert_eq!(letter(&mut board, key), Some(Wish::Do(order)));
        }
        assert_eq!(letter(&mut board, 'y'), None);
        // Nobody interferes with a plan.
        board.purpose = Purpose::Run {
            end: peerlab_link::Nanos(1),
        };
        assert_eq!(letter(&mut board, 'k'), None);
        // And nothing can be done before anything is known.
        let mut empty = Dashboard::new(Purpose::Watch, false);
        assert_eq!(letter(&mut empty, 'k'), None);
    }

    #[test]
    fn the_selection_stays_among_the_nodes() {
        let mut board = board(Purpose::Watch, 1_000);
        let mut at = |code| {
            press(&mut board, code);
            board.selected
        };
        assert_eq!(at(KeyCode::Left), 0);
        assert_eq!(at(KeyCode::Up), 0);
        assert_eq!(at(KeyCode::Down), 80);
        assert_eq!(at(KeyCode::End), 999);
        assert_eq!(at(KeyCode::Down), 999);
        assert_eq!(at(KeyCode::Right), 999);
        assert_eq!(at(KeyCode::Up), 919);
        assert_eq!(at(KeyCode::Home), 0);
    }
}
