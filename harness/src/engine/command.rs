//! What the nodes of an image are run with: its entrypoint, and after that the group's command or
//! else the image's own, as container engines put it together. An entrypoint of the group's takes the place of
//! both of the image's.

use peerlab_core::error::{Error, Result};
use peerlab_core::experiment::Image;
use peerlab_core::plan::Plan;
use peerlab_core::plan::spec::Node;

/// A node's program and all its arguments; the image's are given.
pub fn of_node(node: &Node, entrypoint: &[String], cmd: &[String]) -> Vec<String> {
    let (entrypoint, cmd) = match &node.launch.entrypoint {
        Some(own) => (own.as_slice(), &[][..]),
        None => (entrypoint, cmd),
    };
    let rest = if node.args.is_empty() {
        cmd
    } else {
        &node.args
    };
    entrypoint.iter().chain(rest).cloned().collect()
}

/// Sees to it that each node of a group has something to run, before anything is started.
///
/// # Errors
/// When neither group nor image names a program.
pub fn check(plan: &Plan, group: usize, entrypoint: &[String], cmd: &[String]) -> Result<()> {
    let nodes = plan
        .nodes
        .iter()
        .filter(|node| node.group as usize == group);
    if nodes
        .clone()
        .all(|node| !of_node(node, entrypoint, cmd).is_empty())
    {
        return Ok(());
    }
    let group = &plan.groups[group];
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
