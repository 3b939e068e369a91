//! What the kernel can do by itself: N processes in PID, network, mount, UTS and IPC namespaces
//! of their own, each with a TUN device that has an address and is up, and with one child. The
//! yardstick of `ci/bench-bringup` for the local engine; no part of Peerlab is used.
//!
//! `bare-namespaces N` prints seconds and namespaces per second. Not root: run it under
//! `unshare --user --map-root-user`.

#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on panics")]
#![expect(clippy::print_stdout, reason = "standard output is its whole purpose")]

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _};
use std::time::Instant;

fn main() {
    let count: usize = std::env::args().nth(1).unwrap().parse().unwrap();
    let (mut reader, writer) = pipe();
    let begin = Instant::now();
    let children: Vec<libc::pid_t> = (0..count).map(|_| start(&writer)).collect();
    let mut up = vec![0; count];
    reader.read_exact(&mut up).unwrap();
    let seconds = begin.elapsed().as_secs_f64();
    println!("{seconds:.3} {:.1}", count as f64 / seconds);
    for pid in children {
        // SAFETY: both calls concern a child of this process alone.
        unsafe {
            libc::kill(pid, libc::SIGKILL);
            libc::waitpid(pid, std::ptr::null_mut(), 0);
        }
    }
}

fn pipe() -> (File, File) {
    let mut ends = [0; 2];
    // SAFETY: the kernel writes two descriptors, which nobody else owns.
    unsafe {
        assert_eq!(libc::pipe(ends.as_mut_ptr()), 0);
        (File::from_raw_fd(ends[0]), File::from_raw_fd(ends[1]))
    }
}

/// Starts one; it writes a byte when all of it is there.
fn start(writer: &File) -> libc::pid_t {
    let flags = libc::CLONE_NEWPID
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWIPC
        | libc::SIGCHLD;
    let null = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: like fork; this process has a single thread.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, null, null, null, 0) };
    assert!(pid >= 0, "clone: {}", io::Error::last_os_error());
    if pid > 0 {
        return pid as libc::pid_t;
    }
    let _device = open_device();
    // SAFETY: as above.
    if unsafe { libc::fork() } == 0 {
        let mut writer = writer;
        writer.write_all(&[1]).unwrap();
    }
    loop {
        // SAFETY: waits for a signal.
        unsafe { libc::pause() };
    }
}

/// A TUN device with an address, up.
fn open_device() -> File {
    let device = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/net/tun")
        .unwrap();
    // SAFETY: `ifreq` is plain old data, for which zeros are a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
    ioctl(device.as_raw_fd(), libc::TUNSETIFF as _, &mut request);
    // SAFETY: opens a descriptor that nobody else owns.
    let socket = unsafe { File::from_raw_fd(libc::socket(libc::AF_INET, libc::SOCK_DGRAM, 0)) };
    let mut address = request;
    address.ifr_ifru.ifru_addr = libc::sockaddr {
        sa_family: libc::AF_INET as libc::sa_family_t,
        sa_data: [0, 0, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0],
    };
    ioctl(socket.as_raw_fd(), libc::SIOCSIFADDR as _, &mut address);
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &mut request);
    device
}

fn ioctl(descriptor: libc::c_int, what: libc::Ioctl, request: &mut libc::ifreq) {
    // SAFETY: each of these calls reads or writes one `ifreq`.
    let result = unsafe { libc::ioctl(descriptor, what, &raw mut *request) };
    assert!(result >= 0, "ioctl: {}", io::Error::last_os_error());
}
