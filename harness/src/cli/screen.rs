//! What a person sees while a run goes on: one line that is redrawn, and a few that stay.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use peerlab_link::{Nanos, NodeId};

use super::run_board::RunBoard;
use crate::ui::Ui;
use peerlab_core::conduct::{Observer, Stage};
use peerlab_core::error::Result;
use peerlab_core::event::{RunEvent, What};
use peerlab_core::plan::Plan;

/// Pause between two summaries of the network.
const SUMMARY_INTERVAL: Duration = Duration::from_millis(100);

/// Shows what is being done.
pub struct Screen {
    ui: Ui,
    line: ProgressBar,
    /// Which run of a set it is; empty for one by itself.
    of_set: String,
    /// Whether what is got ready leaves lines.
    tells_preparing: bool,
    /// What fills the terminal while the plan is carried out.
    board: Option<RunBoard>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Of the plan: nodes, phases and faults, in words.
    nodes: usize,
    end: Nanos,
    fault_labels: Vec<String>,
    /// What was said last in a line that stays.
    noted: String,
    phase: String,
    up: BTreeSet<NodeId>,
    /// When the line was last written.
    summarised: Option<Instant>,
    tips: BTreeMap<NodeId, (u32, String)>,
}

impl Screen {
    /// Without a plan: building and pulling only.
    pub fn new(ui: &Ui) -> Screen {
        Screen {
            ui: ui.clone(),
            line: ui.line(),
            of_set: String::new(),
            tells_preparing: true,
            board: None,
            state: Mutex::default(),
        }
    }

    /// For the run of a plan.
    pub fn for_plan(ui: &Ui, plan: &Plan) -> Screen {
        let screen = Screen::new(ui);
        *screen.state() = State {
            nodes: plan.nodes.len(),
            end: plan.end(),
            fault_labels: plan.faults.iter().map(|f| f.label.clone()).collect(),
            ..State::default()
        };
        screen
    }

    /// With a live screen while the plan is carried out.
    pub fn with_board(self, board: RunBoard) -> Screen {
        Screen {
            board: Some(board),
            ..self
        }
    }

    /// For one run of a set, which leaves no lines of its own: they would hide what the runs came to.
    /// What is got ready is told by the first.
    pub fn of_set(self, which: String, is_first: bool) -> Screen {
        Screen {
            of_set: which,
            tells_preparing: is_first,
            ..self
        }
    }

    /// Says something that stays.
    pub fn say(&self, text: &str) {
        self.ui.note(text);
    }

    /// Says something of this run that stays, unless it is one of a set.
    pub fn remark(&self, text: &str) {
        if self.of_set.is_empty() {
            self.ui.note(text);
        }
    }

    /// Redraws the line.
    fn show(&self, text: impl Into<String>) {
        let text = text.into();
        self.line.set_message(match self.of_set.as_str() {
            "" => text,
            which => format!("{which}  {text}"),
        });
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says something that stays, once.
    fn note(&self, state: &mut State, text: String) {
        if state.noted != text {
            self.remark(&text);
            state.noted = text;
        }
    }
}

impl Observer for Screen {
    fn stage(&self, stage: Stage) {
        if let Some(board) = &self.board {
            match stage {
                Stage::Preparing(_) | Stage::BringUp { .. } | Stage::Restoring { .. } => {}
                Stage::Running => board.begin(),
                Stage::Collecting { .. } | Stage::Recorded | Stage::Removing => board.end(),
            }
        }
        let mut state = self.state();
        match stage {
            Stage::Preparing(what) => {
                // Where lines stay, a build would fill the screen with crates.
                let stays = self.tells_preparing && !what.starts_with("Compiling");
                if !self.ui.draws() && stays && state.noted != what {
                    self.ui.note(&what);
                    state.noted.clone_from(&what);
                }
                self.show(what);
            }
            Stage::BringUp {
                started,
                open,
                total,
            } => {
                if started == 0 && open == 0 {
                    self.note(&mut state, format!("starting {total} nodes"));
                }
                self.show(format!(
                    "starting nodes: {started} of {total} started, {open} ready"
                ));
            }
            Stage::Restoring { done, total } => {
                self.note(&mut state, format!("restoring {total} nodes"));
                self.show(format!("restoring nodes: {done} of {total}"));
            }
            Stage::Running => self.show("running"),
            Stage::Collecting { done, total } => {
                self.note(&mut state, "asking the nodes for their state".into());
                self.show(format!(
                    "asking the nodes for their state: {done} of {total}"
                ));
            }
            Stage::Recorded => self.line.finish_and_clear(),
            Stage::Removing => {
                self.note(&mut state, "removing everything".into());
                self.show("removing everything");
            }
        }
    }

