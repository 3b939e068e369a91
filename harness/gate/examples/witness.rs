//! A program of nobody's, for tests: a node that is what its experiment says, or ends with the reason.
//!
//! `witness run` stays up once its name, address, variable and files are right, and takes the file `/data/gift`
//! away; `witness tell` says what a node has, which is the same for all of a group.

use std::fs;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

const GIFT: &str = "/data/gift";
const TAKEN: &str = "/data/taken";
const PEERS: &str = "/etc/witness/peers";

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what it says is all that it does"
)]
fn main() -> ExitCode {
    let said = match std::env::args().nth(1).as_deref() {
        Some("run") => check().map(|()| {
            loop {
                std::thread::sleep(Duration::from_secs(3600));
            }
        }),
        _ => tell(),
    };
    match said {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What is to be so before the program starts.
fn check() -> Result<()> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname")?;
    let own = std::env::var("NAME").context("no variable NAME")?;
    ensure!(own == name.trim_end(), "NAME is {own}, and the host {name}");
    let line = format!("{}\t{own}", std::env::var("ADDRESS")?);
    let hosts = fs::read_to_string("/etc/hosts").context("no file of hosts")?;
    ensure!(
        hosts.lines().any(|it| it == line),
        "no line `{line}` in:\n{hosts}"
    );
    let folder = std::env::current_dir()?;
    ensure!(
        folder.ends_with("witness"),
        "the working directory is {}",
        folder.display()
    );
    fs::rename(GIFT, TAKEN).context("there is no gift, or it is another's")
}

fn tell() -> Result<String> {
    let peers = fs::read_to_string(PEERS).context("no file of peers")?;
    let gift = fs::read_to_string(TAKEN).context("the gift was not taken")?;
    Ok(format!(
        "{} {} {}",
        std::env::var("GROUP")?,
        peers.trim().replace('\n', " "),
        gift.len()
    ))
}
