//! `peerlab up FILE|COUNT|--from NAME`: brings a network up and keeps it, in the foreground or (`-d`) held by
//! a process without a terminal. The other commands for networks talk to the process that holds it.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::available_parallelism;
use std::time::Duration;

use clap_complete::engine::ArgValueCandidates;
use peerlab_core::error::{Error, Kind, Result};
use peerlab_core::plan::spec::Group;
use peerlab_core::plan::{Past, Staying, stay_after};
use peerlab_core::topology::{self, Topology};
use peerlab_core::view::{NetworkView, NodeState};
use peerlab_core::words;
use rustix::process::{Signal, getpid, kill_process};
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::board::{Left, show};
use super::complete::snapshot_names;
use super::look::Look;
use super::networks::json;
use super::place::{EngineChoice, Place};
use super::plan::PlanSource;
use super::record::{Recording, Watching, record};
use super::screen::Screen;
use super::{interrupt, plan};
use crate::dashboard::{FullScreen, Purpose};
use crate::disk::{self, SavedGroup, Snapshot, snapshot_folder};
use crate::engine::drive::{FromStart, Stay};
use crate::engine::{docker::timeouts, or_stop};
use crate::metrics::Endpoint;
use crate::network::{
    Claim, Description, Folder, Held, NAME_CHARS_MAX, Network, Origin, Parts, Reply, Request,
    Server, ask, check_name, detach, forget_ended, log,
};
use crate::ui::Ui;

/// Requests by hand that may wait for the run.
pub const REQUESTS_MAX: usize = 64;
/// Pause between two looks at whether all nodes have answered.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// An experiment file, of which the nodes, the network and the ledger are taken; or how many of our
    /// own nodes, over the world, with a block every 10 s
    #[arg(value_name = "FILE|COUNT", required_unless_present = "from")]
    what: Option<String>,
    /// Go on with a network that was saved: its ledgers and address books, its nodes, its seed. NAME is in the
    /// folder `snapshots` here; with a `/` it is a path
    #[arg(long, value_name = "NAME", conflicts_with_all = ["what", "seed"])]
    #[arg(add = ArgValueCandidates::new(snapshot_names))]
    from: Option<PathBuf>,
    /// Return as soon as it is up; a process without a terminal holds it
    #[arg(short, long)]
    detach: bool,
    /// The network's name [default: the file's, or net-COUNT; with --from, what it was called]
    #[arg(long)]
    name: Option<String>,
    /// Where the nodes run
    #[arg(long, value_enum, default_value_t = EngineChoice::Real)]
    engine: EngineChoice,
    /// Draw everything from this seed instead of the file's
    #[arg(long)]
    seed: Option<u64>,
    /// The directory of its record [default: runs/TIME-NAME]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// In the foreground: plain lines instead of the live screen
    #[arg(long, conflicts_with = "detach")]
    plain: bool,
    /// With --detach: print what came up as JSON
    #[arg(long, requires = "detach")]
    json: bool,
    #[command(flatten)]
    look: Look,
    /// Hold the network whose record is here, for whoever started this process
    #[arg(long, hide = true, value_name = "DIR", conflicts_with_all = ["detach", "out"])]
    held: Option<PathBuf>,
}

/// What is to come up.
struct Wanted {
    topology: Topology,
    text: String,
    /// The file that the text is from.
    experiment: PathBuf,
    name: String,
    seed: u64,
    engine: EngineChoice,
    look: Look,
    snapshot: Option<Snapshot>,
}

