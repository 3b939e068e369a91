//! A user namespace in which its maker is the only user.

use std::fs;

use anyhow::{Context as _, Result};
use rustix::thread::UnshareFlags;

/// Who its maker is in there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    AsRoot,
    AsOutside,
}

/// Enters a fresh one, and these namespaces with it, which belong to it. To be called by a process with a
/// single thread.
///
/// # Errors
/// When the kernel, or who confines this process, allows no user namespaces.
pub fn enter(others: UnshareFlags, known: Known) -> Result<()> {
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    // SAFETY: this process has a single thread, and shares no memory or descriptor table.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWUSER | others) }
        .context("cannot make namespaces")?;
    let write = |file: &str, text: String| {
        fs::write(format!("/proc/self/{file}"), text)
            .with_context(|| format!("cannot write {file}"))
    };
    let map = |file: &str, outside: u32| {
        let inside = match known {
            Known::AsRoot => 0,
            Known::AsOutside => outside,
        };
        write(file, format!("{inside} {outside} 1\n"))
    };
    // A single id each can be mapped without any privilege, once setgroups is given up.
    write("setgroups", "deny".to_owned())?;
    map("uid_map", user.as_raw())?;
    map("gid_map", group.as_raw())
}
