//! Packages of real objects, and their bad twins: what each is refused for, by name.

#[cfg(test)]
mod bytes;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod twins;
