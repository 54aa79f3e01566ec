//! The hash clock: recording a sequence, cutting it into slices, checking any slice alone.
