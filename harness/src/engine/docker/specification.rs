//! What the engine is told about each container: the fabric's and the nodes'. Pure.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, DeviceMapping, HealthConfig, HostConfig, HostConfigLogConfig, ImageConfig,
    Mount, MountType, MountVolumeOptions,
};
use peerlab_link::proto::{
    GATE_NAME, HOSTS_FILE, NODE_OOM_SCORE, NODE_SHARED_MEMORY_MAX, NODE_TASKS_MAX, SHARED_DIR,
    SOCKET_NAME,
};

use super::images::Images;
use super::label::RunId;
use crate::engine::command;
use peerlab_core::experiment::Image;
use peerlab_core::plan::Plan;
use peerlab_core::plan::spec::{Group, Node};

/// Where a node keeps its data: a tmpfs, which is fast on any storage driver and gone with the
/// container.
pub const DATA_DIR: &str = "/data";
/// Size of the data folder where the group has no memory limit.
const DATA_BYTES_MAX: u64 = 1 << 30;
/// The engine writes a node's log to files of this size, and keeps as many: the end of the log is
/// always there, and never more than both.
const LOG_FILE_SIZE: &str = "1m";
const LOG_FILES: &str = "2";
/// The fabric's share of the CPUs against a node's: all nodes of the largest network together
/// must not make its deliveries late, since every delay would then be wrong. The most that an
/// engine takes.
const FABRIC_CPU_SHARES: i64 = 256 * 1024;
/// A node's share of the CPUs: a thousand weigh an eighth of the fabric.
const NODE_CPU_SHARES: i64 = 32;
/// What the gate needs before it gives them up: to configure the device, to give the data folder to the
/// program's user, to become that, to signal it, and to give capabilities up for good.
const GATE_CAPABILITIES: [&str; 6] = ["NET_ADMIN", "CHOWN", "SETUID", "SETGID", "KILL", "SETPCAP"];

/// The engine makes a network namespace, and has nothing to do with it after that. Of its network `none`
/// it keeps accounts, in which Docker 20.10 locks itself up now and then where containers end one upon
/// the other (two mutexes, taken in either order: moby/libnetwork#2649, mended in 20.10.27).
const NO_NETWORK: Option<bool> = Some(true);

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
        network_disabled: NO_NETWORK,
        host_config: Some(HostConfig {
            network_mode: Some("none".into()),
            auto_remove: Some(true),
            cap_drop: Some(vec!["ALL".into()]),
            security_opt: Some(vec!["no-new-privileges".into()]),
            readonly_rootfs: Some(true),
            init: Some(false),
            cpu_shares: Some(FABRIC_CPU_SHARES),
            log_config: Some(log_config("none", &[])),
            mounts: Some(vec![shared_volume(run)]),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}

/// The volume that the fabric shares with the nodes, as its image declares it, with the run's label: an engine
/// that restarts removes the containers, and may leave it.
fn shared_volume(run: &RunId) -> Mount {
    Mount {
        target: Some(SHARED_DIR.into()),
        typ: Some(MountType::VOLUME),
        volume_options: Some(MountVolumeOptions {
            labels: Some(run.fabric_labels()),
            ..MountVolumeOptions::default()
        }),
        ..Mount::default()
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
    let image_words = config.entrypoint.as_deref().unwrap_or_default();
    let image_cmd = config.cmd.as_deref().unwrap_or_default();
    let launch = &node.launch;
    let variables = launch.env.iter();
    let variables = variables.map(|(name, value)| format!("{name}={value}"));
    ContainerCreateBody {
        image: Some(reference(images, group).to_owned()),
        hostname: Some(node.name.clone()),
        labels: Some(run.node_labels(node.id, &node.name)),
        // The gate needs to be root; it becomes the image's user before the program starts.
        user: Some("0:0".into()),
        entrypoint: Some(gate(node, config, ours, plan.replaces(node.id))),
        cmd: Some(command::of_node(node, image_words, image_cmd)),
        // The engine adds them to the image's.
        env: Some(variables.collect()),
        working_dir: launch.workdir.clone(),
        network_disabled: NO_NETWORK,
        // The gate's secret comes there.
        attach_stdin: Some(true),
        open_stdin: Some(true),
        stdin_once: Some(true),
        // An image's own check would be run by the engine, beside the gate and with the gate's rights.
        // Where there is none Podman would still set a timer for it.
        healthcheck: config.healthcheck.as_ref().map(|_| HealthConfig {
            test: Some(vec!["NONE".into()]),
            ..HealthConfig::default()
        }),
        host_config: Some(node_host(run, group, user(node, config).is_some(), ours)),
        ..ContainerCreateBody::default()
    }
}

/// What a group's nodes run.
pub fn reference<'a>(images: &'a Images, group: &'a Group) -> &'a str {
    match &group.image {
        Image::Peerlab => &images.node,
        Image::Named(reference) => reference,
        Image::Archive(path) => {
            let loaded = images.archives.get(path);
            loaded.map_or("of an archive that was not loaded", String::as_str)
        }
    }
}

/// The gate's command line; the program's comes behind it.
fn gate(node: &Node, config: &ImageConfig, ours: bool, replaced: bool) -> Vec<String> {
    let mut words = vec![
        format!("{SHARED_DIR}/{GATE_NAME}"),
        format!("--node={}", node.id),
        format!("--socket={SHARED_DIR}/{SOCKET_NAME}"),
    ];
    if replaced {
        words.push("--disk=/".into());
    }
    if let Some(user) = user(node, config) {
        words.push(format!("--user={user}"));
        words.push(format!("--own={DATA_DIR}"));
    }
    words.push(if ours {
        "--drop-all-caps".into()
    } else {
        format!("--hosts={HOSTS_FILE}")
    });
    words.push("--".into());
    words
}

fn node_host(run: &RunId, group: &Group, has_user: bool, ours: bool) -> HostConfig {
    let size = group.memory_bytes.unwrap_or(DATA_BYTES_MAX);
    // Podman takes no other options, an owner among them.
    let mode = if has_user { "0700" } else { "1777" };
    let data = format!("size={size},mode={mode}");
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
        pids_limit: Some(NODE_TASKS_MAX.into()),
        shm_size: Some(to_i64(NODE_SHARED_MEMORY_MAX)),
        oom_score_adj: Some(NODE_OOM_SCORE.into()),
        memory: group.memory_bytes.map(to_i64),
        memory_swap: group.memory_bytes.map(to_i64),
        cpu_shares: Some(NODE_CPU_SHARES),
        nano_cpus: group.cpu_millis.map(|millis| i64::from(millis) * 1_000_000),
        log_config: Some(log_config(
            "json-file",
            &[("max-size", LOG_FILE_SIZE), ("max-file", LOG_FILES)],
        )),
        ..HostConfig::default()
    }
}

/// Whose identity the program takes, unless it is root's.
fn user<'a>(node: &'a Node, config: &'a ImageConfig) -> Option<&'a str> {
    let user = node.launch.user.as_deref().or(config.user.as_deref());
    user.filter(|user| !user.is_empty())
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
