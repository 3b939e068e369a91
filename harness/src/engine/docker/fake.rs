//! An engine for tests, which answers as it is told.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "every test program uses a part of this, and what goes wrong here fails the test"
)]

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use bollard::{API_DEFAULT_VERSION, Docker};

/// Gives status and body, or what is wrong, for a method, a path, and how often the method was
/// asked for before. Status 0: no answer ever comes.
type Answer = dyn Fn(&str, &str, usize) -> (u16, String) + Send + Sync;
/// How often each method was asked for, and the last path.
type Asked = Mutex<(BTreeMap<String, usize>, String)>;

/// It lives as long as the test's process.
pub struct Fake {
    pub address: String,
    asked: Arc<Asked>,
}

impl Fake {
    pub fn start(
        answer: impl Fn(&str, &str, usize) -> (u16, String) + Send + Sync + 'static,
    ) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("tcp://{}", listener.local_addr().unwrap());
        let asked = Arc::<Asked>::default();
        let (seen, answer): (_, Arc<Answer>) = (asked.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, answer) = (seen.clone(), answer.clone());
                std::thread::spawn(move || serve(stream, &seen, &*answer));
            }
        });
        Fake { address, asked }
    }

    pub fn client(&self) -> Docker {
        Docker::connect_with_http(&self.address, 60, API_DEFAULT_VERSION).unwrap()
    }

    /// How often a method was asked for.
    pub fn asked(&self, method: &str) -> usize {
        let asked = self.asked.lock().unwrap();
        asked.0.get(method).copied().unwrap_or(0)
    }

    /// The path that was asked for last.
    pub fn last_path(&self) -> String {
        self.asked.lock().unwrap().1.clone()
    }
}

/// Answers the requests of one connection.
fn serve(stream: TcpStream, asked: &Asked, answer: &Answer) {
    let mut reader = BufReader::new(&stream);
    while let Some(Request { method, path, .. }) = Request::read(&mut reader) {
        let count = {
            let mut asked = asked.lock().unwrap();
            path.clone_into(&mut asked.1);
            let count = asked.0.entry(method.clone()).or_default();
            *count += 1;
            *count - 1
        };
        let (status, body) = answer(&method, &path, count);
        if status == 0 {
            loop {
                std::thread::park();
            }
        }
        if (&stream)
            .write_all(response(status, body).as_bytes())
            .is_err()
        {
            return;
        }
    }
}

/// An answer; where its status is an error's, `body` is what is wrong.
pub fn response(status: u16, mut body: String) -> String {
    if status >= 400 {
        body = serde_json::json!({ "message": body }).to_string();
    }
    format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// What an engine is asked.
pub struct Request {
    pub method: String,
    pub path: String,
    /// The first line and the headers.
    pub head: Vec<String>,
    pub body: Vec<u8>,
}

impl Request {
    /// The next request of a connection; `None` when it has ended.
    pub fn read(reader: &mut impl BufRead) -> Option<Request> {
        let lines = reader.by_ref().lines().map_while(Result::ok);
        let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
        let mut words = head.first()?.split(' ');
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let length = head.iter().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let is_length = name.eq_ignore_ascii_case("content-length");
            is_length.then(|| value.trim().parse().ok()).flatten()
        });
        let mut body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut body).ok()?;
        Some(Request {
            method,
            path,
            head,
            body,
        })
    }
}

/// A container as a list has it.
pub fn container(name: &str, labels: &HashMap<String, String>) -> String {
    serde_json::json!({ "Id": name, "Names": [format!("/{name}")], "Labels": labels, "State": "running" })
        .to_string()
}
