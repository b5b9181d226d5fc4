//! Many targets of one job: a block of addresses, or a list of addresses, names and blocks.

use std::str::FromStr;

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::fields::{Fields, InvalidField};
use crate::block::{Block, InvalidBlock};
use crate::target::{InvalidTarget, Target};

/// What a probe is aimed at that may have many targets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Targets {
    /// An address or a name.
    One {
        /// It.
        target: Target,
    },
    /// A block of addresses.
    Block {
        /// It.
        target: Block,
    },
    /// A list.
    List {
        /// Its entries, in the order in which they are asked.
        targets: Vec<SweepTarget>,
    },
}

/// An entry of a list of targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SweepTarget {
    /// An address or a name.
    One(Target),
    /// A block of addresses.
    Block(Block),
}

impl Targets {
    pub(super) fn read(fields: &mut Fields) -> Result<Self, InvalidField> {
        let list = fields.take("targets");
        if let Some(list) = list {
            if fields.take("target").is_some() {
                return Err(InvalidField::new("targets", "must not be given together with target"));
            }
            return Ok(Self::List { targets: read_list(list)? });
        }
        let text = fields.required_text("target")?;
        if text.contains('/') {
            let block = Block::parse(&text).map_err(|error| InvalidField::new("target", error.to_string()))?;
            return Ok(Self::Block { target: block });
        }
        let target = Target::parse(&text).map_err(|error| InvalidField::new("target", error.to_string()))?;
        Ok(Self::One { target })
    }

    /// The one target, where there is one only.
    pub const fn one(&self) -> Option<&Target> {
        match self {
            Self::One { target } => Some(target),
            Self::Block { .. } | Self::List { .. } => None,
        }
    }

    /// Whether there may be several targets, so that the report is one of a sweep.
    pub const fn is_sweep(&self) -> bool {
        matches!(self, Self::Block { .. } | Self::List { .. })
    }

    /// How many addresses are asked; a name counts as one.
    pub fn count(&self) -> u32 {
        match self {
            Self::One { .. } => 1,
            Self::Block { target } => target.count(),
            Self::List { targets } => targets.iter().map(SweepTarget::count).fold(0, u32::saturating_add),
        }
    }

    /// Whether they come to no more than one job may have.
    pub(super) fn check_count(&self) -> Result<(), InvalidField> {
        if self.count() > TARGETS {
            return Err(InvalidField::new(self.field(), format!("must come to at most {TARGETS} addresses")));
        }
        Ok(())
    }

    /// The name of the field that says it.
    pub(super) const fn field(&self) -> &'static str {
        match self {
            Self::One { .. } | Self::Block { .. } => "target",
            Self::List { .. } => "targets",
        }
    }

    /// Every entry.
    pub fn entries(&self) -> Vec<SweepTarget> {
        match self {
            Self::One { target } => vec![SweepTarget::One(target.clone())],
            Self::Block { target } => vec![SweepTarget::Block(*target)],
            Self::List { targets } => targets.clone(),
        }
    }
}

impl SweepTarget {
    /// How many addresses it is; a name counts as one.
    pub fn count(&self) -> u32 {
        match self {
            Self::One(_) => 1,
            Self::Block(block) => block.count(),
        }
    }
}

impl FromStr for SweepTarget {
    type Err = InvalidSweepTarget;

    fn from_str(text: &str) -> Result<Self, InvalidSweepTarget> {
        if text.contains('/') {
            return Ok(Self::Block(Block::parse(text)?));
        }
        Ok(Self::One(Target::parse(text)?))
    }
}

/// Why a text is no entry of a list of targets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSweepTarget {
    /// No address and no name.
    #[error(transparent)]
    Target(#[from] InvalidTarget),
    /// No block.
    #[error(transparent)]
    Block(#[from] InvalidBlock),
}

impl Serialize for SweepTarget {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::One(target) => target.serialize(serializer),
            Self::Block(block) => block.serialize(serializer),
        }
    }
}

fn read_list(value: Value) -> Result<Vec<SweepTarget>, InvalidField> {
    let refused = |message: String| InvalidField::new("targets", message);
    let Value::Array(values) = value else {
        return Err(refused("must be a list of addresses, names and blocks".to_owned()));
    };
    if values.is_empty() || values.len() > ENTRIES {
        return Err(refused(format!("must have from 1 to {ENTRIES} entries; a block counts as one")));
    }
    let mut bytes = 0;
    let mut targets = Vec::with_capacity(values.len());
    for value in values {
        let text = value.as_str().ok_or_else(|| refused("must hold strings only".to_owned()))?;
        bytes += text.len();
        if bytes > TEXT_BYTES {
            return Err(refused(format!("must have at most {TEXT_BYTES} bytes of text; write neighbours as blocks")));
        }
        let target = text.parse().map_err(|error: InvalidSweepTarget| refused(format!("{text}: {error}")))?;
        targets.push(target);
    }
    Ok(targets)
}

/// Most addresses of one job.
const TARGETS: u32 = 65_536;
/// Most entries of a list.
const ENTRIES: usize = 4_096;
/// Most text of a list, bytes: a job has to fit into one frame.
const TEXT_BYTES: usize = 48 * 1024;
