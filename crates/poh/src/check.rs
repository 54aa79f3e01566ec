//! Checking links: many stretches of the clock side by side.

use alloy_primitives::B256;

use crate::kernel::{self, Kernel, Width, Words};
use crate::link::Link;

/// Checks that every link follows from the one before it, with the best kernel of this machine.
///
/// Its work is the sum of all `num_hashes`, which [`crate::check_shape`] bounds: call that first. Any run of
/// links can be checked alone when the hash before it is given as `start`.
///
/// # Errors
/// The index of the first link that does not lead to its hash.
pub fn check_links(start: B256, links: &[Link]) -> Result<(), usize> {
    check_links_with(Kernel::detect(), start, links)
}

/// [`check_links`] with a kernel of the caller's choice; one that this machine lacks is replaced by
/// [`Kernel::Portable`]. All kernels give the same answer.
///
/// # Errors
/// The index of the first link that does not lead to its hash.
pub fn check_links_with(kernel: Kernel, start: B256, links: &[Link]) -> Result<(), usize> {
    check_links_on(&kernel.widths(), start, links)
}

/// [`check_links`] on these widths, widest first.
pub(crate) fn check_links_on(widths: &[Width], start: B256, links: &[Link]) -> Result<(), usize> {
    // A link without a step is wrong whatever its hash; what stands behind it need not be looked at.
    let empty = links.iter().position(|link| link.num_hashes == 0);
    let links = &links[..empty.unwrap_or(links.len())];
    let before = std::iter::once(&start).chain(links.iter().map(|link| &link.hash));
    let mut reached: Vec<Words> = before.take(links.len()).map(kernel::to_words).collect();

    let steps: Vec<u64> =
        links.iter().map(|link| link.num_hashes - u64::from(link.mixin.is_some())).collect();
    kernel::chains(widths, &mut reached, &steps);

    let records: Vec<(usize, Words)> = (links.iter().enumerate())
        .filter_map(|(index, link)| Some((index, kernel::to_words(&link.mixin?))))
        .collect();
    kernel::mixes(widths, &mut reached, &records);

    let wrong = reached.iter().zip(links).position(|(state, link)| kernel::to_hash(state) != link.hash);
    wrong.or(empty).map_or(Ok(()), Err)
}