/// Brings a network up.
///
/// # Errors
/// When the input is bad, the name is taken, or the network does not come up.
pub async fn up(args: &Args, ui: &Ui) -> Result<ExitCode> {
    let stop = interrupt::stop_on_signal()?;
    if let Some(dir) = &args.held {
        let held = Held::begin(&stop)?;
        return hold_for(held, args, dir, ui, stop).await;
    }
    let wanted = Wanted::read(args)?;
    if let Some(left_out) = left_out(&wanted.topology) {
        ui.note(&left_out);
    }
    // Before anything is made; whoever holds it will take the name again.
    let claim = Folder::of_user()?.claim(&wanted.name)?;
    let dir = disk::new_run_directory(args.out.as_deref(), &wanted.name)?;
    if args.detach {
        drop(claim);
        return go_on_detached(args, &wanted, &dir, ui, &stop).await;
    }
    let has_screen = !args.plain && FullScreen::is_possible();
    let mut screen = None;
    let tell = async |description: Description| {
        if has_screen {
            screen = Some(tokio::spawn(on_screen(
                description,
                ui.clone(),
                stop.clone(),
            )));
        } else {
            ui.note(&format!(
                "{}\nCtrl-C or `peerlab down` ends it",
                came_up(&description)
            ));
        }
        Ok(())
    };
    let name = wanted.name.clone();
    let result = hold(wanted, claim, &dir, ui, stop.clone(), tell).await;
    if let Some(screen) = screen {
        // It ends with the network that it shows.
        let _ = screen.await;
    }
    if result.is_err() {
        // It is told here.
        forget_ended(Some(&name));
    }
    result?;
    ui.result(&format!("its record is in {}\n", dir.display()));
    Ok(ExitCode::SUCCESS)
}

/// Shows the network that this process holds, and ends it where that is asked for.
async fn on_screen(description: Description, ui: Ui, stop: CancellationToken) {
    let name = description.name.as_str();
    match show(name, Purpose::Hold, &ui, &stop).await {
        Ok(Left::Alone | Left::ToEnd) => {
            if let Err(error) = ask(Some(name), Request::Down).await {
                ui.error(&error);
            }
        }
        // As if the terminal had sent it, which it does again from now on.
        Ok(Left::Interrupted) => {
            let _ = kill_process(getpid(), Signal::INT);
        }
        Ok(Left::Stopped | Left::Gone(_)) => {}
        Err(error) => {
            ui.error(&error);
            ui.note("Ctrl-C or `peerlab down` ends the network");
        }
    }
}

/// Starts the process that holds it, and waits until it is up.
async fn go_on_detached(
    args: &Args,
    wanted: &Wanted,
    dir: &Path,
    ui: &Ui,
    stop: &CancellationToken,
) -> Result<ExitCode> {
    let line = ui.line();
    let count = wanted.topology.node_count();
    line.set_message(format!("bringing {count} nodes up"));
    let description = detach(arguments(args, wanted, dir, ui.verbosity()), dir, stop).await?;
    drop(line);
    if args.json {
        ui.result(&json(&description)?);
    } else {
        ui.result(&format!("{}\n", came_up(&description)));
    }
    Ok(ExitCode::SUCCESS)
}

fn came_up(it: &Description) -> String {
    let metrics = it.metrics.as_ref().map(|url| format!("; metrics: {url}"));
    format!(
        "{} is up: {} on {}, held by process {}; its record is in {}{}",
        it.name,
        words::count(it.nodes as u64, "node"),
        it.engine,
        it.pid,
        it.dir.display(),
        metrics.unwrap_or_default()
    )
}

/// What the process is started with that holds a network.
fn arguments(args: &Args, wanted: &Wanted, dir: &Path, verbosity: u8) -> Vec<OsString> {
    let mut all: Vec<OsString> = vec!["up".into()];
    all.extend((0..verbosity).map(|_| "-v".into()));
    // A value that begins with a dash is none by itself.
    let mut say = |option: &str, value: &OsStr| {
        let mut word = OsString::from(format!("--{option}="));
        word.push(value);
        all.push(word);
    };
    let timeout = timeouts::answer().as_secs().to_string();
    say("engine-timeout", timeout.as_ref());
    say("name", wanted.name.as_ref());
    match &wanted.snapshot {
        Some(snapshot) => say("from", snapshot.dir().as_ref()),
        None => say("seed", wanted.seed.to_string().as_ref()),
    }
    say("engine", wanted.engine.name().as_ref());
    say("held", dir.as_ref());
    if let Some(port) = wanted.look.metrics {
        say("metrics", port.to_string().as_ref());
    }
    for nodes in &wanted.look.capture {
        say("capture", nodes.as_ref());
    }
    if let Some(what) = &args.what {
        all.extend(["--".into(), what.into()]);
    }
    all
}

