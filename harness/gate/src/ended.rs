//! How a process ended, as one number.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

/// Added to a signal's number, as shells do.
const SIGNALLED: i32 = 128;

/// What a process ended with that was waited for: its exit code, or minus the signal.
pub fn number(wait_status: i32) -> i32 {
    let status = ExitStatus::from_raw(wait_status);
    status
        .code()
        .unwrap_or_else(|| -status.signal().unwrap_or_default())
}

/// A shell's exit code for that number.
pub fn exit_code(number: i32) -> i32 {
    if number < 0 {
        SIGNALLED - number
    } else {
        number
    }
}
