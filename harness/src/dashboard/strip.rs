//! The strip of nodes: a character each, in rows, in groups of ten where there is room for gaps.

use peerlab_core::view::Mark;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::widgets::Widget;

use super::colours::Colours;

/// Nodes of a group.
const GROUP: usize = 10;
/// Rows up to which there is room for gaps.
const ROWS_WITH_GAPS: usize = 6;

/// How many nodes are in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rows {
    /// Nodes of a row.
    pub each: usize,
    /// How many rows there are.
    pub count: usize,
    has_gaps: bool,
}

impl Rows {
    /// Of so many nodes on so many columns.
    pub fn of(nodes: usize, width: u16) -> Rows {
        let width = usize::from(width).max(1);
        let with_gaps = (width + 1) / (GROUP + 1) * GROUP;
        let has_gaps = with_gaps > 0 && nodes <= with_gaps * ROWS_WITH_GAPS;
        let each = if has_gaps { with_gaps } else { width };
        Rows {
            each,
            count: nodes.div_ceil(each).max(1),
            has_gaps,
        }
    }

    /// The column of the nth node of a row.
    fn column(self, nth: usize) -> usize {
        if self.has_gaps {
            nth + nth / GROUP
        } else {
            nth
        }
    }

    /// The first row that is shown of so many, so that a node is among them.
    fn first(self, node: usize, shown: usize) -> usize {
        let row = node / self.each;
        let last_first = self.count.saturating_sub(shown);
        row.saturating_sub(shown / 2).min(last_first)
    }
}

/// The strip.
pub struct Strip<'a> {
    pub marks: &'a [Mark],
    pub selected: usize,
    pub colours: Colours,
}

impl Widget for Strip<'_> {
    fn render(self, area: Rect, buffer: &mut Buffer) {
        let rows = Rows::of(self.marks.len(), area.width);
        let first = rows.first(self.selected, usize::from(area.height)) * rows.each;
        for (index, mark) in self.marks.iter().enumerate().skip(first) {
            let (row, nth) = ((index - first) / rows.each, (index - first) % rows.each);
            let (Ok(row), Ok(column)) = (u16::try_from(row), u16::try_from(rows.column(nth)))
            else {
                return;
            };
            if row >= area.height {
                return;
            }
            let mut style = self.colours.mark(*mark);
            if index == self.selected {
                style = style.patch(self.colours.selected());
            }
            if let Some(cell) = buffer.cell_mut((area.x + column, area.y + row)) {
                cell.set_char(mark.letter()).set_style(style);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_nodes_stand_in_groups_and_many_close_together() {
        let rows = Rows::of(20, 80);
        assert_eq!((rows.each, rows.count, rows.column(10)), (70, 1, 11));
        let rows = Rows::of(1_000, 80);
        assert_eq!((rows.each, rows.count, rows.column(10)), (80, 13, 10));
        let rows = Rows::of(5, 4);
        assert_eq!((rows.each, rows.count), (4, 2));
        assert_eq!(Rows::of(0, 0).count, 1);
    }

    #[test]
    fn the_selected_node_is_always_shown() {
        for (nodes, width, height) in [(1_000, 80, 13), (1_000, 30, 3), (7, 1, 1)] {
            let rows = Rows::of(nodes, width);
            for node in 0..nodes {
                let first = rows.first(node, height);
                let row = node / rows.each;
                assert!((first..first + height).contains(&row), "{node} of {nodes}");
            }
        }
    }
}
