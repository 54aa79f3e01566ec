//! The block executor: revm frames, receipts, simulation and traces.
