//! `report.html`: one file that needs nothing else. No font and no picture from elsewhere; drawings are
//! SVG made here, coloured by the page's own style sheet, so that they are legible in light and dark. One
//! script of its own moves the peer graph through time, and no other is run. Besides, the page of a
//! network that is up, which a server fills (`live_page`).

mod bandwidth_chart;
mod block_chart;
mod live_page;
mod node_chart;
mod page;
mod parts;
mod peer_chart;
mod propagation_chart;
mod set_page;
mod svg;

pub use live_page::live_page;
pub use page::page;
pub use set_page::set_page;
