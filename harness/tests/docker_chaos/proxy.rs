//! An engine's socket that misbehaves once: everything goes on to the real engine but for one call, to
//! which that happens what a case says.
//!
//! A connection carries one request: "Connection: close" is put into its head, so that an answer ends
//! where the connection does.

use std::collections::BTreeMap;
use std::io::{BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use crate::chaos::table::{Call, Wire};
use crate::fake::{Request, response};
use crate::support::Engine;

/// Bytes that are passed on at once.
const PIECE_BYTES: usize = 64 << 10;
/// The end of an answer's head.
const HEAD_END: &[u8] = b"\r\n\r\n";

/// It serves as long as the test's process lives.
#[derive(Clone)]
pub struct Proxy(Arc<Shared>);

struct Shared {
    socket: PathBuf,
    engine: PathBuf,
    /// What happens, and to which call.
    fault: Option<(Call, Wire)>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    seen: BTreeMap<&'static str, usize>,
    gone: bool,
    /// Whether the call of the case has come.
    met: bool,
    /// Whether nothing more comes of it.
    settled: bool,
    /// The stream to the fabric says nothing more.
    muted: bool,
    /// Both ends of connections, and whose they are.
    open: Vec<(&'static str, UnixStream)>,
    run: String,
    volumes: Vec<String>,
}

impl Proxy {
    pub fn start(socket: &Path, fault: Option<(Call, Wire)>) -> Proxy {
        let engine = std::env::var("DOCKER_HOST").unwrap_or_default();
        let engine = engine
            .strip_prefix("unix://")
            .unwrap_or("/var/run/docker.sock");
        let proxy = Proxy(Arc::new(Shared {
            socket: socket.to_owned(),
            engine: engine.into(),
            fault,
            state: Mutex::default(),
            changed: Condvar::new(),
        }));
        proxy.listen();
        proxy
    }

    /// The run's name and its fabric's volumes, as far as they are known.
    pub fn run(&self) -> (String, Vec<String>) {
        let state = self.state();
        (state.run.clone(), state.volumes.clone())
    }

    /// How often each kind of call was seen.
    pub fn seen(&self) -> BTreeMap<&'static str, usize> {
        self.state().seen.clone()
    }

    /// Waits until the call of the case has come, or `given_up`.
    pub fn meets(&self, mut given_up: impl FnMut() -> bool) -> bool {
        let mut state = self.state();
        while !state.met && !given_up() {
            let look = std::time::Duration::from_millis(20);
            state = self.0.changed.wait_timeout(state, look).unwrap().0;
        }
        state.met
    }

    /// From now on there is no engine.
    pub fn die(&self) {
        let mut state = self.state();
        state.gone = true;
        let _ = std::fs::remove_file(&self.0.socket);
        for (_, stream) in state.open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// The engine is there again.
    pub fn revive(&self) {
        let mut state = self.state();
        if std::mem::take(&mut state.gone) {
            drop(state);
            self.listen();
        }
    }

    /// Cuts the stream to the fabric.
    pub fn cut(&self) {
        for (kind, stream) in &self.state().open {
            if *kind == "attach-fabric" {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }

    /// What the fabric says is not passed on any more.
    pub fn mute(&self) {
        self.state().muted = true;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    fn listen(&self) {
        let listener = UnixListener::bind(&self.0.socket).unwrap();
        let proxy = self.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let proxy = proxy.clone();
                // Whoever hangs up, hangs up.
                std::thread::spawn(move || proxy.serve(client));
            }
        });
    }

    fn serve(&self, client: UnixStream) -> Option<()> {
        let request = Request::read(&mut BufReader::new(&client))?;
        let kind = kind(&request)?;
        let number = {
            let mut state = self.state();
            if state.gone {
                return None;
            }
            let number = state.seen.entry(kind).or_default();
            *number += 1;
            let number = *number;
            state.open.push((kind, client.try_clone().ok()?));
            number
        };
        self.note_run(&request);
        let fault = self.0.fault.filter(|(call, wire)| {
            let always = *wire == Wire::RefuseAlways && number > call.1;
            call.0 == kind && (call.1 == number || always)
        });
        match fault {
            None => self.pass_on(kind, &request, client),
            Some((_, wire)) => self.disturb(kind, &request, client, wire),
        }
    }

    fn disturb(
        &self,
        kind: &'static str,
        request: &Request,
        mut client: UnixStream,
        wire: Wire,
    ) -> Option<()> {
        if matches!(wire, Wire::Dead | Wire::Outage) {
            self.die();
        }
        self.state().met = true;
        self.0.changed.notify_all();
        match wire {
            Wire::Close | Wire::Dead | Wire::Outage => {}
            Wire::Refuse | Wire::RefuseAlways => {
                let body = "the engine is in disorder".to_owned();
                client.write_all(response(500, body).as_bytes()).ok()?;
            }
            Wire::Lost => drop(self.answer(kind, request)),
            Wire::Half | Wire::Stall => {
                let answer = self.answer(kind, request)?;
                client.write_all(&answer[..answer.len() / 2]).ok()?;
                if wire == Wire::Stall {
                    wait_for_end(&client);
                }
            }
            Wire::Late | Wire::Killed | Wire::Interrupted => {
                wait_for_end(&client);
                self.answer(kind, request);
            }
        }
        let _ = client.shutdown(Shutdown::Both);
        self.state().settled = true;
        self.0.changed.notify_all();
        Some(())
    }

    /// Waits until the engine has done what the disturbed call asked for, where it does it late.
    pub fn settle(&self) {
        let is_late = matches!(
            self.0.fault,
            Some((_, Wire::Late | Wire::Killed | Wire::Interrupted))
        );
        let state = self.state();
        let waits = |state: &mut State| is_late && state.met && !state.settled;
        drop(self.0.changed.wait_while(state, waits).unwrap());
    }

    /// Has the engine do it, and gives its whole answer; of one that goes on and on its head.
    fn answer(&self, kind: &'static str, request: &Request) -> Option<Vec<u8>> {
        let mut engine = self.ask(request)?;
        let mut answer = Vec::new();
        let mut piece = vec![0; PIECE_BYTES];
        let goes_on = kind == "events" || kind.starts_with("attach");
        while let Ok(count @ 1..) = engine.read(&mut piece) {
            answer.extend_from_slice(&piece[..count]);
            if goes_on
                && answer
                    .windows(HEAD_END.len())
                    .any(|bytes| bytes == HEAD_END)
            {
                break;
            }
        }
        self.note_volumes(kind);
        Some(answer)
    }

    /// Passes bytes on both ways until one side ends.
    fn pass_on(&self, kind: &'static str, request: &Request, mut client: UnixStream) -> Option<()> {
        if kind == "create-fabric" {
            let answer = self.answer(kind, request)?;
            client.write_all(&answer).ok()?;
            return client.shutdown(Shutdown::Both).ok();
        }
        let mut engine = self.ask(request)?;
        self.state().open.push((kind, engine.try_clone().ok()?));
        let (mut from, mut to) = (client.try_clone().ok()?, engine.try_clone().ok()?);
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            // Half a connection may go on: the client has asked, and waits.
            let _ = to.shutdown(Shutdown::Write);
        });
        let mut piece = vec![0; PIECE_BYTES];
        while let Ok(count @ 1..) = engine.read(&mut piece) {
            let swallowed = kind == "attach-fabric" && self.state().muted;
            if !swallowed && client.write_all(&piece[..count]).is_err() {
                break;
            }
        }
        let _ = client.shutdown(Shutdown::Both);
        let _ = engine.shutdown(Shutdown::Both);
        Some(())
    }

    /// Sends a request to the engine.
    fn ask(&self, request: &Request) -> Option<UnixStream> {
        let mut engine = UnixStream::connect(&self.0.engine).ok()?;
        let mut head = request.head.join("\r\n");
        let upgrades = request.head.iter().any(|line| {
            let line = line.to_ascii_lowercase();
            line.starts_with("upgrade:")
        });
        if !upgrades {
            head.push_str("\r\nConnection: close");
        }
        head.push_str("\r\n\r\n");
        engine.write_all(head.as_bytes()).ok()?;
        engine.write_all(&request.body).ok()?;
        Some(engine)
    }

    /// Keeps the run's name, which its containers' names have.
    fn note_run(&self, request: &Request) {
        let name = request.path.split_once("create?name=peerlab-");
        if let Some((run, _)) = name.and_then(|(_, name)| name.split_once('-')) {
            run.clone_into(&mut self.state().run);
        }
    }

    /// Keeps the names of the volumes that the fabric has as soon as it is there.
    fn note_volumes(&self, kind: &str) {
        if kind == "create-fabric" {
            let run = self.state().run.clone();
            let volumes = Engine::new().volumes(&run);
            self.state().volumes = volumes;
        }
    }
}

