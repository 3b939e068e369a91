//! Where in memory a value lies, for a driver that has it fetched before it is needed.

/// Bytes that memory gives at once.
pub(crate) const LINE_BYTES: usize = 64;

/// All lines of a list.
pub(crate) fn lines_of<T>(list: &[T]) -> impl Iterator<Item = *const u8> + use<T> {
    steps(list.as_ptr().cast(), size_of_val(list))
}

/// The lines of a value's first bytes.
pub(crate) fn lines<T>(value: &T, bytes: usize) -> impl Iterator<Item = *const u8> + use<T> {
    steps(std::ptr::from_ref(value).cast(), bytes)
}

fn steps(first: *const u8, bytes: usize) -> impl Iterator<Item = *const u8> {
    let steps = (0..bytes).step_by(LINE_BYTES);
    steps.map(move |at| first.wrapping_add(at))
}
