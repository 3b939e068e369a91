//! The program of a node that speaks no Bitcoin. The tests compile it by itself and put it into an image. Its
//! first argument is the value that it has, its second how long it takes to be ready, in milliseconds.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::time::Duration;

/// Where it says its value as the first line.
const GREETS: &str = "127.0.0.1:7000";
/// Where it answers HTTP.
const ANSWERS: &str = "127.0.0.1:7001";
/// Where it writes its value to.
const FILE: &str = "/data/value";

fn main() {
    let mut arguments = std::env::args().skip(1);
    let value = arguments.next().expect("a value");
    let takes = arguments.next().map_or(0, |ms| ms.parse().expect("a time"));
    println!("starting");
    std::thread::sleep(Duration::from_millis(takes));
    std::fs::write(FILE, &value).expect("the folder is there");
    let listen = |at| TcpListener::bind(at).expect("the port is free");
    let (greets, answers) = (listen(GREETS), listen(ANSWERS));
    println!("ready with value {value}");
    let greeting = format!("220 {value}\r\n");
    std::thread::spawn(move || {
        for mut connection in greets.incoming().flatten() {
            let _ = connection.write_all(greeting.as_bytes());
        }
    });
    for connection in answers.incoming().flatten() {
        let mut request = String::new();
        let mut lines = BufReader::new(&connection).lines();
        while let Some(Ok(line)) = lines.next() {
            if line.is_empty() {
                break;
            }
            request.push_str(&line);
        }
        let body = format!("{{\"state\":[{{\"value\":\"{value}\"}}]}}");
        let status = if request.starts_with("GET /state ") {
            200
        } else {
            404
        };
        let length = body.len();
        let text = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n\r\n{body}");
        let _ = (&connection).write_all(text.as_bytes());
    }
}