/// Waits until the other side has closed a connection.
fn wait_for_end(mut client: &UnixStream) {
    let _ = std::io::copy(&mut client, &mut std::io::sink());
}

/// What kind of call a request is.
fn kind(request: &Request) -> Option<&'static str> {
    let path = request.path.split('?').next()?;
    // The version of the API comes first where there is one.
    let path = match path.strip_prefix("/v1.") {
        Some(rest) => rest.split_once('/')?.1,
        None => path.trim_start_matches('/'),
    };
    let fabric = path.contains("-fabric") || request.path.contains("-fabric");
    let either = |of_fabric, of_node| Some(if fabric { of_fabric } else { of_node });
    let mut parts = path.split('/');
    match (request.method.as_str(), parts.next()?, parts.next_back()) {
        (_, "version", _) => Some("version"),
        (_, "info", _) => Some("info"),
        (_, "build", _) => Some("build"),
        (_, "events", _) => Some("events"),
        ("GET", "images", _) if path.contains("peerlab/fabric") => Some("inspect-fabric"),
        ("GET", "images", _) => Some("inspect-node"),
        ("GET", "containers", Some("json")) => Some("list"),
        ("GET", "containers", Some("logs")) => Some("logs"),
        ("POST", "containers", Some("create")) => either("create-fabric", "create-node"),
        ("POST", "containers", Some("attach")) => either("attach-fabric", "attach-node"),
        ("POST", "containers", Some("start")) => either("start-fabric", "start-node"),
        ("DELETE", "containers", _) => Some("remove"),
        _ => Some("other"),
    }
}
