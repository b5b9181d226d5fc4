//! A control plane around the real server machine: the store outlives a crash, sessions and what waits for the commit do not.

use std::collections::VecDeque;

use shared_protocol::close::CloseReason;
use shared_protocol::frame::Hello;
use shared_protocol::id::{JobId, JobRef, StandingId};
use shared_protocol::session::{Jitter, ServerEffect, ServerSession};
use shared_protocol::standing::{StandingHeld, difference};
use shared_protocol::time::MonotonicMicros;

use crate::Mutation;
use crate::dice::Dice;
use crate::ledger::Ledger;
use crate::link::{Link, MILLISECOND, SECOND};
use crate::store::Store;

pub(crate) struct Server {
    pub(crate) store: Store,
    connections: Vec<Connection>,
    /// Operations of the next commit, in order.
    pending: VecDeque<Operation>,
    commit_at: u64,
    pub(crate) down_until: u64,
    /// By how much this clock is ahead of the world's.
    pub(crate) ahead: u64,
    without_session_since: Option<u64>,
    mutation: Mutation,
}

struct Connection {
    link: usize,
    session: ServerSession,
    hello: Option<Box<Hello>>,
    epoch: u32,
    granted: u64,
    spent: u64,
    last_heard: u64,
    /// The standing work that the agent says it has; none before its session counts.
    held: Option<Vec<StandingHeld>>,
}

enum Operation {
    Hello(usize),
    Accepted(u32, JobRef),
    Refused(u32, JobRef),
    Report(usize, u64, JobRef, String),
}

impl Server {
    pub(crate) fn new(mutation: Mutation) -> Self {
        Self {
            store: Store::new(mutation),
            connections: Vec::new(),
            pending: VecDeque::new(),
            commit_at: u64::MAX,
            down_until: 0,
            ahead: 7 * SECOND,
            without_session_since: None,
            mutation,
        }
    }

    pub(crate) fn connect(&mut self, link: usize, now: u64, dice: &mut Dice) {
        let local = self.local(now);
        self.connections.push(Connection {
            link,
            session: ServerSession::new(Jitter::from_seed(dice.next()), local),
            hello: None,
            epoch: 0,
            granted: 0,
            spent: 0,
            last_heard: local.micros(),
            held: None,
        });
    }

    /// A crash: everything volatile is gone.
    pub(crate) fn crash(&mut self, now: u64, links: &mut [Link], dice: &mut Dice) {
        for connection in self.connections.drain(..) {
            links[connection.link].cut(now, dice);
            links[connection.link].server_learns_at = u64::MAX;
        }
        self.pending.clear();
        self.commit_at = u64::MAX;
        self.down_until = now + dice.within(0..5_000) * MILLISECOND;
    }

    pub(crate) fn cancel(&mut self, job: JobId, ledger: &mut Ledger) {
        if self.store.cancel(job, ledger)
            && let Some(connection) = self.current()
        {
            connection.session.cancel(vec![job]);
        }
    }

    pub(crate) fn next_time(&self, links: &[Link]) -> u64 {
        let timers = self.connections.iter().filter_map(|connection| connection.session.poll_timeout());
        let expiry = self.store.next_expiry().map(MonotonicMicros::from_micros);
        let local = timers.chain(expiry).map(|at| at.micros().saturating_sub(self.ahead));
        let arrivals = self
            .connections
            .iter()
            .map(|connection| links[connection.link].to_server.next_arrival().min(links[connection.link].server_learns_at));
        let lapse = self.without_session_since.map(|since| (since + LAPSE).saturating_sub(self.ahead));
        local.chain(arrivals).chain(lapse).chain([self.commit_at]).min().unwrap_or(u64::MAX)
    }

    /// Does everything that is due.
    pub(crate) fn step(&mut self, now: u64, links: &mut [Link], ledger: &mut Ledger, dice: &mut Dice) {
        let local = self.local(now);
        for index in 0..self.connections.len() {
            let link = self.connections[index].link;
            while let Some(text) = links[link].to_server.receive(now) {
                let connection = &mut self.connections[index];
                connection.last_heard = local.micros();
                connection.session.handle_text(&text, local);
                self.take_effects(index, now, links, ledger, dice);
            }
            self.connections[index].session.handle_timeout(local);
            self.take_effects(index, now, links, ledger, dice);
        }
        if now >= self.commit_at {
            self.commit(now, ledger);
        }
        if self.store.expire(local.micros(), ledger) && now > HEALED {
            ledger.violate("a job waited for its deadline although everything was well again".to_owned());
        }
        self.lapse(local.micros());
        self.dispatch();
        for index in 0..self.connections.len() {
            self.take_effects(index, now, links, ledger, dice);
            let connection = &mut self.connections[index];
            if connection.session.poll_timeout().is_some() && local.micros().saturating_sub(connection.last_heard) > DEAD {
                ledger.violate("the server did not notice 60 s of silence".to_owned());
            }
            while links[connection.link].to_agent.has_room() {
                let Some(text) = connection.session.poll_transmit(local) else { break };
                links[connection.link].to_agent.send(text, now, dice);
            }
        }
        self.connections.retain(|connection| {
            let gone = now >= links[connection.link].server_learns_at;
            !gone && connection.session.poll_timeout().is_some()
        });
    }

    fn local(&self, now: u64) -> MonotonicMicros {
        MonotonicMicros::from_micros(now + self.ahead)
    }

    /// The connection that holds the agent's session.
    fn current(&mut self) -> Option<&mut Connection> {
        let epoch = self.store.epoch;
        self.connections.iter_mut().find(|connection| connection.epoch == epoch && epoch > 0)
    }

