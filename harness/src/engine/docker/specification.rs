//! What the engine is told about each container: the fabric's and the nodes'. Pure.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, DeviceMapping, HostConfig, HostConfigLogConfig, ImageConfig,
};
use peerlab_link::proto::{GATE_NAME, SHARED_DIR, SOCKET_NAME};

use super::images::Images;
use super::label::RunId;
use peerlab_core::experiment::Image;
use peerlab_core::plan::Plan;
use peerlab_core::plan::spec::{Group, Node};

/// Where a node keeps its data: a tmpfs, which is fast on any storage driver and gone with the
/// container.
pub const DATA_DIR: &str = "/data";
/// Size of the data folder where the group has no memory limit.
const DATA_BYTES_MAX: u64 = 1 << 30;
/// Processes and threads of one node.
const NODE_PIDS_MAX: i64 = 512;
/// What the engine keeps of a node's log before it starts over.
const LOG_SIZE_MAX: &str = "2m";
/// The fabric's share of the CPUs against a node's: all nodes of the largest network together
/// must not make its deliveries late, since every delay would then be wrong. The most that an
/// engine takes.
const FABRIC_CPU_SHARES: i64 = 256 * 1024;
/// A node's share of the CPUs: a thousand weigh an eighth of the fabric.
const NODE_CPU_SHARES: i64 = 32;
/// What the gate needs before it gives them up: to configure the device, to become the program's
/// user, to signal it, and to give capabilities up for good.
const GATE_CAPABILITIES: [&str; 5] = ["NET_ADMIN", "SETUID", "SETGID", "KILL", "SETPCAP"];

/// The fabric's container. The engine's own limit of open files stays (an engine that runs in a
/// container may not raise it); the fabric raises its soft limit to that.
pub fn fabric(run: &RunId, images: &Images) -> ContainerCreateBody {
    ContainerCreateBody {
        image: Some(images.fabric.clone()),
        labels: Some(run.fabric_labels()),
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        open_stdin: Some(true),
        // The end of the one stream is the end of the fabric.
        stdin_once: Some(true),
        tty: Some(false),
        host_config: Some(HostConfig {
            network_mode: Some("none".into()),
            auto_remove: Some(true),
            cap_drop: Some(vec!["ALL".into()]),
            security_opt: Some(vec!["no-new-privileges".into()]),
            readonly_rootfs: Some(true),
            init: Some(false),
            cpu_shares: Some(FABRIC_CPU_SHARES),
            log_config: Some(log_config("none", &[])),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}

/// A node's container. `config` is that of its image.
pub fn node(
    run: &RunId,
    images: &Images,
    plan: &Plan,
    node: &Node,
    config: &ImageConfig,
) -> ContainerCreateBody {
    let group = &plan.groups[node.group as usize];
    let ours = group.image == Image::Peerlab;
    let command = if node.args.is_empty() {
        config.cmd.clone().unwrap_or_default()
    } else {
        node.args.clone()
    };
    ContainerCreateBody {
        image: Some(reference(images, group).to_owned()),
        hostname: Some(node.name.clone()),
        labels: Some(run.node_labels(node.id, &node.name)),
        // The gate needs to be root; it becomes the image's user before the program starts.
        user: Some("0:0".into()),
        entrypoint: Some(entrypoint(node, config, ours)),
        cmd: Some(command),
        host_config: Some(node_host(run, group, config, ours)),
        ..ContainerCreateBody::default()
    }
}

/// What a group's nodes run.
pub fn reference<'a>(images: &'a Images, group: &'a Group) -> &'a str {
    match &group.image {
        Image::Peerlab => &images.node,
        Image::Named(reference) => reference,
        Image::Archive(path) => images.archives.get(path).map_or(path, String::as_str),
    }
}

/// The gate's command line, and the image's own entrypoint behind it.
fn entrypoint(node: &Node, config: &ImageConfig, ours: bool) -> Vec<String> {
    let mut words = vec![
        format!("{SHARED_DIR}/{GATE_NAME}"),
        format!("--node={}", node.id),
        format!("--socket={SHARED_DIR}/{SOCKET_NAME}"),
        format!("--data={DATA_DIR}"),
    ];
    if let Some(user) = config.user.as_ref().filter(|user| !user.is_empty()) {
        words.push(format!("--user={user}"));
    }
    if ours {
        words.push("--drop-all-caps".into());
    }
    words.push("--".into());
    words.extend(config.entrypoint.iter().flatten().cloned());
    words
}

fn node_host(run: &RunId, group: &Group, config: &ImageConfig, ours: bool) -> HostConfig {
    let size = group.memory_bytes.unwrap_or(DATA_BYTES_MAX);
    let data = format!("size={size},{}", data_owner(config));
    let capabilities: &[&str] = if ours {
        &GATE_CAPABILITIES
    } else {
        // What the engine gives by default stays: the image was written for it.
        &GATE_CAPABILITIES[..1]
    };
    HostConfig {
        network_mode: Some("none".into()),
        auto_remove: Some(true),
        // Read only: a node, whoever it runs as, changes nothing that the others share.
        volumes_from: Some(vec![format!("{}:ro", run.fabric_name())]),
        devices: Some(vec![DeviceMapping {
            path_on_host: Some("/dev/net/tun".into()),
            path_in_container: Some("/dev/net/tun".into()),
            cgroup_permissions: Some("rw".into()),
        }]),
        cap_drop: ours.then(|| vec!["ALL".into()]),
        cap_add: Some(capabilities.iter().map(|&c| c.into()).collect()),
        security_opt: Some(vec!["no-new-privileges".into()]),
        readonly_rootfs: Some(ours),
        init: Some(false),
        tmpfs: Some(HashMap::from([(DATA_DIR.into(), data)])),
        pids_limit: Some(NODE_PIDS_MAX),
        memory: group.memory_bytes.map(to_i64),
        memory_swap: group.memory_bytes.map(to_i64),
        cpu_shares: Some(NODE_CPU_SHARES),
        nano_cpus: group.cpu_millis.map(|millis| i64::from(millis) * 1_000_000),
        log_config: Some(log_config(
            "json-file",
            &[("max-size", LOG_SIZE_MAX), ("max-file", "1")],
        )),
        ..HostConfig::default()
    }
}

/// Mount options that let the image's user write: its own folder where the user is a number,
/// or one for everybody.
fn data_owner(config: &ImageConfig) -> String {
    let user = config.user.as_deref().unwrap_or_default();
    let (uid, gid) = user.split_once(':').unwrap_or((user, "0"));
    match (uid.parse::<u32>(), gid.parse::<u32>()) {
        (Ok(uid), Ok(gid)) => format!("mode=0700,uid={uid},gid={gid}"),
        _ => "mode=1777".into(),
    }
}

fn log_config(driver: &str, options: &[(&str, &str)]) -> HostConfigLogConfig {
    let options = options.iter().map(|&(k, v)| (k.into(), v.into()));
    HostConfigLogConfig {
        typ: Some(driver.into()),
        config: Some(options.collect()),
    }
}

/// The API counts bytes in signed numbers.
fn to_i64(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
