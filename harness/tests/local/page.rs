//! A network as a page: who is let in, what is told, and that what a button asks for is done and seen at
//! once.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::networks_of::User;
use crate::processes::eventually;

/// A page that is served.
struct Page {
    process: Child,
    host: String,
    path: String,
}

impl Page {
    fn of(user: &User) -> Page {
        let mut command = user.command("watch --web --json");
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let out = process.stdout.take().unwrap();
        let mut text = String::new();
        let mut out = BufReader::new(out);
        while !text.ends_with("}\n") {
            assert_ne!(out.read_line(&mut text).unwrap(), 0, "{text}");
        }
        let told: Value = serde_json::from_str(&text).unwrap();
        let address = told["address"].as_str().unwrap();
        let (host, path) = address
            .strip_prefix("http://")
            .unwrap()
            .split_once('/')
            .unwrap();
        Page {
            process,
            host: host.to_owned(),
            path: format!("/{path}"),
        }
    }

    /// Status and all of what is answered.
    fn ask(&self, head: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.host).unwrap();
        let length = body.len();
        let request =
            format!("{head}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).and_then(|it| it.parse().ok());
        (status.unwrap_or_else(|| panic!("{answer}")), answer)
    }

    fn get(&self, what: &str) -> (u16, String) {
        let (host, path) = (&self.host, &self.path);
        self.ask(&format!("GET {path}{what} HTTP/1.1\r\nHost: {host}"), "")
    }

    fn state(&self) -> Value {
        let (status, answer) = self.get("state?since=0");
        assert_eq!(status, 200, "{answer}");
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    fn order(&self, origin: &str, order: &str) -> (u16, String) {
        let (host, path) = (&self.host, &self.path);
        let head = format!(
            "POST {path}do HTTP/1.1\r\nHost: {host}\r\n{origin}Content-Type: application/json"
        );
        self.ask(&head, order)
    }

    fn ours(&self) -> String {
        format!("Origin: http://{}\r\n", self.host)
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_page_shows_the_network_and_has_buttons_that_work() {
    let user = User::of("local");
    user.up("4 --name net");
    let mut page = Page::of(&user);
    let (status, text) = page.get("");
    assert_eq!(status, 200, "{text}");
    assert!(
        text.contains("content-security-policy: default-src 'none'"),
        "{text}"
    );
    let state = page.state();
    assert_eq!(state["nodes"].as_array().unwrap().len(), 4);
    let (_, graph) = page.get("graph");
    let graph: Value = serde_json::from_str(graph.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(graph["nodes"].as_array().unwrap().len(), 4);
    assert!(!graph["links"].as_array().unwrap().is_empty(), "{graph}");

    let (status, said) = page.order(&page.ours(), "\"partition\"");
    assert!(status == 200 && said.contains("partition of"), "{said}");
    let state = page.state();
    assert_eq!(state["faults"].as_array().unwrap().len(), 1, "{state}");
    assert_eq!(
        state["samples"].as_array().unwrap().last().unwrap()["faulty"],
        true
    );
    let (_, said) = page.order(&page.ours(), "\"heal\"");
    assert!(said.contains("1 fault ended"), "{said}");
    let (_, said) = page.order(&page.ours(), r#"{"kill":"peers-1"}"#);
    assert!(said.contains("kill of peers-1"), "{said}");
    let marks = |state: &Value| {
        let samples = state["samples"].as_array().unwrap().clone();
        samples.last().unwrap()["marks"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(marks(&page.state()).chars().nth(1), Some('x'));
    // Those that were removed are on no side.
    user.says("remove peers-0");
    eventually(|| (page.state()["nodes"][0]["state"] == "removed").then_some(()));
    let (_, said) = page.order(&page.ours(), "\"partition\"");
    assert!(said.contains("partition of 1 | 2 nodes"), "{said}");
    let (status, said) = page.order(&page.ours(), r#"{"kill":"peers-9"}"#);
    assert!(status == 200 && said.contains("unknown node"), "{said}");
    let (status, _) = page.order(&page.ours(), "\"explode\"");
    assert_eq!(status, 400);
    let (status, _) = page.order(&page.ours(), &"x".repeat(5 << 10));
    assert_eq!(status, 400);

    user.says("down");
    assert_eq!(page.process.wait().unwrap().code(), Some(0));
}

#[test]
fn a_page_is_nobody_elses() {
    let user = User::of("local");
    user.up("2 --name net");
    let page = Page::of(&user);
    let (host, path) = (&page.host, &page.path);
    let wrong = path.replace(['0', 'a'], "b");
    let port = host.rsplit_once(':').unwrap().1;
    for head in [
        format!("GET {wrong}b/ HTTP/1.1\r\nHost: {host}"),
        format!("GET / HTTP/1.1\r\nHost: {host}"),
        format!("GET {path} HTTP/1.1\r\nHost: evil.example:{port}"),
        format!("GET {path}state HTTP/1.1\r\nHost: {host}\r\nOrigin: http://evil.example"),
    ] {
        let (status, answer) = page.ask(&head, "");
        assert_eq!(status, 403, "{head}: {answer}");
        assert!(!answer.contains("peers-"), "{answer}");
    }
    for origin in ["", "Origin: null\r\n", "Origin: http://evil.example\r\n"] {
        let (status, answer) = page.order(origin, "\"partition\"");
        assert_eq!(status, 403, "{origin}: {answer}");
    }
    assert_eq!(user.tells("status --json")["faults"], serde_json::json!([]));
    // Nobody reaches it from another machine.
    let listens = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let port: u16 = port.parse().unwrap();
    let local = format!(" 0100007F:{port:04X} 00000000:0000 0A");
    assert!(listens.contains(&local), "{listens}");
    user.says("down");
}
