//! An engine on loopback that answers what the tests need, and keeps what it was asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// It ends with the test's process.
pub struct FakeEngine {
    pub port: u16,
    heads: Arc<Mutex<Vec<String>>>,
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

impl FakeEngine {
    pub fn plain() -> FakeEngine {
        FakeEngine::serve(|stream| Box::new(stream))
    }

    pub fn tls(config: ServerConfig) -> FakeEngine {
        let config = Arc::new(config);
        FakeEngine::serve(move |stream| {
            let connection = ServerConnection::new(config.clone()).unwrap();
            Box::new(StreamOwned::new(connection, stream))
        })
    }

    /// Its address, as `DOCKER_HOST` has it.
    pub fn host(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.port)
    }

    /// The heads of all requests so far.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    fn serve(wrap: impl Fn(TcpStream) -> Box<dyn Stream> + Send + Sync + 'static) -> FakeEngine {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let (kept, wrap) = (heads.clone(), Arc::new(wrap));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (kept, wrap) = (kept.clone(), wrap.clone());
                std::thread::spawn(move || {
                    let mut stream = BufReader::new(wrap(stream));
                    while let Some(head) = next_request(&mut stream) {
                        let answer = answer(head.lines().next().unwrap_or_default());
                        kept.lock().unwrap().push(head);
                        if stream.get_mut().write_all(answer.as_bytes()).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        FakeEngine { port, heads }
    }
}

/// The head of the next request, whose body is read as well.
fn next_request(stream: &mut BufReader<Box<dyn Stream>>) -> Option<String> {
    // Anything else than a method's name, as a TLS client would send, is no request.
    if !stream.fill_buf().ok()?.first()?.is_ascii_uppercase() {
        return None;
    }
    let mut head = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        head.push_str(&line);
    }
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length = length.map_or(0, |length| length.trim().parse().unwrap());
    std::io::copy(&mut stream.by_ref().take(length), &mut std::io::sink()).ok()?;
    Some(head)
}

/// What it answers to a request's first line.
fn answer(line: &str) -> String {
    let path = line.split(' ').nth(1).unwrap_or_default();
    let (status, body) = match path.trim_start_matches("/v1.41") {
        "/version" => ("200 OK", r#"{"ApiVersion":"1.41","Version":"0"}"#),
        "/info" => (
            "200 OK",
            r#"{"NCPU":2,"MemTotal":99999999999,"ServerVersion":"0"}"#,
        ),
        path if path.starts_with("/containers/json") => ("200 OK", "[]"),
        path if path.starts_with("/images/peerlab/") => ("200 OK", "{}"),
        _ => ("404 Not Found", r#"{"message":"nothing is here"}"#),
    };
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}
