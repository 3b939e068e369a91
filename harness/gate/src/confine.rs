//! A seccomp filter for nodes that no container engine confines: as tight as the engines'
//! default profile for a process without capabilities. System calls that reach past a node's
//! namespaces (mounts, modules, keys, kernel tracing, new namespaces ...) fail with EPERM, those
//! that this list has never heard of with ENOSYS; calls of another architecture kill.
//!
//! The filter is a binary search over ranges of call numbers, so that installing it (the kernel
//! tries every number once) and running it stay cheap with a thousand nodes.

use std::io;

use libc::{
    BPF_ABS, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_RET, BPF_W, SECCOMP_RET_ALLOW,
    SECCOMP_RET_ERRNO, SECCOMP_RET_KILL_PROCESS, sock_filter, sock_fprog,
};

/// Newest call that was looked at (`mseal`, Linux 6.10; numbers are the same everywhere since
/// 424).
const NEWEST_CALL: u32 = 462;
/// `AUDIT_ARCH_*` of this machine, from `linux/audit.h`.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
/// `AUDIT_ARCH_*` of this machine, from `linux/audit.h`.
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;
/// Offsets in `struct seccomp_data`.
const OFFSET_CALL: u32 = 0;
const OFFSET_ARCHITECTURE: u32 = 4;
/// The low half of the first argument, on little-endian machines.
const OFFSET_ARGUMENT: u32 = 16;
/// The flags of `clone(2)` that ask for namespaces, with the one for cgroups.
const CLONE_NAMESPACES: u32 = 0x7e02_0000;
/// Sockets to a virtual machine's host.
const AF_VSOCK: u32 = 40;

/// Calls that fail with EPERM.
const FORBIDDEN: &[libc::c_long] = &[
    // Mounts and roots.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    457, // statmount
    458, // listmount
    libc::SYS_quotactl,
    443, // quotactl_fd
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
    // Namespaces.
    libc::SYS_unshare,
    libc::SYS_setns,
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_kcmp,
    438, // pidfd_getfd
    // The kernel.
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    320, // kexec_file_load on x86_64, an unused number elsewhere
    libc::SYS_reboot,
    libc::SYS_syslog,
    libc::SYS_acct,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
    459, // lsm_get_self_attr
    460, // lsm_set_self_attr
    461, // lsm_list_modules
    // Keys: they know no namespace.
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    // Clocks and names of the machine.
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    // Memory policy.
    libc::SYS_mbind,
    libc::SYS_set_mempolicy,
    libc::SYS_get_mempolicy,
    libc::SYS_move_pages,
    libc::SYS_migrate_pages,
    450, // set_mempolicy_home_node
    // A second way to most other calls.
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
];

/// Calls of this architecture alone that fail with EPERM.
#[cfg(target_arch = "x86_64")]
const FORBIDDEN_HERE: &[libc::c_long] = &[
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_uselib,
    libc::SYS_ustat,
    libc::SYS_sysfs,
    libc::SYS__sysctl,
    174, // create_module
    177, // get_kernel_syms
    178, // query_module
    libc::SYS_nfsservctl,
    libc::SYS_lookup_dcookie,
];
/// Calls of this architecture alone that fail with EPERM.
#[cfg(not(target_arch = "x86_64"))]
const FORBIDDEN_HERE: &[libc::c_long] = &[];

/// What is done with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Allow,
    Fail(i32),
    /// Fails with EPERM where the first argument has one of these bits.
    FailWithBits(u32),
    /// Fails with EPERM where the first argument is this.
    FailWithValue(u32),
}

