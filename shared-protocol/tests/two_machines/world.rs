//! One run: jobs and faults of a seed, then healing, then the ledger's verdict.

use shared_protocol::id::{JobId, StandingId};
use shared_protocol::time::UnixMicros;

use crate::Mutation;
use crate::agent::Agent;
use crate::dice::Dice;
use crate::ledger::{Ledger, Violation};
use crate::link::{Link, MILLISECOND, SECOND};
use crate::server::Server;

/// Runs one seed to its end.
pub(crate) fn run(seed: u64, mutation: Mutation) -> Result<Ledger, Violation> {
    World::new(seed, mutation).run()
}

struct World {
    now: u64,
    dice: Dice,
    ledger: Ledger,
    agent: Agent,
    server: Server,
    links: Vec<Link>,
    /// What is done to the two, in order of time; the last comes first.
    plan: Vec<(u64, Deed)>,
    jobs: Vec<JobId>,
}

#[derive(Debug, Clone, Copy)]
enum Deed {
    Submit,
    Cancel,
    /// Standing work is asked for, changed, or taken back.
    Want,
    Cut,
    HalfOpen,
    Stall,
    CrashAgent,
    CrashServer,
    JumpAgentClock,
    JumpServerClock,
}

const FAULTS: [Deed; 7] = [
    Deed::Cut,
    Deed::HalfOpen,
    Deed::Stall,
    Deed::CrashAgent,
    Deed::CrashServer,
    Deed::JumpAgentClock,
    Deed::JumpServerClock,
];

impl World {
    fn new(seed: u64, mutation: Mutation) -> Self {
        let mut dice = Dice::new(seed);
        let mut plan = Vec::new();
        for _ in 0..dice.within(1..14) {
            let at = dice.within(0..STORM);
            plan.push((at, Deed::Submit));
            if dice.one_in(6) {
                plan.push((at + dice.within(0..10 * SECOND), Deed::Cancel));
            }
        }
        for _ in 0..dice.within(0..8) {
            plan.push((dice.within(0..STORM), Deed::Want));
        }
        for _ in 0..dice.within(0..10) {
            let fault = FAULTS[usize::try_from(dice.within(0..7)).unwrap()];
            plan.push((dice.within(0..STORM), fault));
        }
        plan.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        Self {
            now: 0,
            agent: Agent::new(&mut dice),
            server: Server::new(mutation),
            dice,
            ledger: Ledger::default(),
            links: Vec::new(),
            plan,
            jobs: Vec::new(),
        }
    }

    fn run(mut self) -> Result<Ledger, Violation> {
        for _ in 0..STEPS {
            let done =
                self.plan.is_empty() && self.ledger.all_ended() && self.ledger.all_forgotten() && self.agent.outbox_depth() == 0 && self.stands_as_wanted();
            if done || self.ledger.has_violation() || self.now > STORM + HEALING {
                if !self.stands_as_wanted() {
                    self.ledger.violate("standing work differs from what is wanted".to_owned());
                }
                return self.ledger.verdict(self.agent.outbox_depth());
            }
            self.step();
        }
        self.ledger.violate(format!("no end after {STEPS} steps, at {} s", self.now / SECOND));
        self.ledger.verdict(0)
    }

    fn stands_as_wanted(&self) -> bool {
        self.agent.book.items().eq(self.server.store.wanted().iter())
    }

    fn step(&mut self) {
        let planned = self.plan.last().map_or(u64::MAX, |(at, _)| *at);
        let next = planned.min(self.agent.next_time(&self.links)).min(self.server.next_time(&self.links));
        self.now = self.now.max(next);
        while let Some((_, deed)) = self.plan.pop_if(|(at, _)| *at <= self.now) {
            self.act(deed);
        }
        if self.agent.wants_to_dial(self.now) {
            self.dial();
        }
        self.agent.step(self.now, &mut self.links, &mut self.ledger, &mut self.dice);
        self.server.step(self.now, &mut self.links, &mut self.ledger, &mut self.dice);
    }

    fn dial(&mut self) {
        if self.now < self.server.down_until {
            return self.agent.dial_later(self.now, &mut self.dice);
        }
        self.links.push(Link::new());
        let link = self.links.len() - 1;
        self.server.connect(link, self.now, &mut self.dice);
        self.agent.connect(link, self.now, &mut self.dice);
    }

    fn act(&mut self, deed: Deed) {
        let (now, dice) = (self.now, &mut self.dice);
        if !matches!(deed, Deed::Submit | Deed::Cancel | Deed::Want) {
            self.ledger.faults += 1;
        }
        match deed {
            Deed::Submit => {
                let job = JobId::new(UnixMicros::from_micros(i64::try_from(now).unwrap()), dice.bytes());
                let cost = u32::try_from(dice.within(1..5)).unwrap();
                let ends_by = now + self.server.ahead + dice.within(20..600) * SECOND;
                self.ledger.job_accepted(job);
                self.server.store.accept(job, cost, ends_by);
                self.jobs.push(job);
            }
            Deed::Cancel => {
                if let Some(job) = self.jobs.last() {
                    self.server.cancel(*job, &mut self.ledger);
                }
            }
            Deed::Want => {
                let number = u8::try_from(dice.within(0..4)).unwrap();
                let id = StandingId::new(UnixMicros::from_micros(1_000), [number; 10]);
                self.server.want(id, !dice.one_in(3));
            }
            Deed::CrashAgent => self.agent.crash(now, &mut self.links, dice),
            Deed::CrashServer => self.server.crash(now, &mut self.links, dice),
            Deed::JumpAgentClock => self.agent.ahead += dice.within(1..90_000) * MILLISECOND,
            Deed::JumpServerClock => self.server.ahead += dice.within(1..90_000) * MILLISECOND,
            Deed::Cut => self.with_link(Link::cut),
            Deed::HalfOpen => self.with_link(half_open),
            Deed::Stall => self.with_link(stall),
        }
    }

    /// Harms the newest connection.
    fn with_link(&mut self, harm: fn(&mut Link, u64, &mut Dice)) {
        if let Some(link) = self.links.last_mut() {
            harm(link, self.now, &mut self.dice);
        }
    }
}

fn half_open(link: &mut Link, _now: u64, dice: &mut Dice) {
    let which = dice.within(0..3);
    if which != 0 {
        link.to_agent.die(dice);
    }
    if which != 1 {
        link.to_server.die(dice);
    }
}

fn stall(link: &mut Link, now: u64, dice: &mut Dice) {
    let until = now + dice.within(1..70_000) * MILLISECOND;
    let pipe = if dice.one_in(2) { &mut link.to_agent } else { &mut link.to_server };
    pipe.stall(until);
}

/// How long jobs and faults come.
pub(crate) const STORM: u64 = 120 * SECOND;
/// How long everything has to come to its end after that.
const HEALING: u64 = 900 * SECOND;
/// More steps than any honest run takes.
const STEPS: usize = 50_000;
