//! `peerlab schema`: the JSON Schema of experiment files, for editors.

use crate::topology;

/// The schema as text.
pub fn schema() -> String {
    format!("{:#}\n", topology::schema())
}
