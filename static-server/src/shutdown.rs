//! The wish to stop, for every thread and connection of a server.

use std::sync::Arc;
use tokio::sync::watch;

/// Ends a server from another thread. Clones are the same wish.
#[derive(Debug, Clone)]
pub struct Shutdown {
    stage: Arc<watch::Sender<Stage>>,
}

/// How far it has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Everything runs.
    #[default]
    Running,
    /// Nothing new is begun.
    Stopping,
    /// Nothing is waited for.
    Now,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { stage: Arc::new(watch::Sender::default()) }
    }
}

impl Shutdown {
    /// Takes no more connections and requests, and lets running answers finish within the grace period.
    pub fn begin(&self) {
        self.advance(Stage::Stopping);
    }

    /// Cuts what still runs.
    pub fn now(&self) {
        self.advance(Stage::Now);
    }

    /// `begin`, and `now` if that has been said before: what a signal means.
    pub(crate) fn next(&self) {
        let running = *self.stage.borrow() == Stage::Running;
        self.advance(if running { Stage::Stopping } else { Stage::Now });
    }

    pub(crate) fn watch(&self) -> Watch {
        Watch { stage: self.stage.subscribe() }
    }

    fn advance(&self, to: Stage) {
        self.stage.send_if_modified(|stage| {
            let further = to > *stage;
            *stage = to.max(*stage);
            further
        });
    }
}

/// Waits for the wish.
#[derive(Debug, Clone)]
pub(crate) struct Watch {
    stage: watch::Receiver<Stage>,
}

impl Watch {
    /// Returns when this stage is reached.
    pub(crate) async fn reached(&mut self, stage: Stage) {
        // Nobody is left to say it: waiting goes on, since nothing was said.
        if self.stage.wait_for(|now| *now >= stage).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
