//! The probes over real sockets: on loopback, and in network namespaces that the tests make and that reach nothing else.
#![expect(unsafe_code, reason = "an interface is brought up by ioctl, which has no safe wrapper")]

#[cfg(test)]
mod dns;
#[cfg(test)]
mod http;
#[cfg(test)]
mod namespace;
#[cfg(test)]
mod neighbor;
#[cfg(test)]
mod path;
#[cfg(test)]
mod ping;
#[cfg(test)]
mod port;
#[cfg(test)]
mod setting;
#[cfg(test)]
mod tcp;
#[cfg(test)]
mod udp;
