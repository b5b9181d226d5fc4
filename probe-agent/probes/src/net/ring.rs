//! Packets as the host's interfaces see them, in memory that the kernel shares with us (`TPACKET_V3` of packet(7)): no call and no copy
//! of ours a packet, and one wake-up for hundreds.
#![expect(
    unsafe_code,
    reason = "the memory is shared with the kernel, and the options of packet sockets have no safe wrappers"
)]

use std::io;
use std::os::fd::AsRawFd;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicU32, Ordering};

use socket2::{Domain, SockFilter, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::stamped::watch;

/// A packet socket that hears nothing, and costs the host nothing.
#[derive(Debug)]
pub(crate) struct RingSocket(Socket);

/// A packet socket that hears, in both directions, what its filter lets through, on every interface.
pub(crate) struct Ring {
    memory: Memory,
    watched: AsyncFd<Socket>,
    /// The block that the kernel hands over next.
    next: usize,
}

/// A packet at an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    /// By the kernel: wall clock, nanoseconds.
    pub at_ns: i64,
    pub direction: Direction,
    /// Number of the interface: where interfaces are stacked, a packet passes several.
    pub interface: u32,
    /// From its IP header on, as far as the filter lets it be kept.
    pub bytes: &'a [u8],
}

/// Which way a packet passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    In,
    Out,
}

impl RingSocket {
    /// Opens it; needs the right to raw sockets.
    pub(crate) fn open() -> io::Result<Self> {
        let socket = Socket::new(Domain::PACKET, Type::DGRAM, None)?;
        socket.set_nonblocking(true)?;
        set(&socket, PACKET_VERSION, &[TPACKET_V3])?;
        Ok(Self(socket))
    }
}

impl Ring {
    /// Begins to hear what a filter lets through, with room for so many packets of so many bytes at once; needs a running runtime, and no
    /// right any more.
    pub(crate) fn begin(RingSocket(socket): RingSocket, filter: &[SockFilter], packets: usize, bytes: usize) -> io::Result<Self> {
        let of_block = (BLOCK_BYTES / (BESIDE_BYTES + bytes)).max(1);
        let blocks = (packets / of_block + 1).clamp(BLOCKS_LEAST, BLOCKS_MOST);
        socket.attach_filter(filter)?;
        set(&socket, PACKET_RX_RING, &request(blocks))?;
        let memory = Memory::map(&socket, blocks)?;
        bind(&socket, libc::ETH_P_ALL)?;
        Ok(Self {
            memory,
            watched: watch(socket)?,
            next: 0,
        })
    }

    /// Ends it, and gives the memory back.
    pub(crate) fn end(self) -> io::Result<RingSocket> {
        let socket = self.watched.into_inner();
        bind(&socket, NOTHING)?;
        drop(self.memory);
        set(&socket, PACKET_RX_RING, &request(0))?;
        Ok(RingSocket(socket))
    }

