//! The other end of a session: the server's machine over a WebSocket in memory.

use futures_util::{SinkExt, StreamExt};
use shared_protocol::frame::{Ack, Hello, Run, Welcome};
use shared_protocol::id::{JobId, JobRef, Sequence};
use shared_protocol::session::{Jitter, ServerEffect, ServerSession};
use tokio::io::DuplexStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};

use crate::clock;
use crate::link::heard::{Heard, LastByte};
use crate::link::http::websocket_config;

pub(super) struct Plane {
    pub(super) socket: WebSocketStream<DuplexStream>,
    pub(super) session: ServerSession,
    pub(super) hello: Option<Hello>,
}

/// The agent's end of a fresh connection, and the plane at the other.
pub(super) async fn connect() -> ((WebSocketStream<Heard<DuplexStream>>, LastByte), Plane) {
    let (near, far) = tokio::io::duplex(256 * 1024);
    let (near, heard) = Heard::new(near);
    let near = WebSocketStream::from_raw_socket(near, Role::Client, Some(websocket_config())).await;
    let plane = Plane {
        socket: WebSocketStream::from_raw_socket(far, Role::Server, None).await,
        session: ServerSession::new(Jitter::from_seed(1), clock::monotonic()),
        hello: None,
    };
    ((near, heard), plane)
}

impl Plane {
    /// The next thing the agent says; `None` once it closed.
    pub(super) async fn effect(&mut self) -> Option<ServerEffect> {
        loop {
            self.flush().await;
            if let Some(effect) = self.session.poll_effect() {
                return Some(effect);
            }
            match self.socket.next().await? {
                Ok(Message::Text(text)) => self.session.handle_text(&text, clock::monotonic()),
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// Waits for `hello` and answers it: everything the agent has in hand stays its own.
    pub(super) async fn welcome(&mut self, up_to: u64) -> Hello {
        let Some(ServerEffect::Hello(hello)) = self.effect().await else {
            panic!("no hello")
        };
        self.session.welcome(
            Welcome {
                version: 1,
                server_time_us: clock::wall(),
                ack: Ack {
                    incarnation: hello.outbox.incarnation,
                    up_to: Sequence::new(up_to).unwrap(),
                },
                readopted: hello.in_hand.clone(),
                drop: Vec::new(),
                keepalive_ms: 15_000,
            },
            clock::monotonic(),
        );
        self.flush().await;
        self.hello = Some((*hello).clone());
        *hello
    }

    /// Waits for credit, then hands a job over.
    pub(super) async fn run(&mut self, run: Run) {
        while !matches!(self.effect().await, Some(ServerEffect::Credit { .. })) {}
        self.session.run(run);
        self.flush().await;
    }

    /// Waits for the next report.
    pub(super) async fn report(&mut self) -> (Sequence, JobRef, String) {
        loop {
            if let ServerEffect::Report { seq, job, body } = self.effect().await.expect("the agent closed") {
                return (seq, job, body);
            }
        }
    }

    pub(super) async fn ack(&mut self, up_to: Sequence) {
        let incarnation = self.hello.as_ref().unwrap().outbox.incarnation;
        self.session.ack(Ack { incarnation, up_to });
        self.flush().await;
    }

    pub(super) async fn cancel(&mut self, job: JobId) {
        self.session.cancel(vec![job]);
        self.flush().await;
    }

    /// Waits for the agent's close frame.
    pub(super) async fn closed(&mut self) -> CloseFrame {
        loop {
            let message = self.socket.next().await.expect("the agent went without a close frame").unwrap();
            if let Message::Close(frame) = message {
                return frame.expect("a close frame with a code");
            }
        }
    }

    pub(super) async fn flush(&mut self) {
        while let Some(text) = self.session.poll_transmit(clock::monotonic()) {
            self.socket.send(Message::text(text)).await.unwrap();
        }
    }
}
