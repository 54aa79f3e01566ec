//! Logs for transfers of the native coin, which leave none of their own.

use alloy_primitives::{Address, B256, Log, LogData, U256, address, b256};
use revm::Inspector;
use revm::interpreter::{
    CallInputs, CallOutcome, CreateInputs, CreateOutcome, Interpreter, InterpreterTypes,
};

/// Who seems to have emitted the logs of native transfers.
pub(super) const EMITTER: Address = address!("eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee");
/// ERC-20's `Transfer(address,address,uint256)`.
const TRANSFER_TOPIC: B256 = b256!("ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef");

/// Collects all logs of a transaction, with one for each transfer of value in its place among them. What a
/// reverted frame logged is dropped with the frame.
#[derive(Debug, Default)]
pub(super) struct TransferLogs {
    enabled: bool,
    frames: Vec<Vec<Log>>,
    done: Vec<Log>,
}

impl TransferLogs {
    pub(super) fn new(enabled: bool) -> Self {
        Self { enabled, ..Self::default() }
    }

    /// The logs of the transaction that just ran; ready for the next one afterwards.
    pub(super) fn take(&mut self) -> Option<Vec<Log>> {
        self.frames.clear();
        self.enabled.then(|| std::mem::take(&mut self.done))
    }

    fn enter(&mut self) {
        if self.enabled {
            self.frames.push(Vec::new());
        }
    }

    fn add(&mut self, log: Log) {
        if let Some(frame) = self.frames.last_mut() {
            frame.push(log);
        }
    }

    fn transfer(&mut self, from: Address, to: Address, value: U256) {
        if !value.is_zero() {
            let topics = vec![TRANSFER_TOPIC, from.into_word(), to.into_word()];
            let data = LogData::new_unchecked(topics, value.to_be_bytes_vec().into());
            self.add(Log { address: EMITTER, data });
        }
    }

    fn leave(&mut self, success: bool) {
        let Some(frame) = self.frames.pop() else { return };
        if success {
            self.frames.last_mut().unwrap_or(&mut self.done).extend(frame);
        }
    }
}

impl<CTX, IT: InterpreterTypes> Inspector<CTX, IT> for TransferLogs {
    fn log(&mut self, _context: &mut CTX, log: Log) {
        self.add(log);
    }

    fn log_full(&mut self, _interpreter: &mut Interpreter<IT>, _context: &mut CTX, log: Log) {
        self.add(log);
    }

    fn call(&mut self, _context: &mut CTX, inputs: &mut CallInputs) -> Option<CallOutcome> {
        self.enter();
        if let Some(value) = inputs.transfer_value() {
            self.transfer(inputs.transfer_from(), inputs.transfer_to(), value);
        }
        None
    }

    fn call_end(&mut self, _context: &mut CTX, _inputs: &CallInputs, outcome: &mut CallOutcome) {
        self.leave(outcome.result.is_ok());
    }

    fn create(&mut self, _context: &mut CTX, _inputs: &mut CreateInputs) -> Option<CreateOutcome> {
        self.enter();
        None
    }

    fn create_end(&mut self, _context: &mut CTX, inputs: &CreateInputs, outcome: &mut CreateOutcome) {
        // The address is known now; the transfer came before all that the init code logged.
        if let (Some(frame), Some(address)) = (self.frames.last_mut(), outcome.address) {
            let logged = std::mem::take(frame);
            self.transfer(inputs.caller(), address, inputs.value());
            if let Some(frame) = self.frames.last_mut() {
                frame.extend(logged);
            }
        }
        self.leave(outcome.result.is_ok());
    }

    fn selfdestruct(&mut self, contract: Address, target: Address, value: U256) {
        if contract != target {
            self.transfer(contract, target, value);
        }
    }
}
