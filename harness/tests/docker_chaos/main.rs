//! Chaos with real containers: between the harness and the engine stands a proxy that disturbs one call,
//! and fabric, gates and harness are killed in each part of a run.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the failure")]

#[path = "../shared/chaos/mod.rs"]
mod chaos;
#[path = "../../src/engine/docker/fake.rs"]
mod fake;
#[path = "../../gate/tests/shared/processes.rs"]
mod processes;
mod proxy;
#[path = "../shared/running.rs"]
mod running;
#[path = "../docker_runs/support.rs"]
mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, ExitCode};

use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, KillContainerOptions, ListImagesOptions,
    ListNetworksOptionsBuilder, RemoveContainerOptions,
};
use chaos::left;
use chaos::table::{Blow, CALLS, Call, Case, Engine as Place, Fault, Stage, Victim, Wire};
use proxy::Proxy;
use running::Running;
use support::Engine;

/// Seconds that the engine may take to answer: far more than it does for two nodes, and so few that a
/// case in which it does not answer at all is soon over.
const ENGINE_TIMEOUT: &str = "12";

fn main() -> ExitCode {
    let plants = [("container", "left: /peerlab-")];
    chaos::main(&[Place::Docker], &plants, build_images, carry_out)
}

/// The images are built once, before any run.
fn build_images() {
    let peerlab = Path::new(env!("CARGO_BIN_EXE_peerlab"));
    let programs = peerlab.parent().unwrap_or(Path::new("."));
    let mut images = Command::new(peerlab);
    images
        .args(["images", "build"])
        .env("PEERLAB_PROGRAMS", programs);
    assert!(
        images.status().unwrap().success(),
        "cannot build the images"
    );
}

fn carry_out(case: &Case) {
    let folder = chaos::experiment();
    let beside = tempfile::tempdir().unwrap();
    let socket = beside.path().join("engine.sock");
    let fault = match case.fault {
        Fault::Call(call, wire) => Some((call, wire)),
        _ => None,
    };
    let proxy = Proxy::start(&socket, fault);
    let mut command = chaos::command(case, folder.path());
    let address = format!("unix://{}", socket.display());
    command
        .env("DOCKER_HOST", &address)
        .env("PEERLAB_ENGINE_TIMEOUT", ENGINE_TIMEOUT);
    let mut run = Running::spawn(command, folder);
    match case.fault {
        Fault::Call(_, wire) => on_call(&mut run, &proxy, wire),
        Fault::Stage(stage, victim, blow) => on_stage(&mut run, &proxy, stage, victim, blow),
        _ => {}
    }
    let code = run.wait().code();
    proxy.settle();
    let engine = Engine::new();
    let of = proxy.run().0;
    let _planted = chaos::planted("container").then(|| Planted::container(&engine, &of));
    if case.fault == Fault::None {
        are_those_of_table(proxy.seen(), &run.said);
    }
    chaos::judge(case, code, &run.said);
    let engine_is_gone = match case.fault {
        Fault::Call(_, wire) => wire == Wire::Dead,
        Fault::Stage(_, victim, _) => victim == Victim::Engine,
        _ => false,
    };
    if engine_is_gone {
        left::nothing_left(left::processes);
    }
    proxy.revive();
    let record = run.folder.path().join("record");
    left::nothing_left(|| {
        if engine_is_gone {
            clean(&address);
        }
        let left = [left::processes(), left::files(run.folder.path(), &record)].concat();
        [left, on_engine(&engine, &proxy)].concat()
    });
}

/// The harness is killed or interrupted while it waits for an answer.
fn on_call(run: &mut Running, proxy: &Proxy, wire: Wire) {
    let blow = match wire {
        Wire::Killed => Blow::Kill,
        Wire::Interrupted => Blow::Interrupt,
        _ => return,
    };
    let met = proxy.meets(|| run.has_ended());
    assert!(met, "the call never came:\n{}", run.said);
    chaos::strike(run.pid(), blow);
}

