//! An engine on loopback that answers what the tests need, over TLS or in plain text, and keeps what it
//! was asked.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::fake::{Request, response};

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
                    while let Some(request) = next_request(&mut stream) {
                        kept.lock().unwrap().push(request.head.join("\n"));
                        let (status, body) = answer(&request.path);
                        let answer = response(status, body.into());
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

fn next_request(stream: &mut BufReader<Box<dyn Stream>>) -> Option<Request> {
    // Anything else than a method's name, as a TLS client would send, is no request, and has no end.
    let begins = stream.fill_buf().ok()?.first()?.is_ascii_uppercase();
    begins.then(|| Request::read(stream)).flatten()
}

/// What it answers to a request for a path: the status, and the body or what is wrong.
fn answer(path: &str) -> (u16, &'static str) {
    match path.trim_start_matches("/v1.41") {
        "/version" => (200, r#"{"ApiVersion":"1.41","Version":"0"}"#),
        "/info" => (
            200,
            r#"{"NCPU":2,"MemTotal":99999999999,"ServerVersion":"0"}"#,
        ),
        path if path.starts_with("/containers/json") => (200, "[]"),
        path if path.starts_with("/volumes") => (200, r#"{"Volumes":[]}"#),
        path if path.starts_with("/images/peerlab/") => (200, "{}"),
        _ => (404, "nothing is here"),
    }
}
