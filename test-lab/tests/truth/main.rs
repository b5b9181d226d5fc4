//! The real agent beside other people's programs in networks that know their own truth: what differs is explained here, or is a bug.

#[cfg(test)]
mod denied;
#[cfg(test)]
mod follow;
#[cfg(test)]
mod kernels;
#[cfg(test)]
mod known;
#[cfg(test)]
mod many;
#[cfg(test)]
mod neighbors;
#[cfg(test)]
mod ours;
#[cfg(test)]
mod path;
#[cfg(test)]
mod ping;
#[cfg(test)]
mod ports;
#[cfg(test)]
mod relay;
#[cfg(test)]
mod setting;
#[cfg(test)]
mod shell;
#[cfg(test)]
mod told;
