//! The files of an experiment and of a run: read, checked, written. What stands in them is
//! `peerlab-core`'s affair.

mod baseline;
mod capture;
mod event_log;
mod input;
mod pcapng;
mod records;
mod run_dir;
mod run_report;
mod run_set;
mod snapshot;
mod tries;

pub use baseline::{baseline_file, load_baseline, save_baseline};
pub use capture::{CAPTURE_BYTES_MAX, CaptureFiles, CaptureFolder, CaptureSums};
pub use event_log::{EventLog, EventReader, LogError};
pub use input::{load_plan, load_plan_to_run, load_topology};
pub use records::{Record, records_in, remove_record};
pub use run_dir::{new_run_directory, plain_name, write};
pub use run_report::{judge_run_directory, recorded_images, whole_plan, write_report};
pub use run_set::{
    begin_run_set, is_run, judge_one, judge_run_set, one_run, runs_at, write_run_set,
};
pub use snapshot::{
    NodeArchive, SavedGroup, SavedNetwork, SavedNode, Snapshot, SnapshotWriter, check_free,
    snapshot_folder, snapshot_names,
};
pub use tries::keep_try;
