//! A chaos test of the harness itself: every case of the table is a run that is disturbed once. However it
//! is disturbed, it ends, with an exit code that says what happened, and nothing of it is left.
//!
//! Each case runs in a process of its own, which is told when descendants of it lose their parents: no
//! process of a run can hide from it. As with other tests, `--list` lists the cases and a name chooses
//! among them; a tenth of them run by default, all with `--include-ignored`.

pub mod left;
pub mod table;

use std::env;
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};

use crate::processes::family;
use table::{Blow, Case, Engine, Fault, Shortage};

/// Names the case that this process is to carry out.
const CASE: &str = "PEERLAB_CHAOS_CASE";
/// Names what is done to that case so that it must fail.
const PLANTED: &str = "PEERLAB_CHAOS_PLANTED";
/// No case takes so long unless something hangs.
const HANGS_AFTER: Duration = Duration::from_secs(300);
/// The same of a case in which something is made to hang: without that it ends long before.
const PLANTED_HANGS_AFTER: Duration = Duration::from_secs(30);
/// Cases at once, where nobody says otherwise: two nodes each, which wait most of the time.
const AT_ONCE: usize = 4;
/// Pause between two looks at a case.
const LOOK: Duration = Duration::from_millis(50);
/// What a run of two nodes needs at most of what a case may limit.
const DISK_KB: u32 = 4 << 10;

