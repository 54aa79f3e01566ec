//! The precompile: what a contract's call to `CrossDomain` does.

use alloy_primitives::{Address, B256, Bytes, Log, U256};
use alloy_sol_types::{SolCall as _, SolError, SolEvent as _, SolInterface as _};
use anfs_primitives::DomainId;
use anfs_primitives::crossing::{CALL_BYTE_GAS, CALL_GAS, RESULT_DATA_MAX};
use anfs_primitives::transaction::TRANSACTION_BYTES_MAX;
use anfs_state::StateRead;
use revm::context_interface::context::ContextError;
use revm::context_interface::{ContextTr, JournalTr};
use revm::interpreter::{CallInputs, Gas, InstructionResult, InterpreterResult};
use revm::state::Account;

use super::abi::ICrossDomain::{
    self, DataTooLong, FeeTooHigh, ICrossDomainCalls, LivesElsewhere, LivesHere, NotPermitted, WrongPayment,
};
use super::note::call_id;
use super::{COUNT_SLOT, CROSS_DOMAIN, GATEWAY, Pending};
use crate::domain::Residence;
use crate::error::DatabaseError;
use crate::evm::EvmContext;
use crate::overlay::Overlay;

/// What any call costs, and each word of its data.
const BASE_GAS: u64 = 100;
const WORD_GAS: u64 = 3;
/// Looking where an account lives, as EIP-2929 prices a first look.
const LOOK_GAS: u64 = 2_600;
/// Sending a call: taking it in at the other end, and here the counter, a look and the log.
const SEND_GAS: u64 = CALL_GAS + 5_000 + LOOK_GAS + 1_400;
/// Each byte of its data: it is in this block's log and message and in the other's. As the floor price of EIP-7623.
const SEND_BYTE_GAS: u64 = 40;
/// Asking for a result: taking it in with as much data as it may have, and the word that waits for it.
const RESULT_GAS: u64 = CALL_GAS + CALL_BYTE_GAS * RESULT_DATA_MAX as u64 + 22_100;

/// Why a call to the precompile does not succeed.
pub(super) enum Fault {
    /// It reverts and says why.
    Revert(Bytes),
    OutOfGas,
    /// The state could not be read.
    Database(DatabaseError),
}

impl From<DatabaseError> for Fault {
    fn from(error: DatabaseError) -> Self {
        Self::Database(error)
    }
}

/// A revert with one of the interface's errors.
pub(super) fn refuse(error: &impl SolError) -> Fault {
    Fault::Revert(error.abi_encode().into())
}

/// A call that is to be sent.
pub(super) struct Letter {
    pub(super) to: Address,
    pub(super) value: U256,
    pub(super) gas_limit: u64,
    pub(super) max_fee: U256,
    pub(super) data: Bytes,
    /// Gas for being told what came of it; 0 for not being told.
    pub(super) result_gas: u64,
    pub(super) via_gateway: bool,
}

/// A call to one of the precompiles.
pub(super) struct Frame<'a, S: StateRead> {
    pub(super) context: &'a mut EvmContext<Overlay<S>>,
    pub(super) inputs: &'a CallInputs,
    gas: Gas,
}

/// Runs a call to `CrossDomain` or the gateway.
pub(crate) fn run<S: StateRead>(
    context: &mut EvmContext<Overlay<S>>,
    inputs: &CallInputs,
) -> InterpreterResult {
    let gas = Gas::new_with_regular_gas_and_reservoir(inputs.gas_limit, inputs.reservoir);
    let mut frame = Frame { context, inputs, gas };
    let answer = frame.answer();
    let Frame { context, mut gas, .. } = frame;
    let (result, output) = match answer {
        Ok(output) => (InstructionResult::Return, output),
        Err(Fault::Revert(output)) => (InstructionResult::Revert, output),
        Err(Fault::OutOfGas) => (InstructionResult::PrecompileOOG, Bytes::new()),
        Err(Fault::Database(error)) => {
            context.error = Err(ContextError::Db(error));
            (InstructionResult::FatalExternalError, Bytes::new())
        }
    };
    if !matches!(result, InstructionResult::Return | InstructionResult::Revert) {
        gas.spend_all();
    }
    InterpreterResult { result, output, gas }
}

