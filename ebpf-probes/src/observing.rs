//! One observation under way: the single match from its name to its programs.

use std::net::IpAddr;

use shared_protocol::report::{Masked, ProgramCost, Seen, SelfCheck};
use shared_protocol::spec::Observation;

use crate::attach::Attachment;
use crate::connect_latency::ConnectLatency;
use crate::drops::Drops;
use crate::error::ObserveError;
use crate::kernel::Kernel;
use crate::programs::Programs;
use crate::retransmits::Retransmits;
use crate::runqlat::Runqlat;
use crate::tcp_flows::TcpFlows;

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
            masked: &[],
            check_port: 0,
        }
    }
}

/// An observation under way. Its programs and maps are gone when it is dropped.
pub struct Observing(Kind);

enum Kind {
    TcpFlows(Box<TcpFlows>),
    ConnectLatency(Box<ConnectLatency>),
    Drops(Box<Drops>),
    Retransmits(Box<Retransmits>),
    Runqlat(Box<Runqlat>),
}

impl Observing {
    /// Loads the programs and puts them onto their hooks.
    ///
    /// # Errors
    /// [`ObserveError`]: with its remedy.
    pub fn start(kernel: &Kernel, ask: &Ask<'_>) -> Result<Self, ObserveError> {
        Ok(Self(match ask.observation {
            Observation::TcpFlows => Kind::TcpFlows(Box::new(TcpFlows::start(kernel, ask)?)),
            Observation::ConnectLatency => Kind::ConnectLatency(Box::new(ConnectLatency::start(kernel, ask)?)),
            Observation::Drops => Kind::Drops(Box::new(Drops::start(kernel, ask)?)),
            Observation::Retransmits => Kind::Retransmits(Box::new(Retransmits::start(kernel, ask)?)),
            Observation::Runqlat => Kind::Runqlat(Box::new(Runqlat::start(kernel, ask)?)),
        }))
    }

    /// How well it could be set up.
    pub const fn attachment(&self) -> &Attachment {
        &self.programs().attachment
    }

    /// Takes in what the programs have told since. Rare things wait in a ring: called seldom, it overflows, which is counted.
    pub fn gather(&mut self) {
        match &mut self.0 {
            Kind::TcpFlows(flows) => flows.gather(),
            // Counted in the kernel until somebody looks.
            Kind::ConnectLatency(_) | Kind::Drops(_) | Kind::Retransmits(_) | Kind::Runqlat(_) => {}
        }
    }

    /// What was seen up to now.
    ///
    /// # Errors
    /// [`ObserveError::Read`] where the kernel does not give out what was counted.
    pub fn seen(&mut self) -> Result<Seen, ObserveError> {
        Ok(match &mut self.0 {
            Kind::TcpFlows(flows) => Seen::TcpFlows(flows.seen()?),
            Kind::ConnectLatency(connects) => Seen::ConnectLatency(connects.seen()?),
            Kind::Drops(drops) => Seen::Drops(drops.seen()?),
            Kind::Retransmits(retransmits) => Seen::Retransmits(retransmits.seen()?),
            Kind::Runqlat(runqlat) => Seen::Runqlat(runqlat.seen()?),
        })
    }

    /// What the kernel saw and could not tell, up to now.
    ///
    /// # Errors
    /// [`ObserveError::Read`].
    pub fn lost(&self) -> Result<u64, ObserveError> {
        self.programs().lost()
    }

    /// Whether the programs saw what was done to check them.
    ///
    /// # Errors
    /// [`ObserveError::Read`].
    pub fn self_check(&self) -> Result<SelfCheck, ObserveError> {
        match &self.0 {
            Kind::Runqlat(runqlat) => runqlat.self_check(),
            Kind::TcpFlows(_) | Kind::ConnectLatency(_) | Kind::Drops(_) | Kind::Retransmits(_) => self.programs().self_check(),
        }
    }

    /// What the programs have cost up to now, where the kernel counts it.
    pub fn cost(&self) -> Option<ProgramCost> {
        self.programs().cost()
    }

    /// Gives up the hook that has cost most of those that can be done without, and names it; none is left where there is none. What is then
    /// missing is told by [`Self::attachment`].
    pub fn give_up_one(&mut self) -> Option<&'static str> {
        self.programs_mut().give_up_one()
    }

    const fn programs_mut(&mut self) -> &mut Programs {
        match &mut self.0 {
            Kind::TcpFlows(flows) => &mut flows.programs,
            Kind::ConnectLatency(connects) => &mut connects.programs,
            Kind::Drops(drops) => &mut drops.programs,
            Kind::Retransmits(retransmits) => &mut retransmits.programs,
            Kind::Runqlat(runqlat) => &mut runqlat.programs,
        }
    }

    const fn programs(&self) -> &Programs {
        match &self.0 {
            Kind::TcpFlows(flows) => &flows.programs,
            Kind::ConnectLatency(connects) => &connects.programs,
            Kind::Drops(drops) => &drops.programs,
            Kind::Retransmits(retransmits) => &retransmits.programs,
            Kind::Runqlat(runqlat) => &runqlat.programs,
        }
    }
}
