//! How the `peerlab` command ends where it cannot go on at all: without memory, or by a panic, such as of
//! a thread that the machine does not give. As with any other failure there is an exit code and words, and
//! no signal. With the process the stream to the fabric ends, and with that all that a run has started.

use std::alloc::{GlobalAlloc, Layout};
use std::panic::PanicHookInfo;
use std::process::ExitCode;

use mimalloc::MiMalloc;
use peerlab::cli::give_terminal_back;
use peerlab_core::error::hint::BUG;
use peerlab_core::error::{Error, Kind};

/// In the form of all errors. Nothing can be put together any more.
const NO_MEMORY: &str = "Error: peerlab has no memory left\n\
                         Caused by: this machine, or a limit of this process, gives it no more\n\
                         Hint: `ulimit -v` tells the limit; fewer nodes need less\n";

/// Does the command's work, and gives its exit code even where that panics.
pub fn run(work: fn() -> ExitCode) -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        say(&as_error(panic).render());
    }));
    std::panic::catch_unwind(work).unwrap_or(Kind::Environment.into())
}

fn as_error(panic: &PanicHookInfo<'_>) -> Error {
    let hint = format!("is this machine short of memory, threads or open files? if not, {BUG}");
    let error = Error::environment(
        "peerlab cannot go on",
        panic.payload_as_str().unwrap_or("?"),
        hint,
    );
    match panic.location() {
        Some(place) => error.because(format!("a panic at {place}")),
        None => error,
    }
}

fn say(text: &str) {
    // SAFETY: the text is as long as it says. Whoever does not listen any more is not told.
    unsafe { libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len()) };
}

/// The simulator allocates for every message, and frees on one thread what another allocated: mimalloc
/// does that well.
pub struct Allocator;

/// What is there, or the end.
fn checked(memory: *mut u8) -> *mut u8 {
    if memory.is_null() {
        no_memory();
    }
    memory
}

#[cold]
fn no_memory() -> ! {
    give_terminal_back();
    say(NO_MEMORY);
    // SAFETY: it may be called at any time. An orderly exit would take memory.
    unsafe { libc::_exit(i32::from(Kind::Environment.exit_code())) }
}

// SAFETY: every call goes to an allocator as it is, and what it gives comes back as it is.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller sees to.
        checked(unsafe { MiMalloc.alloc(layout) })
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as the caller sees to.
        unsafe { MiMalloc.dealloc(memory, layout) };
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller sees to.
        checked(unsafe { MiMalloc.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as the caller sees to.
        checked(unsafe { MiMalloc.realloc(memory, layout, size) })
    }
}
