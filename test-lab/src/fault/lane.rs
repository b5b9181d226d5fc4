//! One direction of one connection: bytes in order, as late, as slow and as stuck as they are told to be.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::watch;
use tokio::time::Instant;

use super::Lane;
use crate::clock;

/// What one direction is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Orders {
    pub(super) lane: Lane,
    /// The connection is reset once so many more bytes have passed.
    pub(super) reset_after: Option<u64>,
}

/// Why a direction carries no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// The sender closed its side, which the receiver was told.
    Closed,
    /// The connection must be reset.
    Reset,
}

/// Carries bytes until the sender closes, an end fails, or the orders say reset.
pub(super) async fn carry(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, mut orders: watch::Receiver<Orders>) -> Ended {
    let mut waiting: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
    let mut passed = 0_u64;
    let mut at_end = false;
    let mut buffer = vec![0; CHUNK];
    loop {
        let Orders { lane, reset_after } = *orders.borrow_and_update();
        let due = waiting.front().map(|(due, _)| *due);
        let may_read = !lane.stalled && !at_end && waiting.len() < CHUNKS;
        let may_write = !lane.stalled;
        tokio::select! {
            biased;
            changed = orders.changed() => if changed.is_err() { return Ended::Reset },
            read = from.read(&mut buffer), if may_read => match read {
                Ok(0) => at_end = true,
                Ok(length) => waiting.push_back((clock::tokio_now() + lane.delay, buffer.get(..length).unwrap_or_default().to_vec())),
                Err(_) => return Ended::Reset,
            },
            () = until(due), if may_write && due.is_some() => {
                let Some((_, mut bytes)) = waiting.pop_front() else { continue };
                let allowed = reset_after.map_or(u64::MAX, |after| after.saturating_sub(passed));
                let length = usize::try_from(allowed).unwrap_or(usize::MAX).min(bytes.len());
                let cut = length < bytes.len();
                bytes.truncate(length);
                if write(&mut to, &bytes, lane.bytes_per_second).await.is_err() || cut {
                    return Ended::Reset;
                }
                passed += u64::try_from(length).unwrap_or(0);
            }
            // The end of the stream waits its turn behind the last bytes.
            () = std::future::ready(()), if at_end && waiting.is_empty() && may_write => {
                return if to.shutdown().await.is_ok() { Ended::Closed } else { Ended::Reset };
            }
        }
    }
}

/// A slow lane passes small pieces with rests between them.
async fn write(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8], bytes_per_second: Option<u32>) -> std::io::Result<()> {
    let Some(rate) = bytes_per_second else { return to.write_all(bytes).await };
    let rate = rate.max(1);
    let piece = usize::try_from(rate / PIECES_PER_SECOND).unwrap_or(usize::MAX).max(1);
    for piece in bytes.chunks(piece) {
        to.write_all(piece).await?;
        let length = u32::try_from(piece.len()).unwrap_or(u32::MAX);
        tokio::time::sleep(Duration::from_secs(1) * length / rate).await;
    }
    Ok(())
}

async fn until(due: Option<Instant>) {
    if let Some(due) = due {
        tokio::time::sleep_until(due).await;
    }
}

/// Most bytes read at once.
const CHUNK: usize = 16 * 1024;
/// Most chunks that wait inside; the sender's own buffers fill after that.
const CHUNKS: usize = 64;
/// How finely a slow lane is divided.
const PIECES_PER_SECOND: u32 = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{DuplexStream, duplex};
    use tokio::task::JoinHandle;

    struct Bench {
        orders: watch::Sender<Orders>,
        sender: DuplexStream,
        receiver: DuplexStream,
        carrying: JoinHandle<Ended>,
    }

    #[expect(clippy::disallowed_methods, reason = "a test's own task, waited for")]
    fn bench() -> Bench {
        let orders = watch::Sender::new(Orders::default());
        let (sender, from) = duplex(1 << 20);
        let (to, receiver) = duplex(1 << 20);
        let carrying = tokio::spawn(carry(from, to, orders.subscribe()));
        Bench {
            orders,
            sender,
            receiver,
            carrying,
        }
    }

    async fn heard_within(receiver: &mut DuplexStream, time: Duration) -> String {
        let mut heard = Vec::new();
        let _ = tokio::time::timeout(time, receiver.read_to_end(&mut heard)).await;
        String::from_utf8(heard).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_stalled_lane_keeps_its_bytes_and_gives_them_later_in_order() {
        let mut bench = bench();
        bench.sender.write_all(b"a").await.unwrap();
        assert_eq!(heard_within(&mut bench.receiver, Duration::from_secs(1)).await, "a");
        bench.orders.send_modify(|orders| orders.lane.stalled = true);
        bench.sender.write_all(b"bc").await.unwrap();
        bench.sender.shutdown().await.unwrap();
        assert_eq!(heard_within(&mut bench.receiver, Duration::from_hours(1)).await, "", "not even the end");
        bench.orders.send_modify(|orders| orders.lane.stalled = false);
        assert_eq!(heard_within(&mut bench.receiver, Duration::from_secs(1)).await, "bc");
        assert_eq!(bench.carrying.await.unwrap(), Ended::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_lane_is_late_and_a_slow_one_slow() {
        let mut bench = bench();
        bench.orders.send_modify(|orders| orders.lane.delay = Duration::from_secs(2));
        bench.sender.write_all(b"x").await.unwrap();
        assert_eq!(heard_within(&mut bench.receiver, Duration::from_millis(1_900)).await, "");
        assert_eq!(heard_within(&mut bench.receiver, Duration::from_millis(200)).await, "x");
        bench.orders.send_modify(|orders| {
            orders.lane = Lane {
                bytes_per_second: Some(100),
                ..Lane::default()
            };
        });
        bench.sender.write_all(&[b'y'; 1_000]).await.unwrap();
        let heard = heard_within(&mut bench.receiver, Duration::from_secs(5)).await.len();
        assert!((450..=550).contains(&heard), "{heard}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_reset_comes_in_the_middle_of_a_frame() {
        let mut bench = bench();
        bench.orders.send_modify(|orders| orders.reset_after = Some(3));
        bench.sender.write_all(b"abcdef").await.unwrap();
        assert_eq!(bench.carrying.await.unwrap(), Ended::Reset);
        assert_eq!(heard_within(&mut bench.receiver, Duration::from_secs(1)).await, "abc");
    }
}
