//! The transaction pool: admission, ordering, replacement and limits.
