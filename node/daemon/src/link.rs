//! One connection with a peer: bytes in, messages to the machine; messages from the machine,
//! bytes out. Which messages those are is the machine's business.
//!
//! Both directions are bounded. What a peer does not read is queued up to
//! [`SEND_BUFFER_BYTES_MAX`], then the connection is closed; above [`QUEUE_BYTES_PAUSE`] nothing more
//! is read from it, so that it cannot ask for more. An idle connection holds no buffer.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use peerlab_node::io::{Input, KEEPALIVE_AFTER, PeerId, SEND_BUFFER_BYTES_MAX};
use peerlab_node::time::Time;
use peerlab_node::wire::{Decoder, Message, encode};
use rustix::net::sockopt;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// While more than this is queued for a peer, its own messages wait. One block of the largest
/// size.
pub const QUEUE_BYTES_PAUSE: usize = 4 * 1024 * 1024;
/// Messages are encoded together up to this size, to spare system calls.
const WRITE_BYTES_TOGETHER: usize = 64 * 1024;
/// How long a connection that is being closed may take to deliver what was sent before.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// After a first keep-alive without an answer, the next ones come this soon.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(5);
/// The machine is notified of a message half here no more often than this.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// What connections are of: the machine, and what it takes to run it.
pub trait Host {
    /// The machine's time.
    fn now(&self) -> Time;

    /// How long a connection may go without an acknowledgement; `None` while loading.
    fn peer_timeout(&self) -> Option<Duration>;

    /// Whether messages from this peer are still wanted.
    fn is_open(&self, peer: PeerId) -> bool;

    /// Lends the read buffer that all share.
    fn with_read_buffer<T>(&self, read: impl FnOnce(&mut [u8]) -> T) -> T;

    /// Gives an input to the machine, and carries out what it answers.
    fn input(self: &Rc<Self>, input: Input);
}

/// How a connection is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    /// Not yet.
    No,
    /// Once the queue is empty.
    Flushed,
    /// Now.
    Abrupt,
}

/// The hub's end of a connection.
pub struct Link {
    queue: RefCell<VecDeque<Message>>,
    queued_bytes: Cell<usize>,
    closing: Cell<Closing>,
    changed: Notify,
}

impl Link {
    /// Of a new connection.
    pub fn new() -> Link {
        Link {
            queue: RefCell::default(),
            queued_bytes: Cell::new(0),
            closing: Cell::new(Closing::No),
            changed: Notify::new(),
        }
    }

    /// Queues a message. Returns whether the peer fell too far behind; then it is closed.
    pub fn send(&self, message: Message) -> bool {
        if !self.is_open() {
            return false;
        }
        let bytes = self.queued_bytes.get() + message.wire_size() as usize;
        let too_slow = bytes > SEND_BUFFER_BYTES_MAX;
        if too_slow {
            self.queue.borrow_mut().clear();
            self.queued_bytes.set(0);
            self.closing.set(Closing::Abrupt);
        } else {
            self.queued_bytes.set(bytes);
            self.queue.borrow_mut().push_back(message);
        }
        self.changed.notify_one();
        too_slow
    }

    /// Ends the connection once what is queued has left.
    pub fn close(&self) {
        if self.is_open() {
            self.closing.set(Closing::Flushed);
            self.changed.notify_one();
        }
    }

    /// Whether messages from this peer are still wanted.
    pub fn is_open(&self) -> bool {
        self.closing.get() == Closing::No
    }

    fn pop(&self) -> Option<Message> {
        let message = self.queue.borrow_mut().pop_front()?;
        let bytes = self.queued_bytes.get();
        self.queued_bytes
            .set(bytes.saturating_sub(message.wire_size() as usize));
        Some(message)
    }
}

/// Takes messages from the queue if no bytes are left to write. Returns whether there are some.
fn refill(bytes: &mut VecDeque<u8>, link: &Link) -> bool {
    if bytes.is_empty() {
        // Given back, not kept: most connections are idle most of the time.
        *bytes = VecDeque::new();
        while bytes.len() < WRITE_BYTES_TOGETHER
            && let Some(message) = link.pop()
        {
            let encoded = encode(&message);
            if bytes.is_empty() {
                *bytes = encoded.into();
            } else {
                bytes.extend(encoded);
            }
        }
    }
    !bytes.is_empty()
}

