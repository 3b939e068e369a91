//! Who may do what: what the gate keeps once its device is open, and what the program gets.
//!
//! The gate starts as root of its node with what the engine gave it. When the device is open it
//! takes NET_ADMIN (or, if told so, everything) out of the bounding set, from which no program
//! can ever get it back, and keeps for itself what ending and starting a program needs.

use anyhow::{Context as _, Result};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::thread::{
    CapabilitySet, CapabilitySets, Gid, Uid, capabilities, capability_is_in_bounding_set,
    clear_ambient_capability_set, remove_capability_from_bounding_set, set_capabilities,
    set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use crate::users::Identity;

/// What a gate needs while it serves: to signal any process of the node, to become the program's
/// user at each start, and, where it had it, to measure them.
const GATE_KEEPS: CapabilitySet = CapabilitySet::KILL
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SYS_PTRACE);

/// What no program gets, whatever its image asks for.
const PROGRAM_NEVER: CapabilitySet = CapabilitySet::NET_ADMIN;

/// What the program gets.
#[derive(Clone, Debug)]
pub struct ProgramRights {
    /// Whose it is; `None` is the gate's own user.
    pub identity: Option<Identity>,
    /// Its capabilities if it is root.
    pub capabilities: CapabilitySet,
}

/// Hides the gate from the node's processes: no ptrace, no reading of its memory or descriptors,
/// even by the same user.
///
/// # Errors
/// As the kernel says.
pub fn hide_gate() -> Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable).context("cannot hide the gate")
}

/// Gives up what the gate no longer needs, for itself and for every later child. `confine` adds
/// a seccomp filter.
///
/// # Errors
/// When the gate may not: it needs SETPCAP, as container engines give it by default.
pub fn reduce(drop_all: bool, confine: bool, identity: Option<Identity>) -> Result<ProgramRights> {
    let had = capabilities(None).context("cannot read the gate's capabilities")?;
    let forbidden = if drop_all {
        CapabilitySet::all()
    } else {
        PROGRAM_NEVER
    };
    drop_from_bounding_set(forbidden)
        .context("cannot reduce the bounding set (the node needs the capability SETPCAP)")?;
    clear_ambient_capability_set().context("cannot clear the ambient capabilities")?;
    let rights = ProgramRights {
        identity,
        capabilities: had.permitted.difference(forbidden),
    };
    let kept = had.permitted.intersection(GATE_KEEPS);
    set_capabilities(
        None,
        CapabilitySets {
            effective: kept,
            // What the program is to get must stay permitted, or it could not be given.
            permitted: kept.union(rights.capabilities),
            inheritable: CapabilitySet::empty(),
        },
    )
    .context("cannot drop the gate's capabilities")?;
    set_no_new_privs(true).context("cannot set no_new_privs")?;
    if confine {
        crate::confine::confine().context("cannot set a seccomp filter")?;
    }
    Ok(rights)
}

/// Takes capabilities out of the bounding set, those too that this code has no name for.
fn drop_from_bounding_set(forbidden: CapabilitySet) -> rustix::io::Result<()> {
    for number in 0..u64::BITS {
        let one = CapabilitySet::from_bits_retain(1 << number);
        if !forbidden.contains(one) {
            continue;
        }
        match capability_is_in_bounding_set(one) {
            Ok(true) => remove_capability_from_bounding_set(one)?,
            Ok(false) => {}
            // The kernel has no capability of this number, nor any higher.
            Err(Errno::INVAL) => break,
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// In a child of the gate, before it becomes the program: takes the program's identity and
/// rights. The bounding set and no_new_privs are the gate's already.
///
/// # Errors
/// As the kernel says.
pub fn become_program(rights: &ProgramRights) -> rustix::io::Result<()> {
    if let Some(identity) = &rights.identity {
        // In a user namespace with a single id mapped, groups cannot be set, and need not be.
        let groups: Vec<Gid> = identity.groups.iter().copied().map(Gid::from_raw).collect();
        match set_thread_groups(&groups) {
            Err(Errno::PERM) if groups.is_empty() && is_already(identity) => {}
            other => other?,
        }
        let gid = Gid::from_raw(identity.gid);
        let uid = Uid::from_raw(identity.uid);
        set_thread_res_gid(gid, gid, gid)?;
        set_thread_res_uid(uid, uid, uid)?;
        if identity.uid != 0 {
            // Giving up uid 0 emptied permitted and effective set.
            return Ok(());
        }
    }
    set_capabilities(
        None,
        CapabilitySets {
            effective: rights.capabilities,
            permitted: rights.capabilities,
            inheritable: CapabilitySet::empty(),
        },
    )
}

/// Whether this process has that user and group already.
fn is_already(identity: &Identity) -> bool {
    rustix::process::getuid().as_raw() == identity.uid
        && rustix::process::getgid().as_raw() == identity.gid
}

/// Looks at the program's processes with its own eyes: runs `look` with the file system identity
/// and capabilities of the program, which the kernel asks for before it shows their memory.
pub fn with_program_view<T>(rights: &ProgramRights, look: impl FnOnce() -> T) -> T {
    let Ok(had) = capabilities(None) else {
        return look();
    };
    // What fails here fails again in `look`, whose reader falls back to coarser figures.
    let _ = set_capabilities(
        None,
        CapabilitySets {
            effective: had.permitted,
            ..had
        },
    );
    if let Some(identity) = &rights.identity {
        // SAFETY: setfsgid and setfsuid touch no memory; the gate has a single thread.
        unsafe {
            libc::setfsgid(identity.gid);
            libc::setfsuid(identity.uid);
        }
    }
    let result = look();
    // SAFETY: as above.
    unsafe {
        libc::setfsuid(libc::geteuid());
        libc::setfsgid(libc::getegid());
    }
    let _ = set_capabilities(None, had);
    result
}