    fn event(&self, event: &RunEvent) -> Result<()> {
        if let Some(board) = &self.board {
            board.take(event);
        }
        let mut state = self.state();
        if let Some(text) = state.take_in(event) {
            let text = format!("[{:>5.1} s] {text}", event.t.as_secs_f64());
            self.note(&mut state, text);
        }
        if self.ui.draws() && state.summary_is_due() {
            self.show(state.summary(event.t));
        }
        Ok(())
    }
}

impl State {
    /// Whether a new summary can be told from the last one: it looks at every node, and events of
    /// large networks come by the million.
    fn summary_is_due(&mut self) -> bool {
        let last = self.summarised;
        let due = last.is_none_or(|last| last.elapsed() >= SUMMARY_INTERVAL);
        if due {
            self.summarised = Some(Instant::now());
        }
        due
    }

    /// Takes an event in; gives what is worth a line that stays.
    fn take_in(&mut self, event: &RunEvent) -> Option<String> {
        let label = |fault: &u32| self.fault_labels.get(*fault as usize).cloned();
        match &event.what {
            What::Started(started) => {
                let nodes = self.nodes;
                return Some(match started.bring_up.as_secs_f64() {
                    0.0 => format!("{nodes} nodes start together, in virtual time"),
                    s => format!(
                        "{nodes} nodes started together, {s:.1} s after the first was created"
                    ),
                });
            }
            What::Phase { name } => {
                self.phase.clone_from(name);
                return Some(format!("phase {name}"));
            }
            What::NodeUp { node } => {
                self.up.insert(*node);
            }
            What::NodeDown { node, .. } => {
                self.up.remove(node);
                self.tips.remove(node);
            }
            What::Tip { node, tip } => {
                self.tips.insert(*node, (tip.height, tip.hash.clone()));
            }
            What::FaultBegan { fault } => return label(fault),
            What::FaultEnded { fault } => return label(fault).map(|l| format!("over: {l}")),
            _ => {}
        }
        None
    }

    fn summary(&self, now: Nanos) -> String {
        let tips: BTreeSet<&(u32, String)> = self.tips.values().collect();
        let height = tips.last().map_or(0, |(height, _)| *height);
        let agreement = match tips.len() {
            0 => "no tip known".to_owned(),
            1 => format!("height {height}, all agree"),
            n => format!("height {height}, {n} different tips"),
        };
        format!(
            "{}  {:.0} s of {:.0} s  {} of {} nodes up  {agreement}",
            self.phase,
            now.as_secs_f64(),
            self.end.as_secs_f64(),
            self.up.len(),
            self.nodes,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use peerlab_core::event::Tip;

    #[test]
    fn the_line_counts_nodes_and_different_tips() {
        let mut state = State {
            nodes: 3,
            end: Nanos::from_secs(60),
            phase: "warmup".into(),
            ..State::default()
        };
        for (node, hash) in [(0, "a"), (1, "a"), (2, "b")] {
            let node = NodeId(node);
            let tip = Tip {
                hash: hash.into(),
                height: 7,
            };
            for what in [What::NodeUp { node }, What::Tip { node, tip }] {
                state.take_in(&RunEvent {
                    t: Nanos::ZERO,
                    what,
                });
            }
        }
        assert_eq!(
            state.summary(Nanos::from_secs(12)),
            "warmup  12 s of 60 s  3 of 3 nodes up  height 7, 2 different tips"
        );
        state.take_in(&RunEvent {
            t: Nanos::ZERO,
            what: What::NodeDown {
                node: NodeId(2),
                how: None,
                status: None,
                reason: None,
            },
        });
        assert_eq!(
            state.summary(Nanos::from_secs(13)),
            "warmup  13 s of 60 s  2 of 3 nodes up  height 7, all agree"
        );
    }
}
