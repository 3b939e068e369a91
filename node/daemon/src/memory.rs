//! What the allocator holds. A node is one of hundreds on a machine: it should keep what it
//! needs and no more.

/// Keeps all threads in one arena: the thread that loads would else leave one of its own behind.
/// To be called before any thread is started.
pub fn one_arena() {
    #[cfg(target_env = "gnu")]
    // SAFETY: `mallopt` only sets a parameter of the allocator; it takes any values.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Gives freed memory back to the system: loading needs more than running.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: `malloc_trim` touches freed memory only, and may be called at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}
