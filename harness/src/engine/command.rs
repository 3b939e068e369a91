//! What the nodes of an image are run with: its entrypoint, and after that the group's command or
//! else the image's own, as container engines put it together.

use peerlab_core::error::{Error, Result};
use peerlab_core::experiment::Image;
use peerlab_core::plan::spec::Group;

/// Sees to it that there is something to run, before anything is started.
///
/// # Errors
/// When neither group nor image names a program.
pub fn check(group: &Group, entrypoint: &[String], cmd: &[String]) -> Result<()> {
    if [entrypoint, cmd, &group.command]
        .iter()
        .any(|words| !words.is_empty())
    {
        return Ok(());
    }
    let image = match &group.image {
        Image::Peerlab => "peerlab".to_owned(),
        Image::Named(name) => name.clone(),
        Image::Archive(path) => format!("oci:{}", path.display()),
    };
    let error = Error::input(format!("group {} has no program to run", group.name))
        .because(format!(
            "the image {image} has neither an entrypoint nor a command"
        ))
        .hint("say in the group what to run: `command: [/the/program, --an-option]`");
    Err(error)
}
