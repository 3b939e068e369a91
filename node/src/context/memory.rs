//! Where in memory a value lies, for a driver that has it fetched before it is needed.

/// Bytes that memory gives at once.
pub(crate) const LINE_BYTES: usize = 64;

/// All lines of a list.
pub(crate) fn lines_of<T>(list: &[T]) -> impl Iterator<Item = *const u8> + use<T> {
    let first = list.as_ptr().cast::<u8>();
    (0..std::mem::size_of_val(list))
        .step_by(LINE_BYTES)
        .map(move |at| first.wrapping_add(at))
}

/// The lines of a value's first bytes.
pub(crate) fn lines<T>(value: &T, bytes: usize) -> impl Iterator<Item = *const u8> + use<T> {
    let first = std::ptr::from_ref(value).cast::<u8>();
    (0..bytes.min(std::mem::size_of::<T>()))
        .step_by(LINE_BYTES)
        .map(move |at| first.wrapping_add(at))
}
