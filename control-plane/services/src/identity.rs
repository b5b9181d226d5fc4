//! Who may ask: tenants, their API keys, and the join tokens with which agents come in.

mod api_key;
mod authenticate;
mod join_token;
mod join_tokens;
mod keys;
mod label;
mod pepper;
mod secret_text;
mod tenants;

pub use tenants::Identity;

pub(crate) use tenants::to_tenant;

pub(crate) use join_token::{JoinTokenText, sha256};
pub(crate) use join_tokens::{JoinBundles, TokenFor, agents_above_tier, draw_token};
pub(crate) use label::{LabelTerms, checked_label_sets, checked_labels, checked_name, checked_word, name_from_host};
pub(crate) use pepper::Pepper;
pub(crate) use secret_text::{NoRandomness, random_bytes};
