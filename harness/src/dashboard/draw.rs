//! What is drawn, from what is known: the whole in two lines, branches, each node as a character, a
//! table of those around the selected one, and what it costs.

use peerlab_core::view::{
    Branch, LEGEND, Mark, NODE_TITLES, NodeState, Snapshot, Status, agreement, fidelity_text,
    node_cells, short, traffic_text,
};
use peerlab_core::words;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Cell, Paragraph, Row, Sparkline, Table};

use super::keys::help;
use super::state::{Dashboard, Purpose};
use super::strip::{Rows, Strip};

/// Branches that are listed; of more the count is told.
const BRANCHES_SHOWN: usize = 4;
/// Faults that are listed, likewise.
const FAULTS_SHOWN: usize = 3;
/// Rows that are always there: title, agreement, the rule over the strip, traffic, host, message, keys.
const ROWS_ALWAYS: usize = 7;
/// Least rows for which the table has a head.
const ROWS_WITH_HEAD: usize = 3;
/// Least height and width of which anything else than the first lines is drawn.
const SIZE_MIN: (u16, u16) = (20, 10);
/// What stands on the line over the strip.
const RULE: &str = "nodes ";
/// What stands before facts, and its width.
const LABEL_WIDTH: usize = 9;
/// Widths of the table's columns: mark, and the first seven of a node's.
const COLUMNS: [u16; 8] = [1, 15, 14, 6, 8, 5, 9, 9];

/// Draws everything.
pub fn draw(frame: &mut Frame<'_>, board: &Dashboard) {
    let area = frame.area();
    let Some(snapshot) = &board.snapshot else {
        frame.render_widget(Paragraph::new("looking at the network ..."), area);
        return;
    };
    let head = Paragraph::new(vec![
        title(board, snapshot, area.width),
        tips(board, snapshot, area.width),
    ]);
    if area.width < SIZE_MIN.0 || area.height < SIZE_MIN.1 {
        frame.render_widget(head, area);
        return;
    }
    let status = &snapshot.status;
    let (branches, faults) = (branch_lines(board, status), fault_lines(board, status));
    let areas = areas(area, snapshot.nodes.len(), branches.len(), faults.len());
    frame.render_widget(head, areas.head);
    frame.render_widget(Paragraph::new(branches), areas.branches);
    frame.render_widget(rule(board, area.width), areas.rule);
    let strip = Strip {
        marks: board.marks.nodes(),
        selected: board.selected,
        colours: board.colours,
    };
    frame.render_widget(strip, areas.strip);
    draw_table(frame, board, snapshot, areas.table);
    draw_traffic(frame, board, status, areas.traffic);
    frame.render_widget(Paragraph::new(faults), areas.faults);
    let host = labelled("host", fidelity_text(status.fidelity.as_ref()));
    frame.render_widget(host, areas.host);
    let said = Line::styled(board.message.as_str(), board.colours.notable());
    frame.render_widget(said, areas.message);
    frame.render_widget(keys_line(board, area.width), areas.keys);
}

/// Where everything is, from top to bottom.
struct Areas {
    head: Rect,
    branches: Rect,
    rule: Rect,
    strip: Rect,
    table: Rect,
    traffic: Rect,
    faults: Rect,
    host: Rect,
    message: Rect,
    keys: Rect,
}

/// The strip has as many rows as it needs, as long as one is left for the table.
fn areas(area: Rect, nodes: usize, branches: usize, faults: usize) -> Areas {
    let left = usize::from(area.height).saturating_sub(ROWS_ALWAYS + branches + faults);
    let left = left.max(2);
    let strip = Rows::of(nodes, area.width).count.min(left - 1);
    let heights = [2, branches, 1, strip, left - strip, 1, faults, 1, 1, 1];
    let heights = heights.map(|rows| Constraint::Length(u16::try_from(rows).unwrap_or(u16::MAX)));
    let [
        head,
        branches,
        rule,
        strip,
        table,
        traffic,
        faults,
        host,
        message,
        keys,
    ] = Layout::vertical(heights).areas(area);
    Areas {
        head,
        branches,
        rule,
        strip,
        table,
        traffic,
        faults,
        host,
        message,
        keys,
    }
}

