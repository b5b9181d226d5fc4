//! Worlds as a whole: packets that an observer would send, and what comes back.

#[cfg(test)]
mod answers;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod packet;
#[cfg(test)]
mod setting;
