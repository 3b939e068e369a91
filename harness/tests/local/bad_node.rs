//! The program of a node that misbehaves. The tests compile it by itself and put it into an image;
//! its argument says in which way.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Where nodes are asked.
const RPC: &str = "127.0.0.1:18443";
/// A best block that nobody else has.
const TIP: &str = "aa";
/// For ever, as far as a test can tell.
const FOR_EVER: Duration = Duration::from_secs(3600);

fn main() {
    let way = std::env::args().nth(1).unwrap_or_default();
    if way == "ends" {
        eprintln!("reading \x1b[31msettings");
        eprintln!("no such option: -frobnicate");
        std::process::exit(7);
    }
    let listener = TcpListener::bind(RPC).expect("the port is free");
    for connection in listener.incoming().flatten() {
        let way = way.clone();
        std::thread::spawn(move || serve(&way, connection));
    }
}

/// Answers one question after the other.
fn serve(way: &str, connection: TcpStream) {
    let mut reader = BufReader::new(&connection);
    while let Some(question) = read_question(&mut reader) {
        let (status, body) = answer(way, &question);
        let length = body.len();
        let text = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n\r\n{body}");
        if (&connection).write_all(text.as_bytes()).is_err() {
            return;
        }
    }
}

/// The body of the next request.
fn read_question(reader: &mut BufReader<&TcpStream>) -> Option<String> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    String::from_utf8(body).ok()
}

/// The status and the body of an answer.
fn answer(way: &str, question: &str) -> (u16, String) {
    let asks = |method: &str| question.contains(&format!("\"{method}\""));
    match way {
        // Says again and again that it has a new block, and nothing else.
        "invents" if asks("getblockchaininfo") => ok(&chain_info(&new_tip())),
        "invents" if asks("waitfornewblock") => {
            std::thread::sleep(Duration::from_millis(2));
            ok(&format!("{{\"hash\":\"{}\",\"height\":200}}", new_tip()))
        }
        // Is of another network.
        "foreign" if asks("getblockchaininfo") => ok(&chain_info(TIP)),
        "foreign" if asks("getpeerinfo") => ok("[]"),
        "foreign" if asks("getnettotals") => refused(-32601, "Method not found"),
        "foreign" if asks("generatetoaddress") => refused(-5, "Invalid \\u001b[2J address"),
        "foreign" if asks("sendrawtransaction") => refused(-22, "TX decode failed"),
        "foreign" if asks("gettxoutsetinfo") => refused(-8, "muhash is not a valid hash_type"),
        "foreign" if asks("getblock") => refused(-5, "Block not found"),
        "locked" => (401, String::new()),
        _ => {
            std::thread::sleep(FOR_EVER);
            (200, String::new())
        }
    }
}

fn chain_info(tip: &str) -> String {
    format!("{{\"blocks\":200,\"bestblockhash\":\"{tip}\"}}")
}

fn new_tip() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("{:064x}", COUNT.fetch_add(1, Ordering::Relaxed))
}

fn ok(result: &str) -> (u16, String) {
    (200, format!("{{\"result\":{result},\"error\":null,\"id\":1}}"))
}

fn refused(code: i32, message: &str) -> (u16, String) {
    let error = format!("{{\"code\":{code},\"message\":\"{message}\"}}");
    (500, format!("{{\"result\":null,\"error\":{error},\"id\":1}}"))
}