/// The line over the strip, with what its characters mean where there is room for that.
fn rule(board: &Dashboard, width: u16) -> Block<'static> {
    let block = Block::new().borders(Borders::TOP);
    let block = block.border_style(board.colours.dim()).title(RULE);
    if usize::from(width) < RULE.len() + LEGEND.len() + 1 {
        return block;
    }
    block.title(Line::from(LEGEND).right_aligned())
}

fn title(board: &Dashboard, snapshot: &Snapshot, width: u16) -> Line<'static> {
    let status = &snapshot.status;
    let name = words::visible(&status.network);
    let time = match board.purpose {
        Purpose::Watch | Purpose::Hold => format!("up for {}", words::long(status.up_for_ns)),
        Purpose::Run { end } => format!(
            "{:.0} s of {:.0} s",
            status.up_for_ns.as_secs_f64(),
            end.as_secs_f64()
        ),
    };
    let left = format!("{name} on {}, {time}", words::visible(&status.engine));
    let right = format!("{} of {} nodes up", status.nodes_up, status.nodes);
    Line::styled(apart(&left, &right, width), board.colours.title())
}

fn tips(board: &Dashboard, snapshot: &Snapshot, width: u16) -> Line<'static> {
    let status = &snapshot.status;
    let mut left = agreement(status);
    if !status.behind.is_empty() {
        left.push_str(&format!(", {} behind", status.behind.len()));
    }
    let blocks = words::count(status.blocks, "block");
    let transactions = words::count(status.transactions, "transaction");
    let style = match status.agreed {
        true => board.colours.good(),
        false => board.colours.notable(),
    };
    Line::styled(
        apart(&left, &format!("{blocks}, {transactions}"), width),
        style,
    )
}

/// Two texts at the ends of a line; the second is left out where there is no room.
fn apart(left: &str, right: &str, width: u16) -> String {
    let used = left.chars().count() + right.chars().count();
    match usize::from(width).checked_sub(used) {
        Some(gap) if gap >= 2 => format!("{left}{}{right}", " ".repeat(gap)),
        _ => left.to_owned(),
    }
}

/// Where there are several.
fn branch_lines(board: &Dashboard, status: &Status) -> Vec<Line<'static>> {
    let branches = &status.branches;
    if branches.len() < 2 {
        return Vec::new();
    }
    let shown = match branches.len() {
        ..=BRANCHES_SHOWN => branches.len(),
        _ => BRANCHES_SHOWN - 1,
    };
    let line = |(branch, number): (&Branch, &usize)| {
        let mark = Mark::Branch(*number);
        let nodes: Vec<String> = branch.nodes.iter().map(|it| words::visible(it)).collect();
        Line::from(vec![
            Span::styled(format!(" {} ", mark.letter()), board.colours.mark(mark)),
            Span::raw(format!(
                " {} at height {}, {}: {}",
                short(&branch.tip.hash),
                branch.tip.height,
                words::count(nodes.len() as u64, "node"),
                words::names(&nodes)
            )),
        ])
    };
    let mut lines: Vec<Line<'static>> = branches
        .iter()
        .zip(board.marks.branches())
        .take(shown)
        .map(line)
        .collect();
    let more = branches.len() - shown;
    if more > 0 {
        lines.push(Line::from(format!("    and {more} more")));
    }
    lines
}

