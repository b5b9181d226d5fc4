//! Standing work: what the control plane wants done until it says otherwise, window after window, whether the agent is connected or not.
//!
//! A [`Standing`] outlives connections and, by its file in the state directory, the process. Each piece of work is one task of its own, which
//! asks the owner's policy before every window, runs it by the same way as a job, and puts its report into the outbox, where windows have a
//! share of their own: the oldest are given up before there is no room for more, and never a job's report.

mod file;
mod work;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shared_protocol::id::StandingId;
use shared_protocol::limits::STANDING_ITEMS;
use shared_protocol::standing::{Book, Configure, StandingHeld, StandingItem};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::outbox::Outbox;
use crate::policy::Policy;
use crate::runner::ProbeEngine;
use crate::state_dir::StateDir;
use file::Kept;
use work::{Work, Workshop};

/// How all work fares, by its id; what waits for news of it hears each change.
type Fares = watch::Sender<BTreeMap<StandingId, StandingHeld>>;

/// The standing work in hand.
#[derive(Debug)]
pub struct Standing {
    shelf: Arc<Shelf>,
    workshop: Workshop,
    news: watch::Receiver<BTreeMap<StandingId, StandingHeld>>,
    tasks: JoinSet<()>,
    running: BTreeMap<StandingId, CancellationToken>,
    is_stopping: bool,
}

/// What was told, with its place on disk.
#[derive(Debug)]
struct Shelf {
    state: StateDir,
    book: Mutex<Book>,
}

impl Standing {
    /// Takes up what the state directory holds. What cannot be read there is left out: the control plane says it again.
    pub fn open(state: &StateDir, engine: Arc<dyn ProbeEngine>, policy: Arc<Policy>, outbox: Outbox) -> Self {
        let kept = file::read(state);
        let book = Book::of(kept.items);
        let held = |item: &StandingItem| StandingHeld {
            lost: kept.lost.get(&item.id).copied().unwrap_or(0),
            ..StandingHeld::waiting(item)
        };
        let all: Vec<StandingItem> = book.items().cloned().collect();
        let (fares, news) = watch::channel(all.iter().map(|item| (item.id, held(item))).collect());
        let shelf = Arc::new(Shelf {
            state: state.clone(),
            book: Mutex::new(book),
        });
        let mut standing = Self {
            workshop: Workshop {
                engine,
                policy,
                outbox,
                slots: Arc::new(Semaphore::new(STANDING_ITEMS)),
                shelf: Arc::clone(&shelf),
                fares: Arc::new(fares),
            },
            shelf,
            news,
            tasks: JoinSet::new(),
            running: BTreeMap::new(),
            is_stopping: false,
        };
        if !all.is_empty() {
            tracing::info!(items = all.len(), "standing work goes on");
        }
        for item in all {
            standing.begin(item);
        }
        standing
    }

    /// Takes what changed, and keeps it.
    pub fn configure(&mut self, configure: Configure) {
        let mut book = self.shelf.book();
        let changes = book.apply(configure);
        let begun: Vec<StandingItem> = changes.begun.iter().filter_map(|id| book.get(*id).cloned()).collect();
        let gone: Vec<StandingId> = changes.ended.iter().copied().filter(|id| book.get(*id).is_none()).collect();
        drop(book);
        for id in &changes.ended {
            if let Some(cancel) = self.running.remove(id) {
                cancel.cancel();
            }
        }
        // Told even where nothing changed: whoever asked hears what stands.
        self.workshop.fares.send_modify(|fares| {
            for id in &gone {
                fares.remove(id);
            }
            for item in &begun {
                let lost = fares.get(&item.id).map_or(0, |before| before.lost);
                let held = StandingHeld {
                    lost,
                    ..StandingHeld::waiting(item)
                };
                fares.insert(item.id, held);
            }
        });
        self.shelf.keep(&self.workshop.fares.borrow());
        for item in begun {
            tracing::info!(standing_id = %item.id, revision = item.revision, "standing work taken");
            self.begin(item);
        }
    }

    /// All there is, and how it fares.
    pub fn held(&self) -> Vec<StandingHeld> {
        self.news.borrow().values().cloned().collect()
    }

    /// Waits until something about it changed, and says how everything fares then; nothing is missed when the wait is given up.
    pub async fn changed(&mut self) -> Vec<StandingHeld> {
        // The sender lives as long as this does.
        let _ = self.news.changed().await;
        while self.tasks.try_join_next().is_some() {}
        self.news.borrow_and_update().values().cloned().collect()
    }

    /// Ends all windows; what they saw so far is in the outbox when this returns.
    pub async fn stop(&mut self) {
        self.is_stopping = true;
        for cancel in std::mem::take(&mut self.running).into_values() {
            cancel.cancel();
        }
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(work::END_TIME, ended).await.is_err() {
            tracing::warn!(windows = self.tasks.len(), "windows were still open when the time to stop was over");
        }
    }

    fn begin(&mut self, item: StandingItem) {
        if self.is_stopping {
            return;
        }
        let cancel = CancellationToken::new();
        self.running.insert(item.id, cancel.clone());
        let work = Work {
            item,
            workshop: self.workshop.clone(),
            cancel,
        };
        self.tasks.spawn(work.run());
    }
}

impl Shelf {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what was told, on disk, with how much was lost. Where that fails, it is told again after a restart.
    fn keep(&self, fares: &BTreeMap<StandingId, StandingHeld>) {
        // Held while it is written: two that write at once would take each other's place.
        let book = self.book();
        let kept = Kept {
            items: book.items().cloned().collect(),
            lost: fares.values().filter(|held| held.lost > 0).map(|held| (held.id, held.lost)).collect(),
        };
        if let Err(error) = file::write(&self.state, &kept) {
            tracing::error!(%error, "standing work could not be kept: it will not outlive this process until it is told again");
        }
    }
}