    /// Takes what the kernel has handed over. It does so when a block is full, or a few milliseconds old.
    pub(crate) fn drain(&mut self, mut take: impl FnMut(Frame<'_>)) {
        for _ in 0..self.memory.blocks {
            let Some(block) = self.memory.ready(self.next) else { return };
            frames(block).for_each(&mut take);
            self.memory.give_back(self.next);
            self.next = (self.next + 1) % self.memory.blocks;
        }
    }

    /// Waits until there may be something to take.
    pub(crate) async fn readable(&self) {
        match self.watched.ready(Interest::READABLE | Interest::ERROR).await {
            Ok(mut guard) => guard.clear_ready(),
            // The runtime is ending.
            Err(_) => std::future::pending().await,
        }
    }

    /// How many packets did not fit since it was last asked.
    pub(crate) fn take_drops(&self) -> u32 {
        // `struct tpacket_stats_v3`: packets, drops, how often the ring was full.
        let mut counts = [0_u32; 3];
        let mut length = SIZE_OF_COUNTS;
        // SAFETY: the descriptor is borrowed for the call; the kernel writes at most `length` bytes, which is what `counts` has.
        let outcome = unsafe {
            libc::getsockopt(
                self.watched.get_ref().as_raw_fd(),
                libc::SOL_PACKET,
                PACKET_STATISTICS,
                counts.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        if outcome == 0 { counts[1] } else { 0 }
    }
}

/// The memory of a ring, mapped.
struct Memory {
    start: NonNull<u8>,
    blocks: usize,
}

// SAFETY: it is nobody else's but the kernel's, and whose a block is stands in its status word, which is read and written as an atomic.
unsafe impl Send for Memory {}
// SAFETY: shared references only look at status words.
unsafe impl Sync for Memory {}

impl Memory {
    fn map(socket: &Socket, blocks: usize) -> io::Result<Self> {
        let bytes = blocks * BLOCK_BYTES;
        // SAFETY: a new mapping, at an address that the kernel chooses, of the ring that the socket has.
        let mapped = unsafe { libc::mmap(null_mut(), bytes, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED, socket.as_raw_fd(), 0) };
        if mapped == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(mapped.cast()).ok_or_else(|| io::Error::other("the ring is mapped nowhere"))?;
        Ok(Self { start, blocks })
    }

    /// A block that is ours to read.
    fn ready(&mut self, block: usize) -> Option<&[u8]> {
        if self.status(block).load(Ordering::Acquire) & STATUS_USER == 0 {
            return None;
        }
        // SAFETY: the block lies within the mapping, and the kernel writes nothing to it until it is given back, which needs the reference
        // that this borrow holds.
        Some(unsafe { std::slice::from_raw_parts(self.at(block).as_ptr(), BLOCK_BYTES) })
    }

    fn give_back(&mut self, block: usize) {
        self.status(block).store(STATUS_KERNEL, Ordering::Release);
    }

    fn status(&self, block: usize) -> &AtomicU32 {
        // SAFETY: the word lies within the mapping, at a multiple of four bytes from the start of a page, and lives as long as this value.
        unsafe { AtomicU32::from_ptr(self.at(block).add(STATUS_AT).as_ptr().cast()) }
    }

    fn at(&self, block: usize) -> NonNull<u8> {
        // SAFETY: the remainder keeps it within the mapping.
        unsafe { self.start.add(block % self.blocks * BLOCK_BYTES) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: this very mapping, which nothing refers to any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.blocks * BLOCK_BYTES) };
    }
}

/// The packets of a block (`struct tpacket_block_desc`, then a chain of `struct tpacket3_hdr`).
fn frames(block: &[u8]) -> impl Iterator<Item = Frame<'_>> {
    let count = word(block, 12).unwrap_or_default();
    let mut at = word(block, 16);
    (0..count).map_while(move |_| {
        let start = usize::try_from(at?).ok()?;
        let header = block.get(start..)?;
        at = word(header, 0)?.checked_add(u32::try_from(start).ok()?);
        frame(header)
    })
}

fn frame(header: &[u8]) -> Option<Frame<'_>> {
    let (seconds, nanoseconds) = (word(header, 4)?, word(header, 8)?);
    let length = usize::try_from(word(header, 12)?).ok()?;
    let network = usize::from(u16::from_ne_bytes(header.get(26..28)?.try_into().ok()?));
    // Behind the header stands `struct sockaddr_ll`.
    let kind = *header.get(ADDRESS_AT + 10)?;
    Some(Frame {
        at_ns: i64::from(seconds) * 1_000_000_000 + i64::from(nanoseconds),
        direction: if kind == PACKET_OUTGOING { Direction::Out } else { Direction::In },
        interface: word(header, ADDRESS_AT + 4)?,
        bytes: header.get(network..network.checked_add(length)?)?,
    })
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// `struct tpacket_req3`: of so many blocks.
fn request(blocks: usize) -> [u32; 7] {
    let narrow = |number: usize| u32::try_from(number).unwrap_or_default();
    if blocks == 0 {
        return [0; 7];
    }
    let frames = blocks * (BLOCK_BYTES / FRAME_BYTES);
    [narrow(BLOCK_BYTES), narrow(blocks), narrow(FRAME_BYTES), narrow(frames), RETIRE_MS, 0, 0]
}

fn set(socket: &Socket, name: i32, words: &[u32]) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of_val(words)).map_err(io::Error::other)?;
    // SAFETY: the descriptor is borrowed for the call; pointer and length describe `words`, which the kernel only reads.
    let outcome = unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_PACKET, name, words.as_ptr().cast(), length) };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Binds a packet socket to a protocol of Ethernet on every interface.