/// Something happens in a part of the run.
fn on_stage(run: &mut Running, proxy: &Proxy, stage: Stage, victim: Victim, blow: Blow) {
    run.wait_for(stage.words());
    match (victim, blow) {
        (Victim::Harness, blow) => chaos::strike(run.pid(), blow),
        (Victim::Engine, _) => proxy.die(),
        (Victim::Stream, Blow::Kill) => proxy.cut(),
        (Victim::Stream, _) => proxy.mute(),
        (victim, _) => {
            let of = if victim == Victim::Fabric {
                "fabric"
            } else {
                "miners-0"
            };
            let name = format!("peerlab-{}-{of}", proxy.run().0);
            let killed = Engine::new().block_on(async |docker| {
                docker
                    .kill_container(&name, None::<KillContainerOptions>)
                    .await
            });
            // In the end it may have been removed.
            let late = matches!(stage, Stage::Collecting | Stage::Removing);
            assert!(killed.is_ok() || late, "{name}: {killed:?}");
        }
    }
}

/// Whether so many calls of each kind were made as the table has; of those that remove, which are made
/// again until nothing is left, at least so many.
fn are_those_of_table(mut seen: BTreeMap<&'static str, usize>, said: &str) {
    let mut table = BTreeMap::new();
    for Call(kind, _) in CALLS {
        *table.entry(kind).or_default() += 1;
    }
    for kind in ["list", "remove"] {
        let [seen, least] = [&mut seen, &mut table].map(|calls| calls.remove(kind).unwrap_or(0));
        assert!(seen >= least, "{kind}: {seen} of {least}\n{said}");
    }
    assert_eq!(seen, table, "{said}");
}

/// What a person would do.
fn clean(address: &str) {
    let clean = Command::new(env!("CARGO_BIN_EXE_peerlab"))
        .arg("clean")
        .env("DOCKER_HOST", address)
        .env("PEERLAB_ENGINE_TIMEOUT", ENGINE_TIMEOUT)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&clean.stderr);
    assert!(clean.status.success(), "clean fails: {said}");
}

/// What a run has left on the engine, asked for past the proxy.
fn on_engine(engine: &Engine, proxy: &Proxy) -> Vec<String> {
    let (run, volumes) = proxy.run();
    if run.is_empty() {
        return Vec::new();
    }
    let mut left = engine.containers(&run);
    left.extend(
        volumes
            .into_iter()
            .filter(|volume| engine.has_volume(volume)),
    );
    let networks = engine.block_on(async |docker| {
        let label = ("label".to_owned(), vec![format!("peerlab.run={run}")]);
        let options = ListNetworksOptionsBuilder::default().filters(&[label].into());
        docker.list_networks(Some(options.build())).await.unwrap()
    });
    left.extend(networks.into_iter().filter_map(|network| network.name));
    left
}

/// A container with the label of a run, which is removed when the case has failed by it.
struct Planted<'a>(&'a Engine, String);

impl Planted<'_> {
    fn container<'a>(engine: &'a Engine, run: &str) -> Planted<'a> {
        let name = format!("peerlab-{run}-planted");
        engine.block_on(async |docker| {
            let images = docker.list_images(None::<ListImagesOptions>).await.unwrap();
            let mut tags = images.into_iter().flat_map(|image| image.repo_tags);
            let image = tags.find(|tag| tag.starts_with("peerlab/fabric:"));
            let options = CreateContainerOptionsBuilder::default().name(&name).build();
            let body = ContainerCreateBody {
                image,
                labels: Some([("peerlab.run".to_owned(), run.to_owned())].into()),
                ..ContainerCreateBody::default()
            };
            docker.create_container(Some(options), body).await.unwrap()
        });
        Planted(engine, name)
    }
}

impl Drop for Planted<'_> {
    fn drop(&mut self) {
        let removed = self.0.block_on(async |docker| {
            docker
                .remove_container(&self.1, None::<RemoveContainerOptions>)
                .await
        });
        assert!(removed.is_ok(), "{removed:?}");
    }
}
