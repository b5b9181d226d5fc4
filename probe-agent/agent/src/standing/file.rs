//! The file that holds standing work: written whole, and left alone where a newer agent wrote it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shared_protocol::id::StandingId;
use shared_protocol::standing::StandingItem;

use crate::state_dir::{StateDir, StateDirError};

/// What outlives the process.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) items: Vec<StandingItem>,
    /// Windows lost so far.
    pub(super) lost: BTreeMap<StandingId, u64>,
}

#[derive(Serialize, Deserialize)]
struct Written {
    format: u16,
    items: Vec<StandingItem>,
    #[serde(default)]
    lost: BTreeMap<StandingId, u64>,
}

/// Reads what is kept. What is damaged, or of another format, counts as nothing: the control plane knows better, and says it again.
pub(super) fn read(state: &StateDir) -> Kept {
    let text = match state.read_private(FILE) {
        Ok(Some(text)) => text,
        Ok(None) => return Kept::default(),
        Err(error) => {
            tracing::warn!(%error, "standing work cannot be read; it is waited for from the control plane");
            return Kept::default();
        }
    };
    match serde_json::from_str::<Written>(&text) {
        Ok(written) if written.format == FORMAT => Kept {
            items: written.items,
            lost: written.lost,
        },
        Ok(written) => {
            tracing::warn!(
                format = written.format,
                "standing work was written by another version; it is waited for from the control plane"
            );
            Kept::default()
        }
        Err(error) => {
            tracing::warn!(%error, "standing work is damaged; it is waited for from the control plane");
            Kept::default()
        }
    }
}

/// Keeps it: afterwards it is on disk, or what was there before still is.
pub(super) fn write(state: &StateDir, kept: &Kept) -> Result<(), StateDirError> {
    let written = Written {
        format: FORMAT,
        items: kept.items.clone(),
        lost: kept.lost.clone(),
    };
    let text = serde_json::to_string(&written).map_err(|error| StateDirError::Write {
        path: state.file(FILE),
        source: error.into(),
    })?;
    state.write_private(FILE, &text)
}

/// Its name in the state directory.
pub(super) const FILE: &str = "standing.json";
/// The format this build writes.
const FORMAT: u16 = 1;
