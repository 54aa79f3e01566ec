//! Integration tests of the execution crate.

#[cfg(test)]
mod bank;
#[cfg(test)]
mod blocks;
#[cfg(test)]
mod conservation;
#[cfg(test)]
mod contracts;
#[cfg(test)]
mod cross_domain;
#[cfg(test)]
mod domains;
#[cfg(test)]
mod invalid;
#[cfg(test)]
mod root;
#[cfg(test)]
mod simulate;
#[cfg(test)]
mod simulate_v1;
#[cfg(test)]
mod statetests;
#[cfg(test)]
mod support;
#[cfg(test)]
mod trace;
