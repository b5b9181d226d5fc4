//! What brings programs their work that one byte to and fro on an open connection never reaches: programs are run, files opened, connections
//! dialled, names asked for, blocks read from the disk, pages touched for the first time.
#![expect(clippy::disallowed_types, reason = "what is observed is that programs are run")]

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tempfile::NamedTempFile;
use test_lab::clock;

/// What is needed for it.
pub(crate) struct Work {
    file: NamedTempFile,
    past_the_cache: File,
    page: Box<Page>,
    listener: TcpListener,
    resolver: UdpSocket,
    client: UdpSocket,
}

/// What is read past the cache goes to where a page begins.
#[repr(align(4096))]
struct Page([u8; PAGE]);

impl Work {
    pub(crate) fn new() -> Result<Self> {
        let mut file = NamedTempFile::new()?;
        file.write_all(&vec![1; FILE_PAGES * PAGE])?;
        file.as_file().sync_all()?;
        let past_the_cache = OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(file.path())?;
        let resolver = UdpSocket::bind(RESOLVER).context("a place for a resolver")?;
        let client = UdpSocket::bind("127.0.0.1:0")?;
        client.connect(resolver.local_addr()?)?;
        Ok(Self {
            file,
            past_the_cache,
            page: Box::new(Page([0; PAGE])),
            listener: TcpListener::bind("127.0.0.1:0")?,
            resolver,
            client,
        })
    }

    /// Each kind of work for its share of the time.
    pub(crate) fn run(&mut self, time: Duration) -> Result<()> {
        const KINDS: [fn(&mut Work, usize) -> Result<()>; 6] = [Work::execute, Work::open, Work::dial, Work::ask, Work::read_a_block, Work::touch];
        let share = time / u32::try_from(KINDS.len())?;
        for kind in KINDS {
            let began = clock::start();
            let mut number = 0;
            while began.elapsed() < share {
                kind(self, number)?;
                number += 1;
            }
        }
        Ok(())
    }

    fn execute(_: &mut Self, _: usize) -> Result<()> {
        let ended = Command::new("true")
            .args(["one", "two"])
            .stdin(Stdio::null())
            .status()
            .context("run a program")?;
        ensure!(ended.success(), "a program that does nothing failed");
        Ok(())
    }

    fn open(&mut self, _: usize) -> Result<()> {
        File::open(self.file.path()).context("open a file")?;
        Ok(())
    }

    fn dial(&mut self, _: usize) -> Result<()> {
        let dialled = TcpStream::connect(self.listener.local_addr()?).context("dial")?;
        let (accepted, _) = self.listener.accept()?;
        drop(dialled);
        drop(accepted);
        Ok(())
    }

    /// A question and its answer, which is the question with the bit that says so.
    fn ask(&mut self, _: usize) -> Result<()> {
        let mut message = *b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04name\x07example\x00\x00\x01\x00\x01";
        self.client.send(&message)?;
        let (length, from) = self.resolver.recv_from(&mut message)?;
        ensure!(length == message.len(), "half a question");
        message[2] |= 0x80;
        self.resolver.send_to(&message, from)?;
        self.client.recv(&mut message)?;
        Ok(())
    }

    fn read_a_block(&mut self, number: usize) -> Result<()> {
        let offset = u64::try_from(number % FILE_PAGES * PAGE)?;
        self.past_the_cache.read_exact_at(&mut self.page.0, offset).context("read past the cache")
    }

    /// The allocator gives so much back at once.
    fn touch(_: &mut Self, _: usize) -> Result<()> {
        let pages = vec![1_u8; 1_024 * PAGE];
        ensure!(std::hint::black_box(&pages).len() == 1_024 * PAGE, "no memory");
        Ok(())
    }
}

const PAGE: usize = 4_096;
const FILE_PAGES: usize = 256;
/// Where names are asked for, as `dns_latency` looks for it.
const RESOLVER: &str = "127.0.0.97:53";
