//! Data of which something else is worked out, that knows whether that holds still.

use std::ops::{Deref, DerefMut};

/// Data that notes when it was in hand for a change.
#[derive(Clone, Debug)]
#[repr(C)]
pub(crate) struct Watched<T> {
    /// First: it is asked after every input.
    touched: bool,
    value: T,
}

impl<T> Watched<T> {
    pub(super) fn new(value: T) -> Watched<T> {
        Watched {
            value,
            touched: true,
        }
    }

    /// Whether it was in hand since [`Watched::settle`].
    pub(super) fn is_touched(&self) -> bool {
        self.touched
    }

    /// What depends on it was found anew.
    pub(super) fn settle(&mut self) {
        self.touched = false;
    }

    /// Something that it depends on has changed.
    pub(crate) fn touch(&mut self) {
        self.touched = true;
    }
}

impl<T> Deref for Watched<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Watched<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.touched = true;
        &mut self.value
    }
}