fn fault_lines(board: &Dashboard, status: &Status) -> Vec<Line<'static>> {
    let faults = &status.faults;
    if faults.is_empty() {
        return vec![labelled("faults", "none in force")];
    }
    let shown = match faults.len() {
        ..=FAULTS_SHOWN => faults.len(),
        _ => FAULTS_SHOWN - 1,
    };
    let mut lines = Vec::new();
    // The latest first.
    for fault in faults.iter().rev().take(shown) {
        let head = if lines.is_empty() { "faults" } else { "" };
        let text = format!("{}, {}", words::visible(&fault.label), fault.times());
        lines.push(labelled(head, text).style(board.colours.notable()));
    }
    let more = faults.len() - shown;
    if more > 0 {
        lines.push(labelled("", format!("and {more} more")));
    }
    lines
}

fn labelled(label: &str, text: impl AsRef<str>) -> Line<'static> {
    Line::from(format!("{label:<LABEL_WIDTH$}{}", text.as_ref()))
}

/// The columns of the table that there is room for.
fn columns_within(width: u16) -> &'static [u16] {
    let mut used = 0;
    let fits = |column: &&u16| {
        used += **column + u16::from(used > 0);
        used <= width
    };
    let count = COLUMNS.iter().take_while(fits).count();
    COLUMNS.get(..count).unwrap_or(&COLUMNS)
}

/// The nodes around the selected one.
fn draw_table(frame: &mut Frame<'_>, board: &Dashboard, snapshot: &Snapshot, area: Rect) {
    let height = usize::from(area.height);
    let has_head = height >= ROWS_WITH_HEAD;
    let shown = height - usize::from(has_head);
    let last_first = snapshot.nodes.len().saturating_sub(shown);
    let first = board.selected.saturating_sub(shown / 2).min(last_first);
    let nodes = snapshot.nodes.iter().zip(board.marks.nodes()).enumerate();
    let rows = nodes.skip(first).take(shown).map(|(index, (node, mark))| {
        let letter = Cell::from(mark.letter().to_string()).style(board.colours.mark(*mark));
        let cells = node_cells(node).into_iter().map(Cell::from);
        let style = match (index == board.selected, &node.state) {
            (true, _) => board.colours.selected(),
            (false, NodeState::Up) => Style::new(),
            (
                false,
                NodeState::Starting
                | NodeState::Down { .. }
                | NodeState::Removed
                | NodeState::Guest,
            ) => board.colours.dim(),
        };
        Row::new(std::iter::once(letter).chain(cells)).style(style)
    });
    let widths = columns_within(area.width);
    let mut table = Table::new(rows, widths.iter().copied().map(Constraint::Length));
    if has_head {
        let titles = std::iter::once("").chain(NODE_TITLES);
        table = table.header(Row::new(titles).style(board.colours.title()));
    }
    frame.render_widget(table, area);
}

/// What is sent, and how that went lately in the room that is left.
fn draw_traffic(frame: &mut Frame<'_>, board: &Dashboard, status: &Status, area: Rect) {
    let line = labelled("traffic", traffic_text(status));
    let used = u16::try_from(line.width())
        .unwrap_or(u16::MAX)
        .saturating_add(2);
    frame.render_widget(line, area);
    let room = area.width.saturating_sub(used);
    let chart = Rect {
        x: area.x + area.width.min(used),
        width: room,
        ..area
    };
    let shown = board.rates.len().min(usize::from(room));
    let rates: Vec<u64> = board
        .rates
        .iter()
        .rev()
        .take(shown)
        .rev()
        .copied()
        .collect();
    let chart_widget = Sparkline::default()
        .data(rates)
        .style(board.colours.chart());
    frame.render_widget(chart_widget, chart);
}

/// The keys that there is room for.
fn keys_line(board: &Dashboard, width: u16) -> Line<'static> {
    let mut spans = Vec::new();
    let mut used = 0;
    for (key, what) in help(board.purpose) {
        let text = format!(" {what}  ");
        used += key.chars().count() + text.chars().count();
        if used > usize::from(width) + 2 {
            break;
        }
        spans.push(Span::styled(*key, board.colours.title()));
        spans.push(Span::styled(text, board.colours.dim()));
    }
    Line::from(spans)
}

