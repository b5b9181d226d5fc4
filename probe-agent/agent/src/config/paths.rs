//! Files that the owner names.

use std::path::PathBuf;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// At most so many whole paths: a service has no folder of its own from which others would count.
pub(super) fn whole_paths<'de, D: Deserializer<'de>, const MOST: usize>(deserializer: D) -> Result<Vec<PathBuf>, D::Error> {
    let paths = Vec::<PathBuf>::deserialize(deserializer)?;
    if paths.len() > MOST {
        return Err(D::Error::custom(format!("must be at most {MOST} files")));
    }
    if paths.iter().all(|path| path.is_absolute()) {
        return Ok(paths);
    }
    Err(D::Error::custom("must be whole paths, from / on"))
}
