//! `report.html`: one file that needs nothing else. No script, no font and no picture from
//! elsewhere; drawings are SVG made here, coloured by the page's own style sheet, so that they
//! are legible in light and dark.

mod bandwidth_chart;
mod block_chart;
mod node_chart;
mod page;
mod parts;
mod propagation_chart;
mod set_page;
mod svg;

pub use page::page;
pub use set_page::set_page;
