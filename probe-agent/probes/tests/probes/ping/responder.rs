//! A target that answers as a test wants: it reads the echo requests of its namespace and sends what it is told to.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

/// An ICMP message to send, and the address to send it from.
pub(crate) type Forged = (Ipv4Addr, Vec<u8>);

/// Answers every echo request until it is dropped.
pub(crate) struct Responder {
    stop: Arc<AtomicBool>,
    seen: Arc<AtomicU32>,
    thread: Option<JoinHandle<()>>,
}

impl Responder {
    /// Starts answering in the namespace of the calling thread. `answer` is given target and ICMP message of each request.
    pub(crate) fn start(answer: impl Fn(Ipv4Addr, &[u8]) -> Vec<Forged> + Send + 'static) -> Self {
        let (stop, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let mut socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        // It is handed its own replies too, and must not lose a request behind a flood of them.
        setsockopt(&socket, sockopt::RcvBufForce, &(16 * 1024 * 1024)).unwrap();
        let thread = std::thread::spawn({
            let (stop, seen) = (Arc::clone(&stop), Arc::clone(&seen));
            move || {
                let mut buffer = [0; 2_048];
                while !stop.load(Ordering::Relaxed) {
                    let Ok(length) = socket.read(&mut buffer) else { continue };
                    if length >= 28 && buffer[20] == 8 {
                        seen.fetch_add(1, Ordering::Relaxed);
                        let target = Ipv4Addr::from_octets(buffer[16..20].try_into().unwrap());
                        for (source, message) in answer(target, &buffer[20..length]) {
                            send(source, &message);
                        }
                    }
                }
            }
        });
        Self {
            stop,
            seen,
            thread: Some(thread),
        }
    }

    /// How many echo requests it has seen.
    pub(crate) fn seen(&self) -> u32 {
        self.seen.load(Ordering::Relaxed)
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let joined = thread.join();
            assert!(joined.is_ok() || std::thread::panicking(), "the responder panicked");
        }
    }
}

/// The right reply to a request.
pub(crate) fn reply(request: &[u8]) -> Vec<u8> {
    let mut message = request.to_vec();
    message[0] = 0;
    with_checksum(message)
}

/// An error of a type and code that quotes the first bytes of a request.
pub(crate) fn error(kind: u8, code: u8, target: Ipv4Addr, request: &[u8], quoted: usize) -> Vec<u8> {
    let mut message = vec![kind, code, 0, 0, 0, 0, 0, 0, 0x45, 0, 0, 84, 0, 0, 0, 0, 1, 1, 0, 0, 127, 0, 0, 1];
    message.extend(target.octets());
    message.extend(&request[..quoted]);
    with_checksum(message)
}

pub(crate) fn with_checksum(mut message: Vec<u8>) -> Vec<u8> {
    message[2..4].fill(0);
    let sum: u32 = message
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    message[2..4].copy_from_slice(&(!u16::try_from(folded).unwrap()).to_be_bytes());
    message
}

fn send(source: Ipv4Addr, message: &[u8]) {
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4)).unwrap();
    socket.bind(&SocketAddr::new(source.into(), 0).into()).unwrap();
    socket.send_to(message, &SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0).into()).unwrap();
}
