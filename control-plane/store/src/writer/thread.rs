//! The thread of the writer: every statement is two hops between it and whatever has the database, and a hop that queues behind the work of
//! everybody else on a shared thread costs more than the statement.

use std::io;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

/// A thread that runs the writer's task and nothing else; gone when dropped, with what it ran.
#[derive(Debug)]
pub(crate) struct WriterThread(Option<Runtime>);

impl WriterThread {
    pub(crate) fn start() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("store-writer").enable_all().build()?;
        Ok(Self(Some(runtime)))
    }

    /// Runs a task on it; the set aborts it when dropped.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        if let Some(runtime) = &self.0 {
            tasks.spawn_on(task, runtime.handle());
        }
        tasks
    }
}

impl Drop for WriterThread {
    fn drop(&mut self) {
        // A store may be dropped inside a task, where nobody may wait for a runtime's end.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
