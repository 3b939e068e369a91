//! Network namespaces: for ordinary users inside a user namespace, in which they are root.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Set in the process that runs inside a user namespace.
const INSIDE: &str = "PEERLAB_FABRIC_TEST_INSIDE";

/// Whether the test named is to be run here. An ordinary user's test runs again in a child
/// inside a user namespace; then this waits for it and says no.
///
/// # Panics
/// When the child's test failed.
pub fn may_run(test: &str) -> bool {
    if rustix::process::geteuid().is_root() || std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let (uid, gid) = (rustix::process::getuid(), rustix::process::getgid());
    let mut child = Command::new(std::env::current_exe().unwrap());
    child
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1");
    let enter = move || {
        // SAFETY: no argument points anywhere; the child has one thread.
        if unsafe { libc::unshare(libc::CLONE_NEWUSER) } != 0 {
            return Err(std::io::Error::last_os_error());
        }
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/uid_map", format!("0 {} 1", uid.as_raw()))?;
        fs::write("/proc/self/gid_map", format!("0 {} 1", gid.as_raw()))
    };
    // SAFETY: between fork and exec the closure makes system calls and short-lived allocations
    // only; the test's other threads hold no lock of the allocator across a fork (glibc sees to it).
    unsafe { child.pre_exec(enter) };
    let status = child.status().expect("a user namespace is needed");
    assert!(status.success(), "inside a user namespace: {status}");
    false
}

/// Moves the calling thread, and the threads that it starts, into a network namespace of its own,
/// with loopback up.
///
/// # Panics
/// When that is not allowed.
pub fn enter_new() {
    // SAFETY: no argument points anywhere; only the calling thread is moved.
    let done = unsafe { libc::unshare(libc::CLONE_NEWNET) };
    assert_eq!(done, 0, "unshare: {}", std::io::Error::last_os_error());
    let mut request = interface_request("lo");
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
    configure(libc::SIOCSIFFLAGS, &mut request);
}

/// An `ifreq` of this interface.
pub fn interface_request(name: &str) -> libc::ifreq {
    // SAFETY: all bytes zero is a valid `ifreq`.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (slot, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *slot = byte as libc::c_char;
    }
    request
}

/// Changes something of an interface of this thread's namespace.
///
/// # Panics
/// When the kernel refuses it.
pub fn configure(what: libc::Ioctl, request: &mut libc::ifreq) {
    use std::os::fd::AsRawFd;
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    // SAFETY: all requests used here take one `ifreq`, which this is.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), what, request) };
    assert_eq!(done, 0, "ioctl: {}", std::io::Error::last_os_error());
}
