//! Shard consensus as pure step machines: slices, verdicts, certificates.
