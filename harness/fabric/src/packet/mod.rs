//! Packets as they come from a TUN device: a virtio header, then an IPv4 packet, perhaps a train
//! of many TCP segments under one header. Pure: no descriptor is touched here.

mod checksum;
mod headers;
mod train;

#[cfg(test)]
pub(crate) mod examples;

pub(crate) use headers::{VirtioHeader, addresses};
pub(crate) use train::{Train, finish_checksum};
