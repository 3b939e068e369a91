//! The end of what a node wrote, as people read it: with how much was left out before.

/// Puts a line before the end of a log where that is not the whole.
pub fn end_of_log(left_out: u64, end: Vec<u8>) -> Vec<u8> {
    if left_out == 0 {
        return end;
    }
    let mut log = format!("[{left_out} bytes before this are left out]\n").into_bytes();
    log.extend(end);
    log
}