/// Holds a network for whoever started this process, who is told when it is up, or why not.
async fn hold_for(
    held: Held,
    args: &Args,
    dir: &Path,
    ui: &Ui,
    stop: CancellationToken,
) -> Result<ExitCode> {
    let _log = log::keep_bounded(dir.to_owned());
    let held = Arc::new(tokio::sync::Mutex::new(Some(held)));
    let teller = held.clone();
    let tell = async move |description: Description| match teller.lock().await.take() {
        Some(held) => held.tell(&Reply::Description(description)).await,
        None => Ok(()),
    };
    let holding = async {
        let wanted = Wanted::read(args)?;
        let claim = Folder::of_user()?.claim(&wanted.name)?;
        hold(wanted, claim, dir, ui, stop, tell).await
    };
    let result = holding.await;
    match (result, held.lock().await.take()) {
        (Ok(()), _) => Ok(ExitCode::SUCCESS),
        (Err(error), Some(held)) => {
            let code = error.kind.into();
            held.tell(&Reply::Error(error)).await?;
            Ok(code)
        }
        // It was up: its own words are all that is left.
        (Err(error), None) => Err(error),
    }
}

/// Brings the network up, and holds it until it is taken down. `tell` is called once it is up.
async fn hold(
    wanted: Wanted,
    claim: Claim,
    dir: &Path,
    ui: &Ui,
    stop: CancellationToken,
    tell: impl AsyncFnOnce(Description) -> Result<()>,
) -> Result<()> {
    let past = wanted.past();
    let Staying {
        mut plan,
        workload,
        outputs_by_hand,
    } = stay_after(&wanted.topology, wanted.seed, &past)?;
    if let Some(snapshot) = &wanted.snapshot {
        snapshot.complete(&mut plan)?;
        // It reads all of it, which may take its time.
        tokio::task::block_in_place(|| snapshot.verify())?;
    }
    let plan = Arc::new(plan);
    let taken = workload.outputs_taken();
    let capture = wanted.look.capture(Some(&wanted.topology), &plan, dir)?;
    let endpoint = wanted.look.endpoint().await?;
    let place = or_stop(&stop, Place::find(wanted.engine, &plan, ui)).await?;
    let engine = place.choice().name();
    let view = Arc::new(Mutex::new(NetworkView::new(&plan)));
    let (requests, asked) = mpsc::channel(REQUESTS_MAX);
    let (live_sender, live) = oneshot::channel();
    let recording = Recording {
        screen: Screen::for_plan(ui, &plan),
        keep_logs: false,
        threads: available_parallelism().map_or(1, usize::from),
        stop: stop.clone(),
        stay: Some(Stay::FromStart(FromStart {
            workload,
            requests: asked,
            snapshot: wanted.snapshot.clone().map(Arc::new),
        })),
        watching: Watching {
            view: Some(view.clone()),
            live: Some(live_sender),
        },
        capture,
    };
    let watched = endpoint.as_ref().map(|it| it.watch(&wanted.name, &view));
    let source = PlanSource {
        plan: plan.clone(),
        topology: Some(wanted.text.clone()),
        images: wanted
            .snapshot
            .as_ref()
            .map(Snapshot::images)
            .unwrap_or_default(),
        places: Vec::new(),
    };
    let running = record(&source, place, dir, recording);
    tokio::pin!(running);
    let live = tokio::select! {
        result = &mut running => return result,
        live = live => live,
    };
    let Ok(live) = live else {
        // Its sender went with the run, which tells why.
        return running.await;
    };
    if let Some(watched) = watched {
        watched.set_live(live.clone());
    }
    let network = Network::new(Parts {
        name: wanted.name,
        dir,
        engine,
        topology: &wanted.topology,
        plan: &plan,
        outputs: outputs_by_hand,
        view: view.clone(),
        live,
        requests,
        metrics: endpoint.as_ref().map(Endpoint::url),
        origin: Some(Origin {
            text: wanted.text,
            experiment: wanted.experiment,
            seed: wanted.seed,
            groups: plan.groups.iter().map(saved_group).collect(),
            outputs: plan.ledger.outputs,
            taken,
            up_before: past.up_for_ns,
        }),
    });
    let description = network.description();
    let up = async {
        all_answered(&view).await;
        if let Err(error) = tell(description).await {
            tracing::error!("{error}");
        }
    };
    serve(network, claim, endpoint.as_ref(), &stop, running, up).await
}

