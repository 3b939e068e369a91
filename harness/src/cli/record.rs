//! One plan carried out on an engine, and written down: the plan and the events, in a directory of
//! their own. Which engine, and what the run came to, is not known here. Where its network stays after the
//! run, what happens from then on is written to a file of its own: the run's record is whole.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::place::Place;
use super::plan::PlanSource;
use super::screen::Screen;
use crate::disk::{self, CaptureFolder, EventLog, LogError};
use crate::engine::capacity::peak_memory_bytes;
use crate::engine::docker::{DockerEngine, Guard, Images, RunId};
use crate::engine::drive::{CarriedOut, Drive, Live, Logs, Stay};
#[cfg(target_os = "linux")]
use crate::engine::local::{self, LocalEngine};
use crate::engine::programs::Programs;
use crate::engine::{Engine, or_stop, stop_asked_by};
use peerlab_core::conduct::{Observer, Stage};
use peerlab_core::error::hint::DISK;
use peerlab_core::error::{Explain, Result};
use peerlab_core::event::{RunEvent, What};
use peerlab_core::plan::Plan;
use peerlab_core::report::files;
use peerlab_core::view::NetworkView;
use peerlab_core::words;
use peerlab_sim::simulator as sim;

/// Bytes of the events of a network that stays, from which on its measurements are left out. Twenty
/// nodes take some 100 MB a day.
const EVENTS_BYTES_OF_STAYING: u64 = 512 << 20;

/// How a run is recorded; none of it changes the plan.
pub struct Recording {
    /// Where the run is shown.
    pub screen: Screen,
    /// Keep the logs of all nodes.
    pub keep_logs: bool,
    /// Threads of the simulator, at most.
    pub threads: usize,
    /// Ends the run early.
    pub stop: CancellationToken,
    /// Of a network that stays.
    pub stay: Option<Stay>,
    /// For those who look at the network while it is up.
    pub watching: Watching,
    /// Packets that are captured.
    pub capture: Option<CaptureFolder>,
}

/// What those have who look at a network while it is up.
#[derive(Default)]
pub struct Watching {
    /// Kept up with all that happens.
    pub view: Option<Arc<Mutex<NetworkView>>>,
    /// Told once all nodes have been started.
    pub live: Option<oneshot::Sender<Live>>,
}

/// Carries a plan out, and writes it down with all that happens, in a directory that is there. The
/// record is whole as far as the run came, whatever ended it.
///
/// # Errors
/// When the engine fails, the record cannot be written, or the run is interrupted.
pub async fn record(source: &PlanSource, place: Place, dir: &Path, how: Recording) -> Result<()> {
    let plan = &source.plan;
    if let Some(text) = &source.topology {
        disk::write(&dir.join(files::TOPOLOGY), text)?;
    }
    disk::write(&dir.join(files::PLAN), plan.to_json())?;
    let logs = Logs {
        folder: dir.join(files::LOGS),
        all: how.keep_logs,
    };
    let events = dir.join(files::EVENTS);
    let log = match &how.stay {
        None | Some(Stay::AfterRun(_)) => EventLog::create(&events),
        Some(Stay::FromStart(_)) => EventLog::create_bounded(&events, EVENTS_BYTES_OF_STAYING),
    };
    let recorder = Recorder {
        log: Mutex::new(Log {
            now: written(log)?,
            is_over: false,
            next: dir.join(files::KEPT_EVENTS),
        }),
        screen: how.screen,
        images: source.images.clone(),
        view: how.watching.view,
    };
    let carrying = Carrying {
        plan,
        logs,
        recorder: &recorder,
        threads: how.threads,
        stop: how.stop,
        stay: how.stay,
        live: how.watching.live,
        capture: how.capture,
    };
    let outcome = carry_out(place, carrying).await;
    let Recorder { log, screen, .. } = recorder;
    drop(screen);
    let log = log.into_inner().unwrap_or_else(PoisonError::into_inner);
    outcome.and(written(log.now.finish()))
}

fn written<T>(result: std::result::Result<T, LogError>) -> Result<T> {
    result.or_environment(|| "cannot record the run".into(), DISK)
}

/// A plan, and what it is carried out with on any engine.
struct Carrying<'a> {
    plan: &'a Arc<Plan>,
    logs: Logs,
    recorder: &'a Recorder,
    threads: usize,
    stop: CancellationToken,
    stay: Option<Stay>,
    live: Option<oneshot::Sender<Live>>,
    capture: Option<CaptureFolder>,
}