impl<S: StateRead> Frame<'_, S> {
    fn answer(&mut self) -> Result<Bytes, Fault> {
        let words = (self.inputs.input.len() as u64).div_ceil(32);
        self.charge(BASE_GAS.saturating_add(words.saturating_mul(WORD_GAS)))?;
        if self.inputs.target_address != self.inputs.bytecode_address {
            return Err(refuse(&NotPermitted {}));
        }
        let input = self.inputs.input.bytes(self.context);
        if self.inputs.target_address == GATEWAY { self.gateway(&input) } else { self.cross_domain(&input) }
    }

    fn cross_domain(&mut self, input: &[u8]) -> Result<Bytes, Fault> {
        let call = ICrossDomainCalls::abi_decode(input).map_err(|_| Fault::Revert(Bytes::new()))?;
        let (letter, paid) = match call {
            ICrossDomainCalls::domain(_) => {
                self.expect_no_coins()?;
                return Ok(ICrossDomain::domainCall::abi_encode_returns(&self.here().0).into());
            }
            ICrossDomainCalls::domainOf(call) => {
                self.expect_no_coins()?;
                self.charge(LOOK_GAS)?;
                let domain = self.domain_of(call.account)?;
                return Ok(ICrossDomain::domainOfCall::abi_encode_returns(&domain.0).into());
            }
            ICrossDomainCalls::send(call) => (
                Letter {
                    to: call.to,
                    value: call.value,
                    gas_limit: call.gasLimit,
                    max_fee: call.maxFeePerGas,
                    data: call.data,
                    result_gas: 0,
                    via_gateway: false,
                },
                self.inputs.value.get(),
            ),
            ICrossDomainCalls::sendWithResult(call) => (
                Letter {
                    to: call.to,
                    value: call.value,
                    gas_limit: call.gasLimit,
                    max_fee: call.maxFeePerGas,
                    data: call.data,
                    result_gas: call.resultGasLimit,
                    via_gateway: false,
                },
                self.inputs.value.get(),
            ),
        };
        let needed = letter.cost();
        if needed != Some(paid) {
            return Err(refuse(&WrongPayment { sent: paid, needed: needed.unwrap_or(U256::MAX) }));
        }
        let id = self.send(&letter)?;
        Ok(id.0.into())
    }

    /// Takes note of a call whose coins are in the predeploy's account, or on their way there within this frame.
    pub(super) fn send(&mut self, letter: &Letter) -> Result<B256, Fault> {
        if self.inputs.is_static {
            return Err(refuse(&NotPermitted {}));
        }
        let length = letter.data.len();
        if length > TRANSACTION_BYTES_MAX {
            let most = U256::from(TRANSACTION_BYTES_MAX);
            return Err(refuse(&DataTooLong { length: U256::from(length), most }));
        }
        if u128::try_from(letter.max_fee).is_err() {
            return Err(refuse(&FeeTooHigh { maxFeePerGas: letter.max_fee }));
        }
        self.charge(SEND_GAS + SEND_BYTE_GAS * length as u64)?;
        let gas_limit = letter.result_gas;
        if gas_limit > 0 {
            self.charge(RESULT_GAS.saturating_add(gas_limit))?;
        }
        let (here, sender) = (self.here(), self.inputs.caller);
        let lives = self.domain_of(sender)?;
        if lives != here {
            return Err(refuse(&LivesElsewhere { sender, domain: lives.0 }));
        }
        let domain = self.domain_of(letter.to)?;
        if domain == here {
            return Err(refuse(&LivesHere { to: letter.to }));
        }
        let network = self.context.cfg.chain_id;
        let journal = self.context.journal_mut();
        journal.load_account(CROSS_DOMAIN)?;
        journal.touch_account(CROSS_DOMAIN);
        let count = journal.sload(CROSS_DOMAIN, COUNT_SLOT)?.data;
        journal.sstore(CROSS_DOMAIN, COUNT_SLOT, count.wrapping_add(U256::from(1)))?;
        let id = call_id(network, here, count);
        if gas_limit > 0 {
            let pending = Pending { sender, domain, gas_limit };
            journal.sstore(CROSS_DOMAIN, id.into(), pending.to_word())?;
        }
        journal.log(Log { address: CROSS_DOMAIN, data: letter.event(id, sender, domain).encode_log_data() });
        Ok(id)
    }

    pub(super) fn charge(&mut self, cost: u64) -> Result<(), Fault> {
        if self.gas.record_regular_cost(cost) { Ok(()) } else { Err(Fault::OutOfGas) }
    }

    /// Coins that came with a question would stay here for ever.
    pub(super) fn expect_no_coins(&self) -> Result<(), Fault> {
        let sent = self.inputs.value.get();
        if sent.is_zero() { Ok(()) } else { Err(refuse(&WrongPayment { sent, needed: U256::ZERO })) }
    }

    fn here(&self) -> DomainId {
        self.context.journaled_state.database.domain()
    }

    /// The domain where an account lives; here, if this very transaction has created it.
    fn domain_of(&mut self, account: Address) -> Result<DomainId, Fault> {
        let here = self.here();
        let state = &mut self.context.journaled_state;
        // What is looked at is among what the transaction depends on.
        state.load_account(account)?;
        if state.inner.state.get(&account).is_some_and(Account::is_created) {
            return Ok(here);
        }
        Ok(match state.database.residence(&account).map_err(DatabaseError)? {
            Residence::Here => here,
            Residence::At(domain) => domain,
        })
    }
}

impl Letter {
    /// Coins that must come with it: its value, and its gas at the highest fee.
    fn cost(&self) -> Option<U256> {
        U256::from(self.gas_limit).checked_mul(self.max_fee)?.checked_add(self.value)
    }

    fn event(&self, id: B256, sender: Address, domain: DomainId) -> ICrossDomain::MessageSent {
        ICrossDomain::MessageSent {
            id,
            sender,
            to: self.to,
            domain: domain.0,
            value: self.value,
            gasLimit: self.gas_limit,
            maxFeePerGas: self.max_fee,
            resultGasLimit: self.result_gas,
            viaGateway: self.via_gateway,
            data: self.data.clone(),
        }
    }
}