/// Lets a network be asked until its run ends, which is `running`; `up` goes on beside it.
pub async fn serve(
    network: Network,
    claim: Claim,
    endpoint: Option<&Endpoint>,
    stop: &CancellationToken,
    mut running: Pin<&mut impl Future<Output = Result<()>>>,
    up: impl Future<Output = ()>,
) -> Result<()> {
    let network = Arc::new(network);
    let server = match Server::start(claim, network.clone()) {
        Ok(server) => server,
        Err(error) => {
            // Nobody could reach it.
            stop.cancel();
            return match running.await {
                Err(other) if other.kind != Kind::Interrupted => Err(other),
                _ => Err(error),
            };
        }
    };
    // One that never came up is told by whoever brings it up.
    let (is_up, result) = tokio::select! {
        result = &mut running => (false, result),
        () = up => (true, running.await),
    };
    // Whoever waits for the end is answered once nothing is left of it.
    if let Some(endpoint) = endpoint {
        endpoint.close().await;
    }
    let ended_by = result.as_ref().err().filter(|_| is_up);
    let unanswered = server.close(ended_by.cloned()).await;
    network.tell_end(result.clone());
    unanswered.read().await;
    result
}

/// Waits until every node has answered, or has ended since.
async fn all_answered(view: &Mutex<NetworkView>) {
    loop {
        {
            let view = view.lock().unwrap_or_else(PoisonError::into_inner);
            let mut rows = view.rows().iter();
            if rows.all(|row| row.state != NodeState::Starting) {
                return;
            }
        }
        sleep(LOOK_INTERVAL).await;
    }
}

impl Wanted {
    fn read(args: &Args) -> Result<Wanted> {
        let engine = match args.engine {
            EngineChoice::Sim => {
                return Err(Error::input("a simulated network cannot stay")
                    .because("its time passes as fast as it is computed, and ends with its plan")
                    .hint("take --engine docker or --engine local; `peerlab run` simulates"));
            }
            EngineChoice::Auto => EngineChoice::Real,
            other => other,
        };
        let wanted = match (&args.from, &args.what) {
            (Some(snapshot), _) => Wanted::saved(snapshot, args, engine)?,
            (None, what) => {
                let (topology, text, experiment) = read_what(what.as_deref().unwrap_or_default())?;
                Wanted {
                    name: network_name(args.name.as_deref(), &topology)?,
                    seed: args.seed.unwrap_or(topology.seed),
                    topology,
                    text,
                    experiment,
                    engine,
                    look: args.look.clone(),
                    snapshot: None,
                }
            }
        };
        Ok(wanted)
    }

    /// What was saved before.
    fn saved(name: &Path, args: &Args, engine: EngineChoice) -> Result<Wanted> {
        let snapshot = Snapshot::load(&snapshot_folder(name, check_name)?)?;
        let manifest = &snapshot.manifest;
        let name = args
            .name
            .clone()
            .unwrap_or_else(|| manifest.network.name.clone());
        check_name(&name)?;
        Ok(Wanted {
            topology: snapshot.topology()?,
            text: snapshot.text.clone(),
            experiment: manifest.network.experiment.clone().into(),
            name,
            seed: manifest.network.seed,
            engine,
            look: args.look.clone(),
            snapshot: Some(snapshot),
        })
    }

    /// What it has behind it.
    fn past(&self) -> Past {
        let snapshot = self.snapshot.as_ref();
        snapshot
            .map(|it| it.manifest.network.past)
            .unwrap_or_default()
    }
}

/// An experiment, its text, and the file that it is from.
fn read_what(what: &str) -> Result<(Topology, String, PathBuf)> {
    if what.bytes().all(|byte| byte.is_ascii_digit()) {
        let text = of_count(what);
        let file = format!("up {what}");
        return Ok((topology::parse(&file, &text)?, text, file.into()));
    }
    let file = Path::new(what);
    match plan::Experiment::read(file)? {
        plan::Experiment::Topology(topology, text) => {
            let whole = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
            Ok((topology, text, whole))
        }
        plan::Experiment::Plan(_) => Err(Error::input("a plan cannot stay")
            .because("all that happens in it has been drawn already, to its end")
            .hint("give the experiment file that it was drawn from")),
    }
}