/// Carries the plan out where it is to be: real nodes are brought up, and everything is removed.
async fn carry_out(place: Place, carrying: Carrying<'_>) -> Result<()> {
    let (plan, recorder, stop) = (carrying.plan, carrying.recorder, &carrying.stop);
    let programs = async || or_stop(stop, Programs::find(recorder)).await;
    match place {
        Place::Sim => simulate(plan, recorder, carrying.threads, stop),
        Place::Docker(docker, host) => {
            let programs = programs().await?;
            host.admit(&programs)?;
            let mut images = or_stop(stop, Images::ensure(&docker, &programs, recorder)).await?;
            images.load_archives(&docker, plan, recorder, stop).await?;
            let run = RunId::random();
            tracing::info!("run {run}, seed {}", plan.seed);
            let engine =
                DockerEngine::prepare(docker, host, run.clone(), plan.clone(), images, recorder);
            let engine = or_stop(stop, engine).await?;
            let guard = Guard::start(&run);
            let carried_out = drive(&engine, carrying).await;
            if carried_out.everything_removed && !engine.may_create_late() {
                guard.dismiss().await;
            }
            carried_out.result
        }
        #[cfg(target_os = "linux")]
        Place::Local => {
            let programs = programs().await?;
            let images = local::Images::unpack(plan, recorder, stop).await?;
            let engine = LocalEngine::prepare(plan.clone(), &programs, images);
            let engine = or_stop(stop, engine).await?;
            drive(&engine, carrying).await.result
        }
    }
}

/// Carries the plan out in virtual time, and says what that took. It fills the cores it has: other
/// threads go on with theirs.
fn simulate(
    plan: &Plan,
    observer: &Recorder,
    threads: usize,
    stop: &CancellationToken,
) -> Result<()> {
    let options = sim::Options {
        threads,
        stop: stop_asked_by(stop),
    };
    let began = Instant::now();
    let simulated = tokio::task::block_in_place(|| sim::simulate(plan, observer, &options))?;
    let took = began.elapsed().as_secs_f64();
    observer.screen.remark(&format!(
        "simulated {} in {took:.1} s: {:.1} million events, {:.2} million a second; \
         {} read{}",
        words::duration(plan.end()),
        simulated.events as f64 / 1e6,
        simulated.events as f64 / 1e6 / took.max(1e-9),
        words::count(simulated.messages, "message"),
        peak_memory_bytes().map_or(String::new(), |bytes| format!(
            ", {:.0} MB of memory at most",
            bytes as f64 / 1e6
        )),
    ));
    Ok(())
}

/// Carries the plan out on an engine.
async fn drive<E: Engine>(engine: &E, carrying: Carrying<'_>) -> CarriedOut {
    let recorder = carrying.recorder;
    let drive = Drive {
        engine,
        plan: carrying.plan,
        observer: carrying.recorder,
        logs: carrying.logs,
        stop: carrying.stop,
        stay: carrying.stay,
        live: carrying.live,
        capture: carrying.capture,
    };
    let carried_out = drive.run().await;
    if let Some(captured) = &carried_out.captured {
        let screen = &recorder.screen;
        match captured.left_out.is_empty() {
            true => screen.remark(&captured.text()),
            // Of a run of a set as well.
            false => screen.say(&captured.text()),
        }
    }
    carried_out
}

/// Where events are written.
struct Log {
    now: EventLog,
    /// Whether the end has been written to it.
    is_over: bool,
    /// What comes after the end is written here.
    next: PathBuf,
}

impl Log {
    fn write(&mut self, event: &RunEvent) -> std::result::Result<(), LogError> {
        if self.is_over {
            let next = EventLog::create_bounded(&self.next, EVENTS_BYTES_OF_STAYING)?;
            std::mem::replace(&mut self.now, next).finish()?;
        }
        self.is_over = matches!(event.what, What::Ended { .. });
        self.now.write(event)
    }
}

/// Writes events down, and shows them.
struct Recorder {
    log: Mutex<Log>,
    screen: Screen,
    /// The digests that a replayed run's images had.
    images: BTreeMap<String, String>,
    /// Of a network that somebody looks at.
    view: Option<Arc<Mutex<NetworkView>>>,
}

impl Observer for Recorder {
    fn stage(&self, stage: Stage) {
        self.screen.stage(stage);
    }

    fn event(&self, event: &RunEvent) -> Result<()> {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        written(log.write(event))?;
        if let Some(view) = &self.view {
            let mut view = view.lock().unwrap_or_else(PoisonError::into_inner);
            view.take(event);
        }
        if let What::Host(host) = &event.what {
            for change in changed_images(&self.images, &host.images) {
                self.screen.say(&change);
            }
        }
        self.screen.event(event)
    }
}

/// Which images are not what they were, in words: then it is another network that is run again.
fn changed_images(
    before: &BTreeMap<String, String>,
    now: &BTreeMap<String, String>,
) -> Vec<String> {
    let both = before
        .iter()
        .filter_map(|(name, before)| Some((name, before, now.get(name)?)));
    let changed = both.filter(|(_, before, now)| before != now);
    changed
        .map(|(name, before, now)| {
            format!("warning: the image {name} is another one: it was {before}, and is {now} now")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_that_is_another_one_is_named() {
        let images = |pairs: &[(&str, &str)]| {
            let pairs = pairs
                .iter()
                .map(|&(name, digest)| (name.into(), digest.into()));
            pairs.collect::<BTreeMap<String, String>>()
        };
        let before = images(&[("same", "1"), ("other", "2"), ("gone", "3")]);
        let now = images(&[("same", "1"), ("other", "4"), ("new", "5")]);
        assert_eq!(
            changed_images(&before, &now),
            ["warning: the image other is another one: it was 2, and is 4 now"]
        );
    }
}
