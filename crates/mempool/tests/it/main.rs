//! The pool from outside: admission errors as wallets see them, the builder's cycle, and a long random run
//! against a naive model.

mod admission;
mod builder;
mod model;
mod support;