/// Writes as much as the socket takes now.
fn write(bytes: &mut VecDeque<u8>, stream: &TcpStream) -> io::Result<()> {
    match stream.try_write(bytes.as_slices().0) {
        Ok(count) => {
            bytes.drain(..count);
            Ok(())
        }
        Err(error) if would_block(&error) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Asks the kernel for what [`Output::Send`] promises. Each is refused only by systems that lack
/// it; there TCP's own, longer timeouts hold.
///
/// [`Output::Send`]: peerlab_node::io::Output::Send
fn set_up(stream: &TcpStream, inbound: bool, peer_timeout: Option<Duration>) {
    // Small messages (a ping, a header) are not to wait for acknowledgements.
    let _ = stream.set_nodelay(true);
    if let Some(timeout) = peer_timeout {
        let millis = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
        let _ = sockopt::set_tcp_user_timeout(stream, millis);
    }
    if !inbound {
        let _ = sockopt::set_socket_keepalive(stream, true);
        let _ = sockopt::set_tcp_keepidle(stream, KEEPALIVE_AFTER);
        let _ = sockopt::set_tcp_keepintvl(stream, KEEPALIVE_EVERY);
    }
}

/// Serves a connection until it ends, and says why it did. The machine has been notified of its
/// start; the caller notifies it of its end.
pub async fn run(
    stream: &TcpStream,
    peer: PeerId,
    inbound: bool,
    link: &Link,
    hub: &Rc<impl Host>,
) -> String {
    set_up(stream, inbound, hub.peer_timeout());
    let mut incoming = Incoming::default();
    let mut outgoing = VecDeque::new();
    loop {
        let writing = refill(&mut outgoing, link);
        match link.closing.get() {
            Closing::No => {}
            Closing::Flushed => return flush(stream, link, outgoing).await,
            Closing::Abrupt => return "does not read what is sent to it".to_owned(),
        }
        let reading = link.queued_bytes.get() <= QUEUE_BYTES_PAUSE;
        let outcome = tokio::select! {
            ready = stream.readable(), if reading => {
                ready.and_then(|()| read(stream, peer, &mut incoming, hub))
            }
            ready = stream.writable(), if writing => {
                ready.and_then(|()| write(&mut outgoing, stream))
            }
            () = link.changed.notified() => Ok(()),
        };
        if let Err(error) = outcome {
            return match error.kind() {
                io::ErrorKind::UnexpectedEof => "closed by the peer".to_owned(),
                _ => error.to_string(),
            };
        }
    }
}

/// Bytes on their way in.
#[derive(Default)]
struct Incoming {
    decoder: Decoder,
    /// When the machine was last notified of a message half here.
    progress_at: Option<Time>,
}

/// Reads once, and hands whole messages to the machine.
fn read(
    stream: &TcpStream,
    peer: PeerId,
    incoming: &mut Incoming,
    hub: &Rc<impl Host>,
) -> io::Result<()> {
    let decoder = &mut incoming.decoder;
    let count = hub.with_read_buffer(|buffer| match stream.try_read(buffer) {
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(count) => {
            if count < buffer.len() {
                note_drained(stream);
            }
            decoder.push(buffer.get(..count).unwrap_or_default());
            Ok(count)
        }
        Err(error) if would_block(&error) => Ok(0),
        Err(error) => Err(error),
    })?;
    if count == 0 {
        return Ok(());
    }
    loop {
        // What the machine answered may have been to close.
        if !hub.is_open(peer) {
            return Ok(());
        }
        match decoder.next_message() {
            Ok(Some((message, wire_bytes))) => hub.input(Input::Received {
                peer,
                message,
                wire_bytes,
            }),
            Ok(None) => break,
            Err(error) => {
                hub.input(Input::Malformed {
                    peer,
                    reason: error.to_string(),
                });
                if hub.is_open(peer) {
                    // The stream cannot be read on, whatever the machine says.
                    return Err(io::Error::other(error.to_string()));
                }
                return Ok(());
            }
        }
    }
    let now = hub.now();
    if decoder.pending_bytes() > 0
        && incoming
            .progress_at
            .is_none_or(|last| now.since(last) >= PROGRESS_INTERVAL)
    {
        incoming.progress_at = Some(now);
        hub.input(Input::Progress { peer });
    }
    Ok(())
}

/// A buffer that was not filled says that there is no more: the next read waits for the kernel's
/// word instead of trying. (An end that was reported already is not forgotten by this.)
fn note_drained(stream: &TcpStream) {
    let _ = stream.try_io(Interest::READABLE, || {
        Err::<(), _>(io::ErrorKind::WouldBlock.into())
    });
}

/// Delivers what is queued, within [`CLOSE_TIMEOUT`].
async fn flush(stream: &TcpStream, link: &Link, mut outgoing: VecDeque<u8>) -> String {
    let delivered = async {
        while refill(&mut outgoing, link) {
            if stream.writable().await.is_err() || write(&mut outgoing, stream).is_err() {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, delivered).await;
    "closed by this node".to_owned()
}

fn would_block(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_too_long_closes_the_link_and_empties() {
        let link = Link::new();
        let bytes = Message::Ping(1).wire_size() as usize;
        assert!(!link.send(Message::Ping(1)));
        assert_eq!(link.queued_bytes.get(), bytes);
        link.queued_bytes.set(SEND_BUFFER_BYTES_MAX);
        assert!(link.send(Message::Ping(2)));
        assert!(!link.is_open());
        assert_eq!(link.queued_bytes.get(), 0);
        assert!(link.pop().is_none());
        assert!(!link.send(Message::Ping(3)));
        assert!(link.pop().is_none());
    }

    #[test]
    fn messages_leave_in_order_and_together() {
        let link = Link::new();
        for nonce in 0..3 {
            link.send(Message::Ping(nonce));
        }
        link.close();
        assert!(!link.send(Message::Ping(9)));
        let mut outgoing = VecDeque::new();
        assert!(refill(&mut outgoing, &link));
        let mut decoder = Decoder::new();
        decoder.push(outgoing.make_contiguous());
        for nonce in 0..3 {
            let (message, _) = decoder.next_message().unwrap().unwrap();
            assert!(matches!(message, Message::Ping(n) if n == nonce));
        }
        assert_eq!(link.queued_bytes.get(), 0);
        outgoing.clear();
        assert!(!refill(&mut outgoing, &link));
    }
}
