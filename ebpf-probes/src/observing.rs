//! One observation under way: what each can do, and the single match from its name to its programs.

use std::net::IpAddr;
use std::path::PathBuf;

use ebpf_package::Package;
use shared_protocol::report::{Masked, ProgramCost, Seen, SelfCheck};
use shared_protocol::spec::Observation;

use crate::accounting;
use crate::attach::Attachment;
use crate::biolatency::Biolatency;
use crate::connect_latency::ConnectLatency;
use crate::connects::Connects;
use crate::custom::Custom;
use crate::dns_latency::DnsLatency;
use crate::drops::Drops;
use crate::error::ObserveError;
use crate::exec::Exec;
use crate::files::Files;
use crate::kernel::Kernel;
use crate::memory::Memory;
use crate::offcpu::Offcpu;
use crate::packets::Packets;
use crate::profile::Profile;
use crate::programs::Programs;
use crate::retransmits::Retransmits;
use crate::runqlat::Runqlat;
use crate::syscalls::Syscalls;
use crate::tcp_flows::TcpFlows;
use crate::tls_latency::TlsLatency;
use crate::traffic::Traffic;
use crate::udp_flows::UdpFlows;

/// What is asked of an observation.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// What is observed.
    pub observation: Observation,
    /// Most entries told.
    pub top: usize,
    /// Only what has this port at one of its ends.
    pub port: Option<u16>,
    /// Only what has this address at one of its ends.
    pub address: Option<IpAddr>,
    /// Only what this process does.
    pub pid: Option<u32>,
    /// The files with OpenSSL that the owner names; those that are found where there are none.
    pub libraries: &'a [PathBuf],
    /// What the owner hides.
    pub masked: &'a [Masked],
    /// The loopback port to which whoever asked tries to connect, to check that anything is seen; 0 for none.
    pub check_port: u16,
}

impl Ask<'_> {
    /// Everything that there is to see, unchecked.
    pub const fn everything(observation: Observation) -> Self {
        Self {
            observation,
            top: 1,
            port: None,
            address: None,
            pid: None,
            libraries: &[],
            masked: &[],
            check_port: 0,
        }
    }
}

/// When an observation is to be looked at again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Some ten times a second: its programs tell what happens one by one, and there is room for so much.
    Soon,
    /// Whenever something else is of interest: all that it sees is counted in the kernel.
    Later,
}

/// What every observation can do.
pub(crate) trait Observer: Send {
    /// Its programs in the kernel.
    fn programs(&self) -> &Programs;

    /// The same, to change them.
    fn programs_mut(&mut self) -> &mut Programs;

    /// Takes in what waits in a ring; most is counted in the kernel until somebody asks.
    fn gather(&mut self) -> Look {
        Look::Later
    }

    /// What was seen up to now.
    fn seen(&mut self) -> Result<Seen, ObserveError>;

    /// The same at the end, where that is more than can be told each time.
    fn found(&mut self) -> Result<Seen, ObserveError> {
        self.seen()
    }

    /// What was seen and cannot be told.
    fn lost(&self) -> Result<u64, ObserveError> {
        self.programs().lost()
    }

    /// Whether the programs saw what was done to check them.
    fn self_check(&self) -> Result<SelfCheck, ObserveError> {
        self.programs().self_check()
    }
}

/// An observation under way. Its programs and maps are gone when it is dropped.
pub struct Observing(Under);

enum Under {
    Ours(Box<dyn Observer>),
    Custom(Box<Custom>),
}

impl Observing {
    /// Loads the programs and puts them onto their hooks.
    ///
    /// # Errors
    /// [`ObserveError`]: with its remedy.
    pub fn start(kernel: &Kernel, ask: &Ask<'_>) -> Result<Self, ObserveError> {
        Ok(Self(Under::Ours(match ask.observation {
            Observation::TcpFlows => Box::new(TcpFlows::start(kernel, ask)?),
            Observation::ConnectLatency => Box::new(ConnectLatency::start(kernel, ask)?),
            Observation::Drops => Box::new(Drops::start(kernel, ask)?),
            Observation::Retransmits => Box::new(Retransmits::start(kernel, ask)?),
            Observation::Runqlat => Box::new(Runqlat::start(kernel, ask)?),
            Observation::Biolatency => Box::new(Biolatency::start(kernel, ask)?),
            Observation::Profile => Box::new(Profile::start(kernel, ask)?),
            Observation::Offcpu => Box::new(Offcpu::start(kernel, ask)?),
            Observation::Memory => Box::new(Memory::start(kernel, ask)?),
            Observation::Exec => Box::new(Exec::start(kernel, ask)?),
            Observation::Files => Box::new(Files::start(kernel, ask)?),
            Observation::Connects => Box::new(Connects::start(kernel, ask)?),
            Observation::Syscalls => Box::new(Syscalls::start(kernel, ask)?),
            Observation::Packets => Box::new(Packets::start(kernel, ask)?),
            Observation::Interface => Box::new(Traffic::start(kernel, ask)?),
            Observation::UdpFlows => Box::new(UdpFlows::start(kernel, ask)?),
            Observation::DnsLatency => Box::new(DnsLatency::start(kernel, ask)?),
            Observation::TlsLatency => Box::new(TlsLatency::start(kernel, ask)?),
            Observation::Custom => return Err(ObserveError::NoPackage),
        })))
    }

