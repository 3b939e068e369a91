//! `peerlab schema`: the JSON Schema of experiment files, for editors.

use peerlab_core::topology;

/// The schema as text.
pub fn schema() -> String {
    format!("{:#}\n", topology::schema())
}
