//! Bounds the memory that the recording of a trace takes.
//!
//! Gas bounds what a call may compute, but not what a tracer keeps of it: a hundred gas of a warm call with a
//! megabyte of call data is a megabyte recorded. So every step, call and log is charged with about what its
//! record takes, and the run is halted once the request's allowance is spent.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, Log, U256};
use alloy_rpc_types_trace::geth::{
    GethDebugBuiltInTracerType, GethDebugTracerType, GethDebugTracingOptions, GethDefaultTracingOptions,
};
use revm::Inspector;
use revm::bytecode::opcode::{SLOAD, SSTORE};
use revm::interpreter::interpreter_types::{InputsTr, Jumps, LoopControl, MemoryTr, ReturnData, StackTr};
use revm::interpreter::{
    CallInputs, CallOutcome, CreateInputs, CreateOutcome, InstructionResult, Interpreter, InterpreterTypes,
};

/// What a step's record takes without stack, memory and storage.
const STEP_BYTES: usize = 512;
/// A stack word: once as recorded, once in the answer.
const STACK_WORD_BYTES: usize = 64;
/// A byte of memory or return data: as recorded, and as hex in the answer.
const BYTE_BYTES: usize = 4;
/// A slot in a step's picture of the storage.
const SLOT_BYTES: usize = 128;
/// What a call's or log's record takes without its data.
const FRAME_BYTES: usize = 1024;

/// An inspector that counts what others record, and halts the run when it is too much.
#[derive(Debug)]
pub(crate) struct Budget {
    left: usize,
    /// How steps are recorded; `None` when they are not.
    steps: Option<GethDefaultTracingOptions>,
    recorded: u64,
    slots: BTreeMap<Address, BTreeSet<U256>>,
    exceeded: bool,
}

impl Budget {
    /// An allowance for one transaction that is traced with these options.
    pub(crate) fn new(left: usize, options: &GethDebugTracingOptions) -> Self {
        let steps = match &options.tracer {
            None => true,
            Some(GethDebugTracerType::BuiltInTracer(tracer)) => {
                *tracer == GethDebugBuiltInTracerType::Erc7562Tracer
            }
            Some(GethDebugTracerType::JsTracer(name)) => name.is_empty(),
        };
        let steps = steps.then_some(options.config);
        Self { left, steps, recorded: 0, slots: BTreeMap::new(), exceeded: false }
    }

    /// What is left for the transactions that follow; `None` when the run was halted.
    pub(crate) fn left(&self) -> Option<usize> {
        (!self.exceeded).then_some(self.left)
    }

    fn charge(&mut self, bytes: usize) {
        match self.left.checked_sub(bytes) {
            Some(left) => self.left = left,
            None => self.exceeded = true,
        }
    }

    fn charge_step<IT: InterpreterTypes>(&mut self, interpreter: &Interpreter<IT>) {
        let Some(config) = self.steps else { return };
        // After the limit that the client set itself, nothing more is recorded.
        if config.limit.is_some_and(|limit| limit > 0 && self.recorded >= limit) {
            return;
        }
        self.recorded += 1;
        let mut bytes = STEP_BYTES;
        if config.is_stack_enabled() {
            bytes += STACK_WORD_BYTES * interpreter.stack.len();
        }
        if config.is_memory_enabled() {
            bytes += BYTE_BYTES * interpreter.memory.size();
        }
        if config.is_return_data_enabled() {
            bytes += BYTE_BYTES * interpreter.return_data.buffer().len();
        }
        if config.is_storage_enabled() && matches!(interpreter.bytecode.opcode(), SLOAD | SSTORE) {
            let slots = self.slots.entry(interpreter.input.target_address()).or_default();
            slots.extend(interpreter.stack.data().last());
            bytes += SLOT_BYTES * slots.len();
        }
        self.charge(bytes);
    }
}

impl<CTX, IT: InterpreterTypes> Inspector<CTX, IT> for Budget {
    fn step(&mut self, interpreter: &mut Interpreter<IT>, _context: &mut CTX) {
        self.charge_step(interpreter);
        // Every frame above comes here as well, so the whole run ends within a step of each.
        if self.exceeded && interpreter.bytecode.action().is_none() {
            interpreter.halt(InstructionResult::OutOfGas);
        }
    }

    fn log(&mut self, _context: &mut CTX, log: Log) {
        self.charge(FRAME_BYTES + BYTE_BYTES * log.data.data.len());
    }

    fn call(&mut self, _context: &mut CTX, inputs: &mut CallInputs) -> Option<CallOutcome> {
        self.charge(FRAME_BYTES + BYTE_BYTES * inputs.input.len());
        None
    }

    fn call_end(&mut self, _context: &mut CTX, _inputs: &CallInputs, outcome: &mut CallOutcome) {
        self.charge(BYTE_BYTES * outcome.result.output.len());
    }

    fn create(&mut self, _context: &mut CTX, inputs: &mut CreateInputs) -> Option<CreateOutcome> {
        self.charge(FRAME_BYTES + BYTE_BYTES * inputs.init_code().len());
        None
    }

    fn create_end(&mut self, _context: &mut CTX, _inputs: &CreateInputs, outcome: &mut CreateOutcome) {
        self.charge(BYTE_BYTES * outcome.result.output.len());
    }
}
