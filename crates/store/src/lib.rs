//! The disk: block log, state tables, signing record and crash recovery.