#[cfg(test)]
mod tests {
    use peerlab_link::Nanos;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::style::Color;

    use super::super::state::tests::{board, split};
    use super::*;

    fn drawn(board: &Dashboard, width: u16, height: u16) -> Terminal<TestBackend> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, board)).unwrap();
        terminal
    }

    fn text(board: &Dashboard, width: u16, height: u16) -> String {
        drawn(board, width, height).backend().to_string()
    }

    /// A split network of so many nodes, of which one is selected.
    fn split_at(nodes: usize, selected: usize, width: u16, height: u16) -> String {
        let mut board = of(split(nodes));
        board.selected = selected;
        text(&board, width, height)
    }

    fn of(snapshot: Snapshot) -> Dashboard {
        let mut board = Dashboard::new(Purpose::Watch, true);
        board.see(snapshot);
        board
    }

    #[test]
    fn a_network_that_agrees() {
        let mut board = board(Purpose::Hold, 20);
        board.rates = (0..60).map(|it| it % 9).collect();
        board.say("1 block by peers-0");
        insta::assert_snapshot!(text(&board, 80, 24));
    }

    #[test]
    fn a_network_that_is_split() {
        insta::assert_snapshot!(split_at(20, 18, 80, 24));
    }

    #[test]
    fn a_thousand_nodes() {
        insta::assert_snapshot!(split_at(1_000, 999, 80, 24));
    }

    #[test]
    fn a_narrow_terminal() {
        insta::assert_snapshot!(split_at(1_000, 500, 40, 16));
    }

    #[test]
    fn a_run_and_a_network_that_was_not_seen_yet() {
        let mut board = board(
            Purpose::Run {
                end: Nanos::from_secs(90),
            },
            12,
        );
        board.say("[ 30.0 s] phase faults");
        let run = text(&board, 80, 16);
        let unseen = text(&Dashboard::new(Purpose::Watch, true), 80, 2);
        insta::assert_snapshot!(format!("{run}\n{unseen}"));
    }

    #[test]
    fn every_size_is_drawn() {
        let board = of(split(1_000));
        for width in [1, 2, 10, 19, 20, 21, 79, 200] {
            for height in [1, 2, 9, 10, 11, 24, 60] {
                drawn(&board, width, height);
            }
        }
    }

    #[test]
    fn without_colour_there_is_none_and_letters_tell_the_same() {
        let mut board = of(split(20));
        let coloured = drawn(&board, 80, 24);
        board.colours.on = false;
        let plain = drawn(&board, 80, 24);
        let has_colour = |terminal: &Terminal<TestBackend>| {
            let mut cells = terminal.backend().buffer().content().iter();
            cells.any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset)
        };
        assert!(has_colour(&coloured) && !has_colour(&plain));
        assert_eq!(coloured.backend().to_string(), plain.backend().to_string());
    }

    #[test]
    fn hostile_words_do_not_reach_the_terminal() {
        let mut hostile = split(20);
        let bad = "\u{1b}[2J\u{202e}\u{7}";
        hostile.status.network = bad.into();
        hostile.status.engine = bad.into();
        hostile.status.branches[0].tip.hash = bad.into();
        hostile.status.branches[1].nodes[0] = bad.into();
        hostile.status.faults[0].label = bad.into();
        for node in &mut hostile.nodes {
            node.node = bad.into();
            if let Some(tip) = &mut node.tip {
                tip.hash = bad.into();
            }
        }
        let mut board = of(hostile);
        board.say(bad);
        let text = text(&board, 80, 24);
        let unseen = |c: &char| (c.is_control() && *c != '\n') || *c == '\u{202e}';
        assert!(!text.chars().any(|c| unseen(&c)), "{text:?}");
        assert!(text.contains(r"\u{1b}[2J"));
    }
}