    /// The same with a package of somebody's own, whose signature the caller has found to be trusted.
    ///
    /// # Errors
    /// [`ObserveError::Custom`]; [`ObserveError::NotCounted`] where the kernel does not count what programs cost: a package is not believed to do
    /// so itself.
    pub fn start_package(kernel: &Kernel, package: &Package, ask: &Ask<'_>) -> Result<Self, ObserveError> {
        if !accounting::is_on() {
            return Err(ObserveError::NotCounted);
        }
        let custom = Custom::start(kernel, package, ask.top, ask.check_port)?;
        Ok(Self(Under::Custom(Box::new(custom))))
    }

    /// How well it could be set up.
    pub fn attachment(&self) -> &Attachment {
        match &self.0 {
            Under::Ours(ours) => &ours.programs().attachment,
            Under::Custom(custom) => custom.attachment(),
        }
    }

    /// Takes in what the programs have told since. Where it is called less often than it says, their ring overflows, which is counted.
    pub fn gather(&mut self) -> Look {
        match &mut self.0 {
            Under::Ours(ours) => ours.gather(),
            Under::Custom(custom) => custom.gather(),
        }
    }

    /// What was seen up to now.
    ///
    /// # Errors
    /// [`ObserveError::Read`] where the kernel does not give out what was counted.
    pub fn seen(&mut self) -> Result<Seen, ObserveError> {
        match &mut self.0 {
            Under::Ours(ours) => ours.seen(),
            Under::Custom(custom) => custom.seen(),
        }
    }

    /// The same at the end, with what is too much to be told each time.
    ///
    /// # Errors
    /// [`ObserveError::Read`].
    pub fn found(&mut self) -> Result<Seen, ObserveError> {
        match &mut self.0 {
            Under::Ours(ours) => ours.found(),
            Under::Custom(custom) => custom.found(),
        }
    }

    /// What the kernel saw and could not tell, up to now.
    ///
    /// # Errors
    /// [`ObserveError::Read`].
    pub fn lost(&self) -> Result<u64, ObserveError> {
        match &self.0 {
            Under::Ours(ours) => ours.lost(),
            Under::Custom(custom) => custom.lost(),
        }
    }

    /// Whether the programs saw what was done to check them.
    ///
    /// # Errors
    /// [`ObserveError::Read`].
    pub fn self_check(&self) -> Result<SelfCheck, ObserveError> {
        match &self.0 {
            Under::Ours(ours) => ours.self_check(),
            Under::Custom(custom) => custom.self_check(),
        }
    }

    /// What the programs have cost up to now; none before the first run, and of a package where the kernel does not count it.
    pub fn cost(&self) -> Option<ProgramCost> {
        match &self.0 {
            Under::Ours(ours) => ours.programs().cost(),
            Under::Custom(custom) => custom.cost(),
        }
    }

    /// Gives up the hook that has cost most of those that can be done without, and names it; none is left where there is none. What is then
    /// missing is told by [`Self::attachment`].
    pub fn give_up_one(&mut self) -> Option<&'static str> {
        match &mut self.0 {
            Under::Ours(ours) => ours.programs_mut().give_up_one(),
            // What a package is worth without one of its programs only its author knows.
            Under::Custom(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// Rings are found in the sources of the programs, and what their readers say beside it.
    #[test]
    fn what_tells_by_a_ring_is_looked_at_soon() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut rings = Vec::new();
        for file in std::fs::read_dir(here.join("programs")).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            let Some(observation) = name.strip_suffix(".bpf.c") else { continue };
            let programs = std::fs::read_to_string(here.join("programs").join(&name)).unwrap();
            if programs.contains("BPF_MAP_TYPE_RINGBUF") {
                let reader = std::fs::read_to_string(here.join("src").join(observation).with_extension("rs")).unwrap();
                rings.push((observation.to_owned(), reader.contains("Look::Soon")));
            }
        }
        rings.sort();
        // `memory` tells by its ring who was killed, which has room for a second of that.
        let soon: Vec<&str> = rings.iter().filter(|(_, soon)| *soon).map(|(name, _)| name.as_str()).collect();
        assert_eq!(soon, ["connects", "dns_latency", "exec", "files", "tcp_flows"]);
        let later: Vec<&str> = rings.iter().filter(|(_, soon)| !*soon).map(|(name, _)| name.as_str()).collect();
        assert_eq!(later, ["memory"]);
    }
}