/// Confines this process and all that it starts. Needs no_new_privs.
///
/// # Errors
/// When the kernel has no seccomp filters.
pub fn confine() -> io::Result<()> {
    let filter = filter();
    let program = sock_fprog {
        // The filter has some two hundred steps.
        len: filter.len() as libc::c_ushort,
        filter: filter.as_ptr().cast_mut(),
    };
    // SAFETY: the kernel copies the program, which lives across the call.
    let result = unsafe {
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER,
            &raw const program,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// The whole filter.
fn filter() -> Vec<sock_filter> {
    let mut steps = vec![
        step(BPF_LD | BPF_W | BPF_ABS, OFFSET_ARCHITECTURE),
        jump(BPF_JEQ, ARCHITECTURE, 1, 0),
        step(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        step(BPF_LD | BPF_W | BPF_ABS, OFFSET_CALL),
    ];
    search(&ranges(), &mut steps);
    steps
}

/// Where each rule begins to hold, ascending, from zero.
fn ranges() -> Vec<(u32, Rule)> {
    // Call numbers are small and not negative.
    let mut rules: Vec<(u32, Rule)> = FORBIDDEN
        .iter()
        .chain(FORBIDDEN_HERE)
        .map(|&call| (call as u32, Rule::Fail(libc::EPERM)))
        .collect();
    rules.push((libc::SYS_clone as u32, Rule::FailWithBits(CLONE_NAMESPACES)));
    // Its flags are in memory, where no filter can look; the C library falls back to clone.
    rules.push((libc::SYS_clone3 as u32, Rule::Fail(libc::ENOSYS)));
    rules.push((libc::SYS_socket as u32, Rule::FailWithValue(AF_VSOCK)));
    rules.sort_by_key(|&(call, _)| call);
    let mut ranges = vec![(0, Rule::Allow)];
    for (call, rule) in rules {
        ranges.retain(|&(start, _)| start != call);
        ranges.push((call, rule));
        ranges.push((call + 1, Rule::Allow));
    }
    ranges.push((NEWEST_CALL + 1, Rule::Fail(libc::ENOSYS)));
    ranges.dedup_by(|next, previous| next.1 == previous.1);
    ranges
}

/// Emits a binary search over ranges; the call's number is loaded.
fn search(ranges: &[(u32, Rule)], steps: &mut Vec<sock_filter>) {
    let [(_, rule)] = ranges else {
        let (lower, upper) = ranges.split_at(ranges.len() / 2);
        let mut below = Vec::new();
        search(lower, &mut below);
        // Each half stays far below the 255 steps that a jump can pass over.
        steps.push(jump(BPF_JGE, upper[0].0, below.len() as u8, 0));
        steps.append(&mut below);
        return search(upper, steps);
    };
    let allow = step(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    let fail = |errno: i32| step(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | errno as u32);
    let argument = step(BPF_LD | BPF_W | BPF_ABS, OFFSET_ARGUMENT);
    match *rule {
        Rule::Allow => steps.push(allow),
        Rule::Fail(errno) => steps.push(fail(errno)),
        Rule::FailWithBits(bits) => {
            steps.extend([
                argument,
                jump(BPF_JSET, bits, 0, 1),
                fail(libc::EPERM),
                allow,
            ]);
        }
        Rule::FailWithValue(value) => {
            steps.extend([
                argument,
                jump(BPF_JEQ, value, 0, 1),
                fail(libc::EPERM),
                allow,
            ]);
        }
    }
}

/// One step that does not jump.
fn step(code: u32, k: u32) -> sock_filter {
    // All codes are below 2^16.
    sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    }
}

/// A conditional jump.
fn jump(condition: u32, k: u32, if_true: u8, if_false: u8) -> sock_filter {
    sock_filter {
        code: (BPF_JMP | condition | BPF_K) as u16,
        jt: if_true,
        jf: if_false,
        k,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the filter as the kernel would.
    fn verdict(call: libc::c_long, argument: u64) -> u32 {
        let filter = filter();
        let data = |offset: u32| match offset {
            OFFSET_CALL => call as u32,
            OFFSET_ARCHITECTURE => ARCHITECTURE,
            OFFSET_ARGUMENT => argument as u32,
            _ => panic!("offset {offset}"),
        };
        let (mut at, mut accumulator) = (0, 0);
        loop {
            let s = filter[at];
            at += 1;
            let code = u32::from(s.code);
            let holds = match code & 0xf0 {
                BPF_JEQ => accumulator == s.k,
                BPF_JGE => accumulator >= s.k,
                BPF_JSET => accumulator & s.k != 0,
                _ => false,
            };
            match code & 0x07 {
                BPF_LD => accumulator = data(s.k),
                BPF_RET => return s.k,
                BPF_JMP => at += usize::from(if holds { s.jt } else { s.jf }),
                _ => panic!("code {code}"),
            }
        }
    }

    const EPERM: u32 = SECCOMP_RET_ERRNO | libc::EPERM as u32;
    const ENOSYS: u32 = SECCOMP_RET_ERRNO | libc::ENOSYS as u32;

    #[test]
    fn every_call_gets_its_rule() {
        let special = [libc::SYS_clone, libc::SYS_clone3, libc::SYS_socket];
        for call in 0..600 {
            let expected = if FORBIDDEN.contains(&call) || FORBIDDEN_HERE.contains(&call) {
                EPERM
            } else if call == libc::SYS_clone3 || call > libc::c_long::from(NEWEST_CALL) {
                ENOSYS
            } else {
                SECCOMP_RET_ALLOW
            };
            if !special[..1].contains(&call) {
                assert_eq!(verdict(call, 2), expected, "{call}");
            }
        }
        assert_eq!(verdict(0x4000_0000, 0), ENOSYS, "x32");
        assert_eq!(verdict(-1, 0), ENOSYS);
    }

    #[test]
    fn threads_and_forks_pass_but_no_namespace() {
        let thread = libc::CLONE_VM
            | libc::CLONE_FS
            | libc::CLONE_FILES
            | libc::CLONE_THREAD
            | libc::CLONE_SIGHAND
            | libc::CLONE_SETTLS
            | libc::CLONE_SYSVSEM
            | libc::CLONE_PARENT_SETTID
            | libc::CLONE_CHILD_CLEARTID;
        let clone = |flags: i32| verdict(libc::SYS_clone, flags as u64);
        assert_eq!(clone(thread), SECCOMP_RET_ALLOW);
        assert_eq!(clone(libc::SIGCHLD), SECCOMP_RET_ALLOW);
        assert_eq!(
            clone(libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD),
            SECCOMP_RET_ALLOW
        );
        for flag in [
            libc::CLONE_NEWUSER,
            libc::CLONE_NEWNET,
            libc::CLONE_NEWPID,
            libc::CLONE_NEWNS,
            libc::CLONE_NEWUTS,
            libc::CLONE_NEWIPC,
            libc::CLONE_NEWCGROUP,
        ] {
            assert_eq!(clone(flag | libc::SIGCHLD), EPERM);
        }
        assert_eq!(verdict(libc::SYS_socket, libc::AF_VSOCK as u64), EPERM);
        assert_eq!(
            verdict(libc::SYS_socket, libc::AF_INET as u64),
            SECCOMP_RET_ALLOW
        );
    }

    #[test]
    fn jumps_fit() {
        assert!(filter().len() < 256);
    }
}
