//! The forwarder: one listener, a numbered connection for each that dials, orders for all of them or for one.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::lane::{self, Ended, Orders};
use super::{Act, Conditions, Direction, Entry, Whom};

/// A forwarder on loopback.
pub struct Proxy {
    address: SocketAddr,
    house: Arc<Mutex<House>>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct House {
    entry: Entry,
    everybody: Conditions,
    accepted: u64,
    connections: BTreeMap<u64, Connection>,
}

struct Connection {
    up: watch::Sender<Orders>,
    down: watch::Sender<Orders>,
    cut: CancellationToken,
}

impl Proxy {
    /// Starts to forward connections to an address; the far end sees each come from a loopback address of its own.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(upstream: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listen")?;
        let address = listener.local_addr()?;
        let house = Arc::new(Mutex::new(House::default()));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, upstream, Arc::clone(&house)));
        Ok(Self { address, house, _tasks: tasks })
    }

    /// Where to connect to.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets what happens to the bytes of connections.
    pub fn set(&self, whom: Whom, conditions: Conditions) {
        let mut house = lock(&self.house);
        if whom == Whom::Everybody {
            house.everybody = conditions;
        }
        for connection in house.meant(whom) {
            connection.up.send_modify(|orders| orders.lane = conditions.up);
            connection.down.send_modify(|orders| orders.lane = conditions.down);
        }
    }

    /// Resets connections: what was on its way is lost. New ones are let through as before.
    pub fn cut(&self, whom: Whom) {
        for connection in lock(&self.house).meant(whom) {
            connection.cut.cancel();
        }
    }

    /// Resets connections that are there once so many bytes of their life have passed in a direction, so in the middle of a frame.
    pub fn cut_after(&self, whom: Whom, direction: Direction, bytes: u64) {
        for connection in lock(&self.house).meant(whom) {
            let side = match direction {
                Direction::Up => &connection.up,
                Direction::Down => &connection.down,
            };
            side.send_modify(|orders| orders.reset_after = Some(bytes));
        }
    }

    /// Lets one thing of a schedule happen to everybody; what lasts does so until [`Proxy::well_again`].
    pub fn act(&self, act: Act) {
        match act {
            Act::Cut => self.cut(Whom::Present),
            Act::CutAfter(direction, bytes) => self.cut_after(Whom::Present, direction, bytes),
            Act::Weather(conditions) => self.set(Whom::Everybody, conditions),
            Act::Closed(entry) => {
                self.entry(entry);
                self.cut(Whom::Present);
            }
        }
    }

    /// Ends whatever lasts.
    pub fn well_again(&self) {
        self.set(Whom::Everybody, Conditions::default());
        self.entry(Entry::Open);
    }

    /// Sets what becomes of those who dial from now on.
    pub fn entry(&self, entry: Entry) {
        lock(&self.house).entry = entry;
    }

    /// How often somebody dialled, whatever became of it.
    pub fn dialled(&self) -> u64 {
        lock(&self.house).accepted
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        lock(&self.house).connections.len()
    }
}

impl House {
    fn meant(&self, whom: Whom) -> impl Iterator<Item = &Connection> {
        self.connections
            .iter()
            .filter(move |(number, _)| match whom {
                Whom::Everybody | Whom::Present => true,
                Whom::One(one) => **number == one,
            })
            .map(|(_, connection)| connection)
    }

    /// The number and the orders of a new connection; none where nobody is let through.
    fn enter(&mut self) -> Option<(u64, watch::Receiver<Orders>, watch::Receiver<Orders>, CancellationToken)> {
        let number = self.accepted;
        self.accepted += 1;
        if self.entry == Entry::Refused {
            return None;
        }
        let reset_after = match self.entry {
            Entry::ResetAfter(bytes) => Some(bytes),
            Entry::Open | Entry::Refused => None,
        };
        let orders = |lane, reset_after| Orders { lane, reset_after };
        let connection = Connection {
            up: watch::Sender::new(orders(self.everybody.up, reset_after)),
            down: watch::Sender::new(orders(self.everybody.down, None)),
            cut: CancellationToken::new(),
        };
        let entered = (number, connection.up.subscribe(), connection.down.subscribe(), connection.cut.clone());
        self.connections.insert(number, connection);
        Some(entered)
    }
}