/// Runs the cases of some engines; `carry_out` does one, and panics where it fails, `prepare` what all
/// need. `plants` are ways to make a case fail, and what the failure says then.
pub fn main(
    engines: &[Engine],
    plants: &[(&str, &'static str)],
    prepare: fn(),
    carry_out: fn(&Case),
) -> ExitCode {
    let cases = table::cases();
    if let Ok(name) = env::var(CASE) {
        let case = cases.iter().find(|case| case.to_string() == name);
        left::adopt_orphans();
        carry_out(case.unwrap_or_else(|| panic!("there is no case {name}")));
        return ExitCode::SUCCESS;
    }
    let tenth = table::tenth(&cases);
    let of_engines = cases.iter().filter(|case| engines.contains(&case.engine));
    let mut trials: Vec<Trial> = of_engines
        .map(|case| {
            let name = case.to_string();
            Trial::test(case.to_string(), move || alone(&name, None))
                .with_ignored_flag(!tenth.contains(case))
        })
        .collect();
    trials.push(Trial::test("the-table-is-whole", || {
        table::check().map_err(Failed::from)
    }));
    for &(plant, words) in plants {
        let undisturbed = Case {
            engine: engines[0],
            fault: Fault::None,
        };
        let (plant, name) = (plant.to_owned(), undisturbed.to_string());
        trials.push(Trial::test(
            format!("planted/{plant}"),
            move || match alone(&name, Some(&plant)) {
                Err(failed) if failed.message().is_some_and(|said| said.contains(words)) => Ok(()),
                Err(failed) => Err(failed),
                Ok(()) => Err(format!("with {plant} the case still passes").into()),
            },
        ));
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_ONCE);
    if !arguments.list {
        prepare();
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Has a case carried out in a process of its own.
fn alone(name: &str, planted: Option<&str>) -> Result<(), Failed> {
    let output = tempfile::NamedTempFile::new()?;
    let mut command = Command::new(env::current_exe()?);
    command
        .env(CASE, name)
        .env_remove("RUST_BACKTRACE")
        .stdin(Stdio::null())
        .stdout(output.reopen()?)
        .stderr(output.reopen()?);
    if let Some(plant) = planted {
        command.env(PLANTED, plant);
    }
    let mut process = command.spawn()?;
    let limit = match planted {
        Some("hang") => PLANTED_HANGS_AFTER,
        _ => HANGS_AFTER,
    };
    let began = Instant::now();
    let end = loop {
        match process.try_wait()? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => break status.to_string(),
            None if began.elapsed() > limit => {
                for pid in family(process.id()) {
                    left::end(pid);
                }
                process.wait()?;
                break "does not end".to_owned();
            }
            None => std::thread::sleep(LOOK),
        }
    };
    let said = std::fs::read(output.path())?;
    let said = String::from_utf8_lossy(&said);
    let program = env::current_exe()?;
    let target = program.file_stem().and_then(OsStr::to_str).unwrap_or("?");
    // Cargo adds a hash.
    let target = target.rsplit_once('-').map_or(target, |(target, _)| target);
    Err(format!(
        "case {name}: {end}\nalone: cargo test -p peerlab --test {target} -- --include-ignored \
         --exact {name}\n{said}"
    )
    .into())
}

/// What this process' case is to fail by, if it is.
pub fn planted(plant: &str) -> bool {
    env::var(PLANTED).is_ok_and(|planted| planted == plant)
}

/// A folder with an experiment of two nodes, as short as they come.
pub fn experiment() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = "name: chaos\nseed: 3\nphases: { warmup: 1s, faults: 1s, settle: 5s }\n\
                nodes:\n  miners: { count: 2, hashpower: 1 }\n\
                network: { latency: 5ms, discovery: { mode: static, graph: complete } }\n\
                ledger: { block_interval: 1s, transactions: 2/s }\n\
                expect:\n  - nodes_up: { min: 10% }\n";
    std::fs::write(folder.path().join("chaos.yaml"), text).unwrap();
    for name in ["home", "tmp", "cache", "record"] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
    }
    folder
}

/// The command that runs it, short of what the case says.
pub fn command(case: &Case, folder: &Path) -> Command {
    let peerlab = Path::new(env!("CARGO_BIN_EXE_peerlab"));
    let mut command = Command::new("sh");
    let (namespaces, script) = around(case);
    if namespaces {
        command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh"]);
    }
    let programs = peerlab.parent().map(Path::to_owned).unwrap_or_default();
    let engine = format!("{:?}", case.engine).to_lowercase();
    command
        .args(["-ec", &format!("{script}exec \"$@\""), "sh"])
        .arg(peerlab)
        .args(["-v", "run", "--engine", &engine])
        .args(["--out", "record/run", "chaos.yaml"])
        .current_dir(folder)
        .env_remove("DOCKER_HOST")
        .env_remove("DOCKER_CONTEXT")
        .env("PEERLAB_PROGRAMS", programs)
        .env("HOME", folder.join("home"))
        .env("TMPDIR", folder.join("tmp"))
        .env("XDG_RUNTIME_DIR", folder.join("tmp"))
        .env("XDG_CACHE_HOME", folder.join("cache"))
        .stdout(Stdio::piped());
    if case.engine != Engine::Sim {
        command.arg("--keep-logs");
    }
    command
}

/// Whether the harness runs in namespaces of its own, and what a shell does before it.
fn around(case: &Case) -> (bool, String) {
    let disk = |kb: u32| format!("mount -t tmpfs -o size={kb}k none record; ");
    match case.fault {
        Fault::Short(Shortage::Memory(mb)) => (false, format!("ulimit -v {}; ", mb << 10)),
        Fault::Short(Shortage::OpenFiles(count)) => (false, format!("ulimit -n {count}; ")),
        Fault::Short(Shortage::FileSize(blocks)) => (false, format!("ulimit -f {blocks}; ")),
        Fault::Short(Shortage::Disk(kb)) => (true, disk(kb)),
        Fault::Stage(_, _, Blow::DiskFull) => (true, disk(DISK_KB)),
        _ => (false, String::new()),
    }
}

/// Does to the harness or another process what can be done to any.
pub fn strike(pid: u32, blow: Blow) {
    use rustix::process::{Resource, Rlimit, prlimit};
    let send = |name| {
        // It may have ended just now.
        let kill = Command::new("kill")
            .args(["-s", name, &pid.to_string()])
            .output();
        assert!(kill.is_ok(), "cannot run kill");
    };
    let limit = |resource, size| {
        let size = Some(size);
        let process = i32::try_from(pid)
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        let limit = Rlimit {
            current: size,
            maximum: size,
        };
        let _ = prlimit(process, resource, limit);
    };
    match blow {
        Blow::Kill => send("KILL"),
        Blow::Stop => send("STOP"),
        Blow::Interrupt => send("INT"),
        Blow::InterruptTwice => {
            send("INT");
            send("INT");
        }
        Blow::Terminate => send("TERM"),
        Blow::HangUp => send("HUP"),
        Blow::NoMemory => limit(Resource::As, address_space(pid)),
        Blow::FileSize => limit(Resource::Fsize, 0),
        Blow::DiskFull => unreachable!("is no process' affair"),
    }
}

/// Bytes of address space that a process has.
fn address_space(pid: u32) -> u64 {
    let pages = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    let pages = pages.split(' ').next().and_then(|pages| pages.parse().ok());
    pages.unwrap_or(0u64) * rustix::param::page_size() as u64
}

/// Sees to it that a run ended as its case says.
pub fn judge(case: &Case, code: Option<i32>, said: &str) {
    let codes = if planted("exit-code") {
        vec![77]
    } else {
        case.codes()
    };
    let ended_so = code.map_or(case.kills_harness(), |code| codes.contains(&code));
    assert!(
        ended_so,
        "{code:?} is not the exit code that says it, which would be of {codes:?}:\n{said}"
    );
    let may_panic = matches!(
        case.fault,
        Fault::Short(Shortage::Memory(_) | Shortage::OpenFiles(_))
            | Fault::Stage(_, _, Blow::NoMemory)
    );
    assert!(
        may_panic || !said.contains("a panic at"),
        "a panic:\n{said}"
    );
    let words: &[&str] = match (code, case.fault) {
        (Some(3), _) if case.names_clean() => {
            &["Error: ", "Caused by: ", "Hint: ", "`peerlab clean`"]
        }
        (Some(3), _) => &["Error: ", "Caused by: ", "Hint: "],
        (Some(130), Fault::Stage(_, _, Blow::InterruptTwice)) => &[],
        (Some(130), _) => &["interrupted; everything was removed"],
        _ => &[],
    };
    for words in words {
        assert!(said.contains(words), "no {words:?} in:\n{said}");
    }
}
