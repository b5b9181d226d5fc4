//! The agent port from outside: real TLS on 127.0.0.1, and clients that keep to no rule.

#[cfg(test)]
mod deaf;
#[cfg(test)]
mod duty;
#[cfg(test)]
mod enrolment;
#[cfg(test)]
mod packages;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod stand;
#[cfg(test)]
mod standing;
#[cfg(test)]
mod wire;