async fn accept(listener: TcpListener, upstream: SocketAddr, house: Arc<Mutex<House>>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((downstream, _)) = listener.accept().await else { return };
        let Some((number, up, down, cut)) = lock(&house).enter() else {
            reset(&downstream);
            continue;
        };
        let house = Arc::clone(&house);
        connections.spawn(async move {
            forward(downstream, upstream, number, up, down, cut).await;
            lock(&house).connections.remove(&number);
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn forward(
    mut downstream: TcpStream,
    upstream: SocketAddr,
    number: u64,
    up: watch::Receiver<Orders>,
    down: watch::Receiver<Orders>,
    cut: CancellationToken,
) {
    let Some(mut upstream) = connect(upstream, number).await else {
        reset(&downstream);
        return;
    };
    let (far_reader, far_writer) = upstream.split();
    let (near_reader, near_writer) = downstream.split();
    let both = async {
        let upward = async {
            match lane::carry(near_reader, far_writer, up).await {
                Ended::Closed => Ok(()),
                Ended::Reset => Err(()),
            }
        };
        let downward = async {
            match lane::carry(far_reader, near_writer, down).await {
                Ended::Closed => Ok(()),
                Ended::Reset => Err(()),
            }
        };
        tokio::try_join!(upward, downward).is_ok()
    };
    let ended_in_order = tokio::select! {
        ended = both => ended,
        () = cut.cancelled() => false,
    };
    if !ended_in_order {
        reset(&downstream);
        reset(&upstream);
    }
}

async fn connect(upstream: SocketAddr, number: u64) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().ok()?;
    let [.., high, low] = number.to_be_bytes();
    socket.bind(SocketAddr::from((Ipv4Addr::new(127, 9, high, low.max(1)), 0))).ok()?;
    let stream = tokio::time::timeout(CONNECT_TIMEOUT, socket.connect(upstream)).await.ok()?.ok()?;
    // A forwarder that waits to fill its packets would add what it measures.
    stream.set_nodelay(true).ok()?;
    Some(stream)
}

/// What the kernel still held is lost; where that cannot be set, the connection is closed in order instead.
fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}

fn lock(house: &Mutex<House>) -> MutexGuard<'_, House> {
    house.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Longest time a connection to the far end may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    async fn pair() -> (Proxy, TcpStream, TcpStream) {
        let far = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Proxy::start(far.local_addr().unwrap()).await.unwrap();
        let near = TcpStream::connect(proxy.address()).await.unwrap();
        let (far, _) = far.accept().await.unwrap();
        (proxy, near, far)
    }

    #[tokio::test]
    async fn bytes_pass_both_ways_and_a_cut_resets_both_ends() {
        let (proxy, mut near, mut far) = pair().await;
        let mut heard = [0; 2];
        near.write_all(b"up").await.unwrap();
        far.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"up");
        far.write_all(b"dn").await.unwrap();
        near.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"dn");
        assert_eq!((proxy.connections(), proxy.dialled()), (1, 1));
        proxy.cut(Whom::One(0));
        let kinds = [near.read(&mut heard).await, far.read(&mut heard).await].map(|read| read.unwrap_err().kind());
        assert_eq!(kinds, [std::io::ErrorKind::ConnectionReset; 2]);
    }

    #[tokio::test]
    async fn one_direction_may_stall_while_the_other_goes_on() {
        let (proxy, mut near, mut far) = pair().await;
        proxy.set(Whom::Present, Conditions::one_way(Direction::Up));
        near.write_all(b"up").await.unwrap();
        far.write_all(b"dn").await.unwrap();
        let mut heard = [0; 2];
        near.read_exact(&mut heard).await.unwrap();
        let nothing = tokio::time::timeout(Duration::from_millis(50), far.read(&mut heard)).await;
        assert!(nothing.is_err(), "{nothing:?}");
        proxy.set(Whom::Everybody, Conditions::default());
        far.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"up");
    }

    #[tokio::test]
    async fn whoever_dials_while_the_entry_is_closed_is_reset_and_counted() {
        let (proxy, _near, _far) = pair().await;
        proxy.entry(Entry::Refused);
        let mut late = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(late.read(&mut [0; 1]).await.is_err());
        assert_eq!((proxy.connections(), proxy.dialled()), (1, 2));
    }
}
