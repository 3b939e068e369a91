//! What is measured between two nodes, whatever lies between them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::support::node::Node;

/// Bytes written and read at once in bulk.
const BULK_BYTES: usize = 256 << 10;
/// Datagrams of a delay measurement.
const PROBES: u64 = 2_000;
/// Time between two of them: not a multiple of a timer tick.
const PROBE_GAP: Duration = Duration::from_micros(1_370);
/// Datagrams that are sent at once, far fewer than a device's queue holds.
const BURST: u64 = 20;
/// Time between two bursts.
const BURST_GAP: Duration = Duration::from_millis(1);
/// TCP has filled its windows by then.
const SETTLE: Duration = Duration::from_secs(1);
/// Datagrams that have not come after this time are lost.
const QUIET: Duration = Duration::from_secs(2);
/// Nothing takes so long unless something hangs.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A TCP connection that is written as fast as it goes until the reader has enough.
fn bulk<T: Send + 'static>(
    from: &Node,
    to: &Node,
    read: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> T {
    let ip = to.ip;
    let listener = to.run(move || TcpListener::bind((ip, 0)).expect("bind"));
    let address = listener.local_addr().expect("address");
    let reader = to.spawn(move || read(listener.accept().expect("accept").0));
    let writer = from.spawn(move || {
        let mut stream = TcpStream::connect(address).expect("connect");
        let bytes = vec![0x5a; BULK_BYTES];
        while stream.write_all(&bytes).is_ok() {}
    });
    let got = reader.join().expect("reader");
    writer.join().expect("writer");
    got
}

/// Payload bits per second of one TCP connection.
pub(crate) fn bulk_bps(from: &Node, to: &Node, length: Duration) -> f64 {
    bulk(from, to, move |mut stream| {
        let mut bytes = vec![0; BULK_BYTES];
        let mut total = 0;
        // The slow start does not count.
        let mut begun = Instant::now();
        let mut warm = false;
        loop {
            total += stream.read(&mut bytes).expect("read") as u64;
            if !warm && begun.elapsed() > length / 5 {
                (warm, total, begun) = (true, 0, Instant::now());
            }
            if warm && begun.elapsed() >= length {
                return total as f64 * 8.0 / begun.elapsed().as_secs_f64();
            }
        }
    })
}

/// Round trips per second of one byte over TCP.
pub(crate) fn round_trips_per_s(from: &Node, to: &Node, length: Duration) -> f64 {
    let ip = to.ip;
    let listener = to.run(move || TcpListener::bind((ip, 0)).expect("bind"));
    let address = listener.local_addr().expect("address");
    let echo = to.spawn(move || {
        let mut stream = listener.accept().expect("accept").0;
        stream.set_nodelay(true).expect("nodelay");
        let mut byte = [0; 1];
        while stream.read_exact(&mut byte).is_ok() && stream.write_all(&byte).is_ok() {}
    });
    let rate = from.run(move || {
        let mut stream = TcpStream::connect(address).expect("connect");
        stream.set_nodelay(true).expect("nodelay");
        let begun = Instant::now();
        let mut trips = 0;
        while begun.elapsed() < length {
            stream.write_all(b"x").expect("write");
            stream.read_exact(&mut [0; 1]).expect("read");
            trips += 1;
        }
        f64::from(trips) / begun.elapsed().as_secs_f64()
    });
    echo.join().expect("echo");
    rate
}

/// Time from `send` to the return of `recv`, of many datagrams, nanoseconds.
pub(crate) fn one_way_nanos(from: &Node, to: &Node) -> Vec<u64> {
    let bind = |node: &Node| {
        let ip = node.ip;
        node.run(move || UdpSocket::bind((ip, 0)).expect("bind"))
    };
    let (sender, receiver) = (bind(from), bind(to));
    receiver.set_read_timeout(Some(TIMEOUT)).expect("timeout");
    let address: SocketAddr = receiver.local_addr().expect("address");
    let received = to.spawn(move || {
        let mut bytes = [0; 8];
        let mut one = || {
            receiver.recv(&mut bytes).expect("a datagram was lost");
            monotonic_nanos() - u64::from_le_bytes(bytes)
        };
        (0..PROBES).map(|_| one()).collect()
    });
    from.run(move || {
        for _ in 0..PROBES {
            let now = monotonic_nanos().to_le_bytes();
            sender.send_to(&now, address).expect("send");
            std::thread::sleep(PROBE_GAP);
        }
    });
    received.join().expect("receiver")
}

/// Sends so many small datagrams, a burst at a time, and waits until all have come, or no more come:
/// a host that stalls for some milliseconds loses a few.
pub(crate) fn datagrams(from: &Node, to: &Node, count: u64) {
    let ip = to.ip;
    let receiver = to.run(move || UdpSocket::bind((ip, 0)).expect("bind"));
    receiver.set_read_timeout(Some(QUIET)).expect("timeout");
    let address = receiver.local_addr().expect("address");
    let received = to.spawn(move || {
        let one = || receiver.recv(&mut [0; 8]).is_ok();
        (0..count).take_while(|_| one()).count()
    });
    let ip = from.ip;
    from.run(move || {
        let sender = UdpSocket::bind((ip, 0)).expect("bind");
        for sent in 0..count {
            sender.send_to(&[0; 8], address).expect("send");
            if sent % BURST == BURST - 1 {
                std::thread::sleep(BURST_GAP);
            }
        }
    });
    received.join().expect("receiver");
}

/// CPU time of a process' threads so far, nanoseconds. A thread that has ended no longer counts.
pub(crate) fn cpu_nanos(pid: u32) -> u64 {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
    let of_thread = |thread: std::io::Result<std::fs::DirEntry>| {
        let path = thread.expect("a thread").path().join("schedstat");
        let text = std::fs::read_to_string(path).expect("the kernel has schedstat");
        let on_cpu = text.split(' ').next().and_then(|n| n.parse::<u64>().ok());
        on_cpu.expect("schedstat begins with a number")
    };
    threads.map(of_thread).sum()
}

/// How late this host wakes a thread of the usual kind that does nothing but sleep, at the pace of
/// [`one_way_nanos`]: what no program can do much better than.
pub(crate) fn sleep_lateness_nanos() -> Vec<u64> {
    let one = || {
        let due = monotonic_nanos() + PROBE_GAP.as_nanos() as u64;
        std::thread::sleep(PROBE_GAP);
        monotonic_nanos().saturating_sub(due)
    };
    (0..PROBES).map(|_| one()).collect()
}

/// Bits per second on the emulated wire while a TCP connection fills it, by the receiving kernel's
/// counters.
pub(crate) fn wire_bps(from: &Node, to: &Node, length: Duration, framing_bytes: u16) -> f64 {
    bulk(from, to, move |mut stream| {
        let mut bytes = vec![0; BULK_BYTES];
        let begun = Instant::now();
        let mut first = None;
        loop {
            // Right after a read: counters and clock are from the instant of a packet.
            assert!(stream.read(&mut bytes).expect("read") > 0);
            let elapsed = begun.elapsed();
            if elapsed < SETTLE {
                continue;
            }
            let now = (Instant::now(), wire_bytes(framing_bytes));
            let (start, before) = *first.get_or_insert(now);
            let took = now.0 - start;
            if took >= length {
                return (now.1 - before) as f64 * 8.0 / took.as_secs_f64();
            }
        }
    })
}

fn wire_bytes(framing_bytes: u16) -> u64 {
    let counters = crate::support::node::device_counters();
    counters.rx_bytes + counters.rx_packets * u64::from(framing_bytes)
}

fn monotonic_nanos() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}