/// What a snapshot says of a group.
fn saved_group(group: &Group) -> SavedGroup {
    SavedGroup {
        name: group.name.clone(),
        image: group.image.reference(),
        digest: None,
    }
}

/// The experiment that a count stands for.
fn of_count(count: &str) -> String {
    format!(
        "# Written by `peerlab up {count}`.\nname: net-{count}\nphases: {{ warmup: 4s, settle: 10s }}\n\
         nodes:\n  peers: {{ count: {count}, hashpower: 1, access: internet-2019 }}\n\
         network: {{ latency: internet-2019 }}\nledger: {{ block_interval: 10s }}\n"
    )
}

/// What a network is called: as was asked for, or else after its experiment.
///
/// # Errors
/// As bad input, when that cannot be a name.
pub fn network_name(asked: Option<&str>, topology: &Topology) -> Result<String> {
    let name = asked.map_or_else(
        || disk::plain_name(&topology.name, NAME_CHARS_MAX),
        str::to_owned,
    );
    check_name(&name)?;
    Ok(name)
}

/// What a file has that a network which stays does without, in words.
fn left_out(topology: &Topology) -> Option<String> {
    let parts = [
        ("faults", topology.faults.is_empty()),
        ("churn", topology.churn.is_empty()),
        ("expectations", topology.expect.is_empty()),
    ];
    let there = parts.iter().filter(|(_, is_empty)| !is_empty);
    let there: Vec<String> = there.map(|(what, _)| (*what).to_owned()).collect();
    (!there.is_empty()).then(|| {
        format!(
            "left out, since the network stays: its phases, {}",
            words::names(&there)
        )
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn of(what: &str) -> Args {
        Args {
            what: Some(what.into()),
            from: None,
            detach: false,
            name: None,
            engine: EngineChoice::Real,
            seed: None,
            out: None,
            plain: false,
            json: false,
            look: Look::default(),
            held: None,
        }
    }

    #[test]
    fn a_count_is_a_network_over_the_world() {
        for count in [1, 2, 20] {
            let wanted = Wanted::read(&of(&count.to_string())).unwrap();
            assert_eq!(wanted.name, format!("net-{count}"));
            assert_eq!(wanted.topology.node_count(), count);
            let plan = stay_after(&wanted.topology, wanted.seed, &wanted.past())
                .unwrap()
                .plan;
            assert!(plan.stays());
            assert_eq!(plan.network.regions.len(), 6);
            assert_eq!(
                plan.ledger.block_interval,
                Some(peerlab_link::Nanos::from_secs(10))
            );
        }
    }

    #[test]
    fn what_cannot_stay_is_refused() {
        let told = |args: &Args| Wanted::read(args).err().unwrap().render();
        let sim = Args {
            engine: EngineChoice::Sim,
            ..of("3")
        };
        let name = Args {
            name: Some("../x".into()),
            ..of("3")
        };
        let all = [
            told(&of("0")),
            told(&sim),
            told(&name),
            told(&of("999999999")),
        ];
        insta::assert_snapshot!(all.join("\n"));
    }

    #[test]
    fn whoever_holds_the_network_is_told_all_that_was_asked_for() {
        let args = Args {
            seed: Some(7),
            look: Look {
                metrics: Some(0),
                capture: vec!["peers 0-1".into()],
            },
            ..of("2")
        };
        let wanted = Wanted::read(&args).unwrap();
        let dash = of("-x.yaml");
        let said = arguments(&dash, &wanted, Path::new("-run"), 2);
        let said = said.join("|".as_ref()).into_string().unwrap();
        let timeout = timeouts::answer().as_secs();
        assert_eq!(
            said,
            format!(
                "up|-v|-v|--engine-timeout={timeout}|--name=net-2|--seed=7|--engine=real|--held=-run|\
                 --metrics=0|--capture=peers 0-1|--|-x.yaml"
            )
        );
        let words = std::iter::once("peerlab").chain(said.split('|'));
        super::super::Cli::try_parse_from(words).unwrap();
    }
}
