//! Connections to the node's own loopback, opened for the fabric: several at once, bounded.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

/// Connections that may be under way: a probe, a few people's tools, and room.
pub const DIALS_MAX: usize = 64;
/// How long one may take. Loopback answers at once, unless a frozen program's backlog is full.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection that is open, or why it is not.
pub type Dialed = (u32, Result<OwnedFd, Errno>);

/// Connections under way.
#[derive(Default)]
pub struct Dials {
    pending: Vec<Dial>,
}

struct Dial {
    id: u32,
    socket: OwnedFd,
    deadline: Instant,
}

impl Dials {
    /// Begins to connect to 127.0.0.1:`port`; says at once what is known at once.
    pub fn begin(&mut self, now: Instant, id: u32, port: u16) -> Option<Dialed> {
        if self.pending.len() >= DIALS_MAX {
            return Some((id, Err(Errno::AGAIN)));
        }
        match connect(port) {
            Ok((socket, true)) => Some((id, Ok(socket))),
            Ok((socket, false)) => {
                self.pending.push(Dial {
                    id,
                    socket,
                    deadline: now + DIAL_TIMEOUT,
                });
                None
            }
            Err(e) => Some((id, Err(e))),
        }
    }

    /// The sockets to poll for writing, in an order that [`Dials::finish`] knows.
    pub fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.pending.iter().map(|d| d.socket.as_fd())
    }

    /// When the next one times out.
    pub fn next_timer(&self) -> Option<Instant> {
        self.pending.iter().map(|d| d.deadline).min()
    }

    /// Takes what is ready or overdue. `ready` are indices into [`Dials::sockets`], ascending.
    pub fn finish(&mut self, now: Instant, ready: &[usize]) -> Vec<Dialed> {
        let mut done = Vec::new();
        let mut kept = Vec::with_capacity(self.pending.len());
        for (index, dial) in self.pending.drain(..).enumerate() {
            if ready.contains(&index) {
                let result = rustix::net::sockopt::socket_error(&dial.socket).and_then(|r| r);
                done.push((dial.id, result.map(|()| dial.socket)));
            } else if dial.deadline <= now {
                done.push((dial.id, Err(Errno::TIMEDOUT)));
            } else {
                kept.push(dial);
            }
        }
        self.pending = kept;
        done
    }
}

/// Starts to connect; `true` when it is connected already.
fn connect(port: u16) -> rustix::io::Result<(OwnedFd, bool)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    match rustix::net::connect(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)) {
        Ok(()) => Ok((socket, true)),
        Err(Errno::INPROGRESS) => Ok((socket, false)),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_reached_and_its_absence_told() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let now = Instant::now();
        let mut dials = Dials::default();
        let settle = |dials: &mut Dials, first: Option<Dialed>| {
            first.or_else(|| dials.finish(now, &[0]).pop()).unwrap()
        };
        let first = dials.begin(now, 7, port);
        let (id, result) = settle(&mut dials, first);
        assert_eq!(id, 7);
        assert!(result.is_ok());
        listener.accept().unwrap();
        drop(listener);
        let first = dials.begin(now, 8, port);
        assert_eq!(settle(&mut dials, first).1.unwrap_err(), Errno::CONNREFUSED);
        assert_eq!(dials.next_timer(), None);
    }

    #[test]
    fn a_listener_that_never_answers_times_out_and_too_many_are_refused() {
        // Nobody accepts: the backlog fills, and later connections stay under way.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        rustix::net::listen(&listener, 0).unwrap();
        let now = Instant::now();
        let mut dials = Dials::default();
        let mut open = Vec::new();
        for id in 0..DIALS_MAX as u32 + 8 {
            open.extend(dials.begin(now, id, port));
        }
        assert_eq!(dials.sockets().count(), DIALS_MAX);
        assert_eq!(
            dials.begin(now, 1000, port).unwrap().1.unwrap_err(),
            Errno::AGAIN
        );
        assert!(dials.finish(now, &[]).is_empty());
        let late = dials.finish(now + DIAL_TIMEOUT, &[]);
        assert_eq!(late.len(), DIALS_MAX);
        assert!(
            late.into_iter()
                .all(|(_, r)| r.unwrap_err() == Errno::TIMEDOUT)
        );
    }
}
