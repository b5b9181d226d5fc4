//! How a session ends: the close code for the peer, and the reason for the record.

use std::time::Duration;

use shared_protocol::close::CloseReason;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::socket::Socket;

/// Why a session's connection ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ending {
    /// For a reason of the protocol.
    Reason(CloseReason),
    /// A binary message came.
    Binary,
    /// What came is no WebSocket.
    NotWebSocket,
    /// A text that is not UTF-8 came.
    NotUtf8,
    /// A flood of frames without content came.
    EmptyFrames,
    /// A flood of pings came.
    TooFast,
    /// The peer does not read.
    Blocked,
    /// The peer closed, with its code and text.
    ByPeer(Option<(u16, String)>),
    /// The connection is gone.
    Gone,
}

impl Ending {
    /// What an error of the library means.
    pub(super) fn of_error(error: &Error) -> Self {
        match error {
            Error::Capacity(CapacityError::MessageTooLong { .. }) => Self::Reason(CloseReason::TooBig),
            Error::Utf8(_) => Self::NotUtf8,
            Error::WriteBufferFull(_) => Self::Blocked,
            Error::ConnectionClosed
            | Error::AlreadyClosed
            | Error::Io(_)
            | Error::Tls(_)
            | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake | ProtocolError::SendAfterClosing) => Self::Gone,
            Error::Capacity(_) | Error::Protocol(_) | Error::AttackAttempt | Error::Url(_) | Error::Http(_) | Error::HttpFormat(_) => Self::NotWebSocket,
        }
    }

    /// What is recorded.
    pub(super) fn reason(&self) -> CloseReason {
        match self {
            Self::Reason(reason) => *reason,
            Self::Binary => CloseReason::UnsupportedData,
            Self::NotWebSocket | Self::NotUtf8 | Self::EmptyFrames => CloseReason::BadEnvelope,
            Self::TooFast => CloseReason::TooFast,
            Self::Blocked => CloseReason::Busy { retry_after_ms: None },
            Self::ByPeer(Some((code, text))) => CloseReason::from_close_frame(*code, text),
            Self::ByPeer(None) | Self::Gone => CloseReason::GoingAway,
        }
    }

    /// The close frame (RFC 6455 section 7.4), where one can still be read.
    fn frame(&self) -> Option<CloseFrame> {
        let (code, text) = match self {
            Self::NotWebSocket => (1002, "not_websocket".to_owned()),
            Self::NotUtf8 => (1007, "not_utf8".to_owned()),
            Self::EmptyFrames => (1008, "empty_frames".to_owned()),
            Self::Reason(_) | Self::Binary | Self::TooFast | Self::Blocked => (self.reason().code(), self.reason().text()),
            Self::ByPeer(_) | Self::Gone => return None,
        };
        Some(CloseFrame {
            code: CloseCode::from(code),
            reason: text.into(),
        })
    }
}

/// Tells the peer why, and lets go of the connection so that the peer can read it: unread bytes at the end would reset the connection and
/// throw the close frame away.
pub(super) async fn close(socket: Socket, ending: Ending) {
    let frame = ending.frame();
    let mut stream = socket.into_stream();
    let last = async {
        if let Some(frame) = frame {
            let _ = stream.close(Some(frame)).await;
        } else {
            let _ = futures_util::SinkExt::flush(&mut stream).await;
        }
        let mut transport = stream.into_inner();
        let _ = transport.shutdown().await;
        let mut thrown_away = [0; 1_024];
        while matches!(transport.read(&mut thrown_away).await, Ok(read) if read > 0) {}
    };
    // A peer that neither reads nor closes is let go of.
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, last).await;
}

const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