    fn take_effects(&mut self, index: usize, now: u64, links: &mut [Link], ledger: &mut Ledger, dice: &mut Dice) {
        while let Some(effect) = self.connections[index].session.poll_effect() {
            let (link, epoch) = (self.connections[index].link, self.connections[index].epoch);
            let operation = match effect {
                ServerEffect::Hello(hello) => {
                    self.connections[index].hello = Some(hello);
                    Operation::Hello(link)
                }
                ServerEffect::Credit { granted } => {
                    self.connections[index].granted = granted;
                    continue;
                }
                ServerEffect::Accepted(job) => Operation::Accepted(epoch, job),
                ServerEffect::Refused(refuse) => {
                    if refuse.reason == shared_protocol::end::RefuseReason::NoCredit {
                        ledger.violate("a job within credit was refused as without".to_owned());
                    }
                    let job = JobRef {
                        job: refuse.job,
                        attempt: refuse.attempt,
                    };
                    Operation::Refused(epoch, job)
                }
                ServerEffect::Finding { n, findings, .. } => {
                    crate::agent::check_findings(n, &findings, ledger);
                    continue;
                }
                ServerEffect::Report { seq, job, body } => {
                    if self.mutation == Mutation::AckBeforeStore {
                        let connection = &mut self.connections[index];
                        let mut ack = self.store.ack(connection.hello.as_ref().unwrap());
                        ack.up_to = seq;
                        connection.session.ack(ack);
                    }
                    Operation::Report(link, seq.value(), job, body)
                }
                ServerEffect::Keepalive(_) => continue,
                ServerEffect::Configured(told) => {
                    self.connections[index].held = Some(told.items);
                    self.say_what_is_wanted(index);
                    continue;
                }
                ServerEffect::Close(reason) => {
                    ledger.closed("the server", reason);
                    links[link].cut(now, dice);
                    continue;
                }
            };
            self.pending.push_back(operation);
            if self.commit_at == u64::MAX {
                self.commit_at = now + dice.within(1..60) * MILLISECOND;
            }
        }
    }

    /// One commit for all that waits, then the answers.
    fn commit(&mut self, now: u64, ledger: &mut Ledger) {
        self.commit_at = u64::MAX;
        let local = self.local(now);
        for operation in std::mem::take(&mut self.pending) {
            match operation {
                Operation::Hello(link) => self.welcome(link, local, ledger),
                Operation::Accepted(epoch, job) if epoch == self.store.epoch => self.store.accepted(job),
                Operation::Refused(epoch, job) if epoch == self.store.epoch => self.store.refused(job, ledger),
                Operation::Accepted(..) | Operation::Refused(..) => {}
                Operation::Report(link, seq, job, body) => {
                    self.store.ingest(seq, job, &body, ledger);
                    if let Some(connection) = self.connections.iter_mut().find(|connection| connection.link == link) {
                        let hello = connection.hello.as_ref().expect("a report comes after hello");
                        connection.session.ack(self.store.ack(hello));
                    }
                }
            }
        }
    }

    fn welcome(&mut self, link: usize, local: MonotonicMicros, ledger: &mut Ledger) {
        let Some(index) = self.connections.iter().position(|connection| connection.link == link) else {
            return;
        };
        let hello = self.connections[index].hello.clone().expect("it was kept");
        let welcome = self.store.hello(&hello, ledger);
        for connection in &mut self.connections {
            if connection.link != link && connection.hello.is_some() {
                connection.session.close(CloseReason::Replaced);
            }
        }
        let connection = &mut self.connections[index];
        connection.epoch = self.store.epoch;
        connection.session.welcome(welcome, local);
        connection.held = hello.standing;
        ledger.sessions += 1;
        if self.mutation != Mutation::NoComparison {
            self.say_what_is_wanted(index);
        }
    }

    /// Something else is to stand; the agent hears of it if it is here.
    pub(crate) fn want(&mut self, id: StandingId, anything: bool) {
        self.store.want(id, anything);
        let epoch = self.store.epoch;
        if let Some(index) = self.connections.iter().position(|connection| connection.epoch == epoch && epoch > 0) {
            self.say_what_is_wanted(index);
        }
    }

    fn say_what_is_wanted(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        let Some(held) = &connection.held else { return };
        let change = difference(&self.store.wanted(), held);
        if !change.is_empty() {
            connection.session.configure(change);
        }
    }

    fn lapse(&mut self, local: u64) {
        if self.current().is_some() {
            self.without_session_since = None;
        } else if local >= self.without_session_since.get_or_insert(local).saturating_add(LAPSE) {
            self.without_session_since = None;
            self.store.lapse();
        }
    }

    fn dispatch(&mut self) {
        let epoch = self.store.epoch;
        let Some(connection) = self.connections.iter_mut().find(|connection| connection.epoch == epoch && epoch > 0) else {
            return;
        };
        while connection.session.poll_timeout().is_some()
            && let Some(run) = self.store.lease(connection.granted.saturating_sub(connection.spent))
        {
            connection.spent += u64::from(run.cost);
            connection.session.run(run);
        }
    }
}

/// Without a session for so long, leases lapse.
const LAPSE: u64 = 20 * SECOND;
/// By now everything works again and has had time for every job.
const HEALED: u64 = crate::world::STORM + 300 * SECOND;
/// Three keepalives are 45 s; a session older in silence than this was overlooked.
const DEAD: u64 = 60 * SECOND;
