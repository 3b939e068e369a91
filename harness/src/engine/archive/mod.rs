//! Images in files: an OCI layout (a folder, or a tar of it), or what `docker save` writes. Read
//! and checked here, unpacked for engines that start programs without a container engine, and
//! packed again for those with one.

mod blobs;
mod image;
mod limits;
mod pack;
#[cfg(target_os = "linux")]
mod store;
#[cfg(target_os = "linux")]
mod unpack;

pub use image::{Archive, RunConfig};
pub use pack::for_docker;
#[cfg(target_os = "linux")]
pub use store::{Unpacked, find, unpacked};

/// For fuzz targets.
#[cfg(target_os = "linux")]
#[doc(hidden)]
pub mod fuzz {
    pub use super::limits::Limits;
    pub use super::unpack::unpack;
}
