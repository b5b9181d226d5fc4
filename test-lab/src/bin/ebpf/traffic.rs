//! One byte to and fro.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use test_lab::clock;

/// A connection whose other end gives back what it gets; both on one CPU.
pub(crate) struct PingPong {
    stream: TcpStream,
    _other: JoinHandle<()>,
}

impl PingPong {
    pub(crate) fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let other = std::thread::spawn(move || {
            // It ends with the connection.
            if let (Ok(()), Ok((stream, _))) = (pin(), listener.accept()) {
                give_back(stream);
            }
        });
        let stream = TcpStream::connect(address).context("connect to the other end")?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, _other: other })
    }

    /// As often as it can for so long; round trips a second.
    pub(crate) fn run(&mut self, time: Duration) -> Result<f64> {
        let stream = &mut self.stream;
        // On a thread of its own: where a thread may run is its own matter.
        std::thread::scope(|scope| {
            let running = scope.spawn(|| -> Result<f64> {
                pin()?;
                let began = clock::start();
                let mut round_trips = 0_u32;
                while began.elapsed() < time {
                    for _ in 0..BATCH {
                        round_trip(stream)?;
                    }
                    round_trips += BATCH;
                }
                Ok(f64::from(round_trips) / began.elapsed().as_secs_f64())
            });
            running.join().map_err(|_| anyhow::anyhow!("the traffic stopped"))?
        })
    }

    /// So many a second for so long; how many, and how long it took.
    pub(crate) async fn run_at(&mut self, rate: u32, time: Duration) -> Result<(f64, Duration)> {
        let mut turns = tokio::time::interval(Duration::from_millis(1));
        turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
        let began = clock::start();
        let mut round_trips = 0_u32;
        while began.elapsed() < time {
            turns.tick().await;
            for _ in 0..rate / 1_000 {
                round_trip(&mut self.stream)?;
                round_trips += 1;
            }
        }
        Ok((f64::from(round_trips), began.elapsed()))
    }
}

fn round_trip(stream: &mut TcpStream) -> Result<()> {
    stream.write_all(&[1])?;
    stream.read_exact(&mut [0])?;
    Ok(())
}

fn give_back(mut stream: TcpStream) {
    let mut byte = [0];
    if stream.set_nodelay(true).is_err() {
        return;
    }
    while stream.read_exact(&mut byte).is_ok() && stream.write_all(&byte).is_ok() {}
}

/// Puts the calling thread onto the second CPU, where there is one.
fn pin() -> Result<()> {
    let cpus = std::thread::available_parallelism()?.get();
    let mut set = CpuSet::new();
    set.set(1.min(cpus - 1))?;
    sched_setaffinity(Pid::from_raw(0), &set).context("choose a CPU")
}

/// Round trips between two looks at the clock.
const BATCH: u32 = 64;