pub(crate) fn bind(socket: &Socket, protocol: i32) -> io::Result<()> {
    let protocol = u16::try_from(protocol).map_err(io::Error::other)?;
    let address = libc::sockaddr_ll {
        sll_family: libc::c_ushort::try_from(libc::AF_PACKET).map_err(io::Error::other)?,
        sll_protocol: protocol.to_be(),
        sll_ifindex: 0,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let length = libc::socklen_t::try_from(size_of_val(&address)).map_err(io::Error::other)?;
    // SAFETY: the descriptor is borrowed for the call; pointer and length describe `address`, which the kernel only reads.
    let outcome = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A protocol that is nobody's (IEEE 802, local experimental): once bound to another, the kernel takes 0 for that one again.
pub(crate) const NOTHING: i32 = 0x88b5;
/// Options of packet sockets and their values (`linux/if_packet.h`).
const PACKET_RX_RING: i32 = 5;
const PACKET_STATISTICS: i32 = 6;
const PACKET_VERSION: i32 = 10;
const TPACKET_V3: u32 = 2;
const PACKET_OUTGOING: u8 = 4;
const STATUS_KERNEL: u32 = 0;
const STATUS_USER: u32 = 1;
/// Where the status stands in a block.
const STATUS_AT: usize = 8;
/// Where the address stands behind a packet's header.
const ADDRESS_AT: usize = 48;
const SIZE_OF_COUNTS: libc::socklen_t = 12;
/// What stands beside each packet, its alignment and its part of what stands beside a block.
const BESIDE_BYTES: usize = 112;
/// A block holds some hundred short packets, the largest ring more than eighty thousand.
const BLOCK_BYTES: usize = 64 * 1024;
const BLOCKS_LEAST: usize = 4;
const BLOCKS_MOST: usize = 256;
/// The kernel wants to know, though blocks hold packets of any length.
const FRAME_BYTES: usize = 2_048;
/// After what time a block that is not full is handed over.
const RETIRE_MS: u32 = 1;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A block as the kernel writes it, of packets with their interface and direction.
    fn block(packets: &[(u32, u8, &[u8])]) -> Vec<u8> {
        let mut block = vec![0; 48];
        block[12..16].copy_from_slice(&u32::try_from(packets.len()).unwrap().to_ne_bytes());
        block[16..20].copy_from_slice(&48_u32.to_ne_bytes());
        for (interface, kind, bytes) in packets {
            let mut header = vec![0; 80];
            let length = u32::try_from(bytes.len()).unwrap();
            let next = (80 + length).next_multiple_of(8);
            for (at, word) in [(0, next), (4, 1_700_000_000), (8, 5), (12, length), (ADDRESS_AT + 4, *interface)] {
                header[at..at + 4].copy_from_slice(&word.to_ne_bytes());
            }
            header[26..28].copy_from_slice(&80_u16.to_ne_bytes());
            header[ADDRESS_AT + 10] = *kind;
            header.extend(*bytes);
            header.resize(usize::try_from(next).unwrap(), 0);
            block.extend(header);
        }
        block
    }

    #[test]
    fn packets_of_a_block_come_in_order_with_time_direction_and_interface() {
        let block = block(&[(3, 4, b"request"), (3, 0, b"reply"), (9, 0, b"")]);
        let found: Vec<_> = frames(&block).collect();
        let expected = |direction, interface, bytes| Frame {
            at_ns: 1_700_000_000_000_000_005,
            direction,
            interface,
            bytes,
        };
        assert_eq!(
            found,
            [
                expected(Direction::Out, 3, &b"request"[..]),
                expected(Direction::In, 3, b"reply"),
                expected(Direction::In, 9, b"")
            ]
        );
    }

    proptest! {
        #[test]
        fn whatever_stands_in_a_block_is_read_within_its_bounds(mut bytes in proptest::collection::vec(any::<u8>(), 0..400), count in 0_u32..9, first in 0_u32..200) {
            for (at, word) in [(12, count), (16, first)] {
                if let Some(place) = bytes.get_mut(at..at + 4) {
                    place.copy_from_slice(&word.to_ne_bytes());
                }
            }
            prop_assert!(frames(&bytes).all(|frame| frame.bytes.len() <= bytes.len()));
        }
    }
}
