//! A daemon's life: prepare, load, serve, end.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use peerlab_node::io::CONNECTIONS_SURPLUS;
use peerlab_node::options::{Failure, Settings};
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::{JoinSet, LocalSet};
use tracing::{debug, info, warn};

use crate::clock::Clock;
use crate::hub::Hub;
use crate::load;
use crate::memory;
use crate::rpc::auth::{Cookie, Credentials};
use crate::rpc_server::{self, ACCEPT_RETRY_DELAY};
use crate::task;
use crate::timer::Timer;

/// Peers that wait in the kernel to be accepted.
const BACKLOG: u32 = 128;
/// How long RPC callers (among them who asked to stop) may take to get their answers when the
/// daemon ends.
pub const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);
/// Name of the file that keeps a second daemon out of the folder. Bitcoin Core's.
const LOCK_FILE: &str = ".lock";

/// Runs until a signal, the RPC `stop`, or a failure.
///
/// # Errors
/// Why the daemon could not start, or had to end.
pub fn run(settings: Settings) -> Result<(), Failure> {
    memory::one_arena();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(|error| Failure::new("cannot start the runtime").cause(error))?;
    LocalSet::new().block_on(&runtime, live(Arc::new(settings)))
}

async fn live(settings: Arc<Settings>) -> Result<(), Failure> {
    let mut terminate = listen_for(SignalKind::terminate())?;
    let mut interrupt = listen_for(SignalKind::interrupt())?;
    let _lock = prepare_folder(&settings.folder)?;
    let store = load::store_path(&settings.folder);
    let timer =
        Timer::new().map_err(|error| Failure::new("the system gives no timer").cause(error))?;
    let hub = Hub::new(Clock::start(), timer, store, u64::from_le_bytes(random()?));
    info!(
        "peerlab-node {} starting, data in {}",
        env!("CARGO_PKG_VERSION"),
        settings.folder.display()
    );
    let mut rpc_servers = JoinSet::new();
    let _cookie = start_rpc(&settings, &hub, &mut rpc_servers).await?;
    // Bound before loading, so that a port taken is reported at once; listening comes later.
    let sockets = settings
        .listen
        .iter()
        .map(|addr| bind(*addr))
        .collect::<Result<Vec<TcpSocket>, Failure>>()?;
    let mut stopping = hub.stopping();
    let ended = tokio::select! {
        outcome = serve(&settings, &hub, sockets) => outcome,
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        _ = stopping.wait_for(|stop| *stop) => Ok(()),
    };
    info!("stopping");
    hub.stop(None);
    // Closes the store.
    drop(hub.remove());
    let farewell = async { while rpc_servers.join_next().await.is_some() {} };
    if tokio::time::timeout(FAREWELL_TIMEOUT, farewell)
        .await
        .is_err()
    {
        debug!("RPC callers were left without an answer");
    }
    ended.and_then(|()| hub.take_failure().map_or(Ok(()), Err))
}

/// Loads, then serves peers for ever.
async fn serve(
    settings: &Arc<Settings>,
    hub: &Rc<Hub>,
    sockets: Vec<TcpSocket>,
) -> Result<(), Failure> {
    let (done, loaded) = oneshot::channel();
    let (for_thread, now) = (settings.clone(), hub.clock().now());
    // A thread of its own, so that RPC callers hear that the node is loading.
    std::thread::Builder::new()
        .name("load".to_owned())
        .spawn(move || {
            // Nobody listens any more if the daemon was stopped meanwhile.
            let _ = done.send(load::load(&for_thread, now));
        })
        .map_err(|error| Failure::new("cannot start a thread").cause(error))?;
    let chain = loaded
        .await
        .map_err(|_| Failure::new("loading ended without a result"))??;
    memory::give_back();
    let machine = settings.machine(chain, u64::from_le_bytes(random()?), hub.clock().now());
    info!(
        height = machine.chain().tip().height,
        hash = %machine.chain().tip().hash,
        "loaded"
    );
    hub.install(machine);
    for socket in sockets {
        let listener = socket
            .listen(BACKLOG)
            .map_err(|error| Failure::new("cannot listen for peers").cause(error))?;
        if let Ok(addr) = listener.local_addr() {
            info!("listening for peers on {addr}");
        }
        let connections_max = settings.config.connections_max + CONNECTIONS_SURPLUS;
        task::spawn(accept_peers(listener, hub.clone(), connections_max));
    }
    let ended = hub.run_timer().await;
    ended.map_err(|error| Failure::new("cannot wait for the timer").cause(error))
}

async fn accept_peers(listener: TcpListener, hub: Rc<Hub>, connections_max: usize) {
    loop {
        match listener.accept().await {
            Ok((stream, addr)) if hub.connections() < connections_max => {
                task::spawn(hub.clone().connection(stream, addr, true));
            }
            Ok((_, addr)) => debug!(%addr, "peer refused: {connections_max} connections are open"),
            Err(error) => {
                warn!("cannot accept a peer: {error}");
                tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
}

async fn start_rpc(
    settings: &Settings,
    hub: &Rc<Hub>,
    servers: &mut JoinSet<()>,
) -> Result<Option<Cookie>, Failure> {
    let mut listeners = Vec::new();
    for addr in &settings.rpc {
        let listener = TcpListener::bind(addr).await.map_err(|error| {
            Failure::new(format!("cannot answer JSON-RPC on {addr}"))
                .cause(error)
                .hint("another node may run here: choose another -rpcport, or stop it")
        })?;
        listeners.push(listener);
    }
    let (credentials, cookie) = match &settings.rpc_login {
        Some((user, password)) => (Credentials::new(user, password), None),
        None => {
            let cookie = Cookie::create(&settings.folder, random()?).map_err(|error| {
                Failure::new(format!(
                    "cannot write the RPC cookie into {}",
                    settings.folder.display()
                ))
                .cause(error)
            })?;
            (cookie.credentials(), Some(cookie))
        }
    };
    for listener in listeners {
        if let Ok(addr) = listener.local_addr() {
            info!("answering JSON-RPC on {addr}");
        }
        servers.spawn_local(rpc_server::serve(
            listener,
            credentials.clone(),
            hub.clone(),
        ));
    }
    Ok(cookie)
}

/// Makes the folder and locks it for as long as the file is held.
fn prepare_folder(folder: &Path) -> Result<File, Failure> {
    let unusable = || Failure::new(format!("cannot use the data folder {}", folder.display()));
    let failure = |error: io::Error| {
        let hint = "give a folder that this user may write: -datadir=DIR";
        unusable().cause(error).hint(hint)
    };
    std::fs::create_dir_all(folder).map_err(failure)?;
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(folder.join(LOCK_FILE))
        .map_err(failure)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(unusable()
            .cause("another node is running there")
            .hint("stop it, or choose another folder: -datadir=DIR")),
        Err(std::fs::TryLockError::Error(error)) => Err(failure(error)),
    }
}

fn bind(addr: SocketAddr) -> Result<TcpSocket, Failure> {
    let bound = || {
        let socket = if addr.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        // The port of a node that was killed a moment ago is free again at once.
        socket.set_reuseaddr(true)?;
        socket.bind(addr)?;
        Ok(socket)
    };
    bound().map_err(|error: io::Error| {
        Failure::new(format!("cannot listen for peers on {addr}"))
            .cause(error)
            .hint("another node may run here: choose another -port, or -listen=0")
    })
}

fn random<const BYTES: usize>() -> Result<[u8; BYTES], Failure> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::new("the system gives no randomness").cause(error))?;
    Ok(bytes)
}

fn listen_for(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error| Failure::new("cannot listen for signals").cause(error))
}
