//! Servers for tests that fetch files.
#![allow(dead_code, reason = "some test binaries have no use for all of it")]

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use sha2::{Digest, Sha256};

/// A server that answers each request as the test says, one after the other, and writes down where each
/// asked to begin.
pub struct Server {
    address: String,
    starts: Arc<Mutex<Vec<Option<usize>>>>,
    stop: Arc<AtomicBool>,
}

impl Server {
    /// `answer` is given the number of the request and the byte that it asks to begin with.
    pub fn new(answer: impl Fn(usize, Option<usize>) -> Vec<u8> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("the machine has a loopback interface");
        let address = listener.local_addr().expect("the listener is bound").to_string();
        let (starts, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (log, stopped) = (starts.clone(), stop.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    break;
                }
                let mut stream = stream.expect("the client is there");
                let start = read_request(&stream);
                let count = {
                    let mut log = log.lock().expect("no other thread panicked");
                    log.push(start);
                    log.len() - 1
                };
                // A client may hang up early.
                let _ = stream.write_all(&answer(count, start));
            }
        });
        Server { address, starts, stop }
    }

    /// The address of a file.
    pub fn url(&self) -> String {
        format!("http://{}/file.bin", self.address)
    }

    /// Where each request asked to begin.
    pub fn starts(&self) -> Vec<Option<usize>> {
        self.starts.lock().expect("no other thread panicked").clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(&self.address);
    }
}

/// The first byte that a request asks for, if it names one.
fn read_request(stream: &TcpStream) -> Option<usize> {
    let lines = BufReader::new(stream).lines().map_while(|line| line.ok().filter(|line| !line.is_empty()));
    let mut start = None;
    for line in lines {
        let line = line.to_ascii_lowercase();
        if let Some(range) = line.strip_prefix("range: bytes=") {
            start = range.trim_end_matches('-').parse().ok();
        }
    }
    start
}

/// An answer with a status, headers and a body.
pub fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n");
    [head.as_bytes(), body].concat()
}

/// The answer with all of the body.
pub fn whole(body: &[u8]) -> Vec<u8> {
    answer("200 OK", "", body)
}

/// What follows the first `start` bytes.
pub fn rest(body: &[u8], start: usize) -> Vec<u8> {
    let range = format!("Content-Range: bytes {start}-{}/{}\r\n", body.len() - 1, body.len());
    answer("206 Partial Content", &range, &body[start..])
}

/// What a server says that honours ranges.
pub fn ranged(body: &[u8], start: Option<usize>) -> Vec<u8> {
    start.map_or_else(|| whole(body), |start| rest(body, start))
}

/// An answer that breaks off so many bytes before its end.
pub fn cut(mut answer: Vec<u8>, missing: usize) -> Vec<u8> {
    answer.truncate(answer.len() - missing);
    answer
}

/// An address where nobody listens.
pub fn refused() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("the machine has a loopback interface");
    let address = listener.local_addr().expect("the listener is bound");
    format!("http://{address}/file.bin")
}

/// The sum as it is published.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
