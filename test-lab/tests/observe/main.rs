//! What the kernel saw, from the real observer through agent and control plane to `probectl`, beside what the test itself did.

#[cfg(test)]
mod asked;
#[cfg(test)]
mod beside;
#[cfg(test)]
mod budget;
#[cfg(test)]
mod calls;
#[cfg(test)]
mod counted;
#[cfg(test)]
mod custom;
#[cfg(test)]
mod dials;
#[cfg(test)]
mod disk;
#[cfg(test)]
mod executions;
#[cfg(test)]
mod firewalled;
#[cfg(test)]
mod flows;
#[cfg(test)]
mod interfaces;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod openings;
#[cfg(test)]
mod snoop;
#[cfg(test)]
mod stacks;
#[cfg(test)]
mod standing;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod tried;
#[cfg(test)]
mod trouble;
#[cfg(test)]
mod waits;
