//! Stops a call that nobody waits for any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use revm::Inspector;
use revm::interpreter::interpreter_types::LoopControl;
use revm::interpreter::{InstructionResult, Interpreter, InterpreterTypes};

/// Instructions between two looks at the flag.
const STEPS_BETWEEN_CHECKS: u32 = 1024;

/// An inspector that halts the call once its owner raises a flag.
#[derive(Clone, Debug)]
pub(crate) struct Canceller {
    flag: Option<Arc<AtomicBool>>,
    steps: u32,
}

impl Canceller {
    pub(crate) fn new(flag: Option<Arc<AtomicBool>>) -> Self {
        Self { flag, steps: 0 }
    }

    /// Whether there is a flag to watch.
    pub(crate) fn has_flag(&self) -> bool {
        self.flag.is_some()
    }

    /// Whether the flag is up.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.flag.as_ref().is_some_and(|flag| flag.load(Ordering::Relaxed))
    }
}

impl<CTX, IT: InterpreterTypes> Inspector<CTX, IT> for Canceller {
    fn step(&mut self, interpreter: &mut Interpreter<IT>, _context: &mut CTX) {
        self.steps = self.steps.wrapping_add(1);
        if self.steps.is_multiple_of(STEPS_BETWEEN_CHECKS) && self.is_cancelled() {
            // Every frame above runs into the flag as well, so the call ends within a few steps of each.
            self.steps = u32::MAX;
            if interpreter.bytecode.action().is_none() {
                interpreter.halt(InstructionResult::OutOfGas);
            }
        }
    }
}
