//! Connections to the node's own loopback, or to its address where nobody listens there, opened for the
//! fabric: several at once, bounded.

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
pub struct Dials {
    /// The node's address: a program that is told its own may listen on nothing else.
    own: Ipv4Addr,
    pending: Vec<Dial>,
}

struct Dial {
    id: u32,
    port: u16,
    socket: OwnedFd,
    /// Where to connect if it is refused.
    other: Option<Ipv4Addr>,
    deadline: Instant,
}

impl Dials {
    /// In a node that has this address.
    pub fn new(own: Ipv4Addr) -> Dials {
        Dials {
            own,
            pending: Vec::new(),
        }
    }

    /// Begins to connect to 127.0.0.1:`port`; says at once what is known at once.
    pub fn begin(&mut self, now: Instant, id: u32, port: u16) -> Option<Dialed> {
        if self.pending.len() >= DIALS_MAX {
            return Some((id, Err(Errno::AGAIN)));
        }
        let deadline = now + DIAL_TIMEOUT;
        self.connect(id, Ipv4Addr::LOCALHOST, port, Some(self.own), deadline)
    }

    /// Begins to connect to one address, or to the other where that refuses at once.
    fn connect(
        &mut self,
        id: u32,
        to: Ipv4Addr,
        port: u16,
        other: Option<Ipv4Addr>,
        deadline: Instant,
    ) -> Option<Dialed> {
        match (connect(SocketAddrV4::new(to, port)), other) {
            (Ok((socket, true)), _) => Some((id, Ok(socket))),
            (Ok((socket, false)), other) => {
                self.pending.push(Dial {
                    id,
                    port,
                    socket,
                    other,
                    deadline,
                });
                None
            }
            (Err(Errno::CONNREFUSED), Some(other)) => self.connect(id, other, port, None, deadline),
            (Err(e), _) => Some((id, Err(e))),
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
        let mut refused = Vec::new();
        let mut kept = Vec::with_capacity(self.pending.len());
        for (index, dial) in self.pending.drain(..).enumerate() {
            if ready.contains(&index) {
                let result = rustix::net::sockopt::socket_error(&dial.socket).and_then(|r| r);
                match (result, dial.other) {
                    (Err(Errno::CONNREFUSED), Some(other)) => refused.push((dial, other)),
                    (result, _) => done.push((dial.id, result.map(|()| dial.socket))),
                }
            } else if dial.deadline <= now {
                done.push((dial.id, Err(Errno::TIMEDOUT)));
            } else {
                kept.push(dial);
            }
        }
        self.pending = kept;
        for (dial, other) in refused {
            done.extend(self.connect(dial.id, other, dial.port, None, dial.deadline));
        }
        done
    }
}

/// Starts to connect; `true` when it is connected already.
fn connect(to: SocketAddrV4) -> rustix::io::Result<(OwnedFd, bool)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    match rustix::net::connect(&socket, &to) {
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
        let mut dials = Dials::new(Ipv4Addr::LOCALHOST);
        // The other address is tried where the first refuses.
        let settle = |dials: &mut Dials, mut dialed: Option<Dialed>| {
            while dialed.is_none() {
                dialed = dials.finish(now, &[0]).pop();
            }
            dialed.unwrap()
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
    fn who_listens_on_the_nodes_address_alone_is_reached_as_well() {
        let own = Ipv4Addr::new(127, 0, 0, 2);
        let listener = std::net::TcpListener::bind((own, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let now = Instant::now();
        let dial = |dials: &mut Dials| {
            let mut dialed = dials.begin(now, 7, port);
            while dialed.is_none() {
                dialed = dials.finish(now, &[0]).pop();
            }
            dialed.unwrap().1
        };
        let mut dials = Dials::new(Ipv4Addr::LOCALHOST);
        assert_eq!(dial(&mut dials).unwrap_err(), Errno::CONNREFUSED);
        let mut dials = Dials::new(own);
        assert!(dial(&mut dials).is_ok());
        listener.accept().unwrap();
        drop(listener);
        assert_eq!(dial(&mut dials).unwrap_err(), Errno::CONNREFUSED);
    }

    #[test]
    fn a_listener_that_never_answers_times_out_and_too_many_are_refused() {
        // Nobody accepts: the backlog fills, and later connections stay under way.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        rustix::net::listen(&listener, 0).unwrap();
        let now = Instant::now();
        let mut dials = Dials::new(Ipv4Addr::LOCALHOST);
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
