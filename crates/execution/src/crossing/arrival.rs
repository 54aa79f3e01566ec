//! What messages do where they arrive. spec: Domains D10–D15, D19–D22

use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, Log, U256, keccak256};
use alloy_sol_types::{Revert, SolCall as _, SolError as _};
use anfs_primitives::crossing::{BLOCK_MESSAGES_MAX, RESULT_DATA_MAX, route_code};
use anfs_primitives::{
    Arrival, CallForm, CallResult, CrossCall, CrossMessage, Derivation, GasPayment, MessageBody, Receipt,
    ReceiptKind, ResultRequest, Slot,
};
use anfs_state::StateRead;
use revm::bytecode::Bytecode;
use revm::context::TxEnv;
use revm::context::result::ExecutionResult;
use revm::primitives::TxKind;

use super::{ArrivalOutcome, Leg, Refusal, Staged};
use crate::cross_domain::{
    CROSS_DOMAIN, GATEWAY, IERC7786Recipient, IResultReceiver, Pending, interoperable,
};
use crate::domain::Residence;
use crate::error::ExecutionError;
use crate::executor::BlockExecutor;

/// What running something that arrived has come to.
struct Run {
    success: bool,
    gas_used: u64,
    output: Bytes,
    logs: Vec<Log>,
}

impl Run {
    fn turned_away(refusal: Refusal) -> Self {
        let output = Revert::from(refusal.word()).abi_encode().into();
        Self { success: false, gas_used: 0, output, logs: Vec::new() }
    }

    fn of(result: ExecutionResult, gas_used: u64) -> Self {
        let success = result.is_success();
        let output = result.output().cloned().unwrap_or_default();
        Self { success, gas_used, output, logs: if success { result.into_logs() } else { Vec::new() } }
    }
}

impl<S: StateRead> BlockExecutor<S> {
    /// Gas that the messages which a block consumes may weigh together. spec: Domains D10
    fn inbox_gas(&self) -> u64 {
        self.evm.context().block.gas_limit / 2
    }

    /// What a message may weigh at most. One that weighs more than the whole inbox would block its lane, so the block may
    /// be full with it, and its call has to do with what is left.
    fn weight(&self, message: &CrossMessage) -> u64 {
        message.gas().min(self.inbox_gas())
    }

    /// Consumes of the messages that are due, in their order, as many as fit into the block; what came of each.
    /// To be called before any transaction is executed. spec: Domains D10
    ///
    /// # Errors
    /// As [`Self::arrive`].
    pub fn arrive_due<'m>(
        &mut self,
        due: impl IntoIterator<Item = &'m CrossMessage>,
    ) -> Result<Vec<Arrival>, ExecutionError> {
        let mut left = self.inbox_gas();
        let mut arrivals = Vec::new();
        for message in due {
            let Some(rest) = left.checked_sub(self.weight(message)) else { break };
            if arrivals.len() == BLOCK_MESSAGES_MAX {
                break;
            }
            left = rest;
            let receipt = match self.arrive(message)? {
                ArrivalOutcome::Run(leg) => Some(leg.receipt),
                ArrivalOutcome::Settled => None,
            };
            arrivals.push(Arrival { message: message.clone(), receipt });
        }
        Ok(arrivals)
    }

    /// Consumes the next message of a lane. What it weighed counts as gas that the block has used, without what a call
    /// has left over.
    ///
    /// # Errors
    /// [`ExecutionError::Inbox`] when the message is not the next of its lane; [`ExecutionError::State`].
    pub fn arrive(&mut self, message: &CrossMessage) -> Result<ArrivalOutcome, ExecutionError> {
        let crossing =
            self.crossing.as_mut().ok_or(ExecutionError::Inbox { want: 0, have: message.sequence })?;
        let due = crossing.consumed.entry(message.source).or_default();
        let (here, network) = (crossing.env.domain, crossing.env.network);
        if message.sequence != *due || message.destination != here || message.network != network {
            return Err(ExecutionError::Inbox { want: *due, have: message.sequence });
        }
        *due += 1;
        crossing.value_in += message.value();
        match &message.body {
            MessageBody::Call(call) => self.arrive_call(message, call).map(ArrivalOutcome::Run),
            MessageBody::Result(result) => self.arrive_result(message, result).map(ArrivalOutcome::Run),
            MessageBody::Credit { recipient, value } => {
                self.gas_used = self.gas_used.saturating_add(message.gas());
                self.pay(message.origin, *recipient, *value)?;
                Ok(ArrivalOutcome::Settled)
            }
            MessageBody::Route { derivation } => {
                self.gas_used = self.gas_used.saturating_add(message.gas());
                self.arrive_route(message, derivation)?;
                Ok(ArrivalOutcome::Settled)
            }
        }
    }

    /// Gives coins to an account, wherever it lives.
    pub(super) fn pay(
        &mut self,
        origin: B256,
        recipient: Address,
        value: U256,
    ) -> Result<(), ExecutionError> {
        if value.is_zero() {
            return Ok(());
        }
        match self.residence(&recipient)? {
            Residence::Here => {
                let database = &mut self.evm.context_mut().journaled_state.database;
                database.edit(recipient, |info| info.balance = info.balance.saturating_add(value))?;
            }
            Residence::At(domain) => {
                if let Some(crossing) = &mut self.crossing {
                    crossing.credit(domain, origin, recipient, value);
                }
            }
        }
        Ok(())
    }

    fn refusal(
        &mut self,
        message: &CrossMessage,
        call: &CrossCall,
    ) -> Result<Option<Refusal>, ExecutionError> {
        let base_fee = self.evm.context().block.basefee;
        let slot = self.crossing.as_ref().map_or(Slot::ZERO, |crossing| crossing.env.slot);
        if slot > call.deadline {
            return Ok(Some(Refusal::Late(call.deadline)));
        }
        if let GasPayment::Prepaid { max_fee, .. } = call.payment
            && call.gas_limit > 0
            && max_fee < u128::from(base_fee)
        {
            return Ok(Some(Refusal::Underpriced { offered: max_fee, base_fee }));
        }
        if self.residence(&call.sender)? != Residence::At(message.source) {
            return Ok(Some(Refusal::Unbelieved { sender: call.sender, source_domain: message.source }));
        }
        Ok(match self.residence(&call.recipient)? {
            Residence::Here => None,
            Residence::At(domain) => Some(Refusal::Elsewhere { recipient: call.recipient, domain }),
        })
    }

    fn arrive_call(&mut self, message: &CrossMessage, call: &CrossCall) -> Result<Leg, ExecutionError> {
        let refused = self.refusal(message, call)?;
        let run = match refused {
            Some(refusal) => {
                self.pay(message.origin, call.sender, message.value())?;
                Run::turned_away(refusal)
            }
            None => self.run_call(message, call)?,
        };
        if let Some(request) = call.result
            && let Some(crossing) = &mut self.crossing
        {
            // After the coins that come back: who is told has them already.
            let data = run.output[..run.output.len().min(RESULT_DATA_MAX)].to_vec();
            let data = data.try_into().expect("cut off just now");
            let result = CallResult { request, success: run.success, data };
            crossing.post(message.source, message.origin, MessageBody::Result(result));
        }
        Ok(self.conclude(message, call.intake_gas(), run, refused))
    }

    /// Counts what a message has used, and keeps its receipt.
    fn conclude(
        &mut self,
        message: &CrossMessage,
        intake_gas: u64,
        run: Run,
        refused: Option<Refusal>,
    ) -> Leg {
        self.gas_used = self.gas_used.saturating_add(intake_gas).saturating_add(run.gas_used);
        let receipt = Receipt {
            kind: ReceiptKind::Legacy,
            success: run.success,
            cumulative_gas_used: self.gas_used,
            gas_used: run.gas_used,
            contract_address: None,
            logs: run.logs,
        };
        let leg = Leg { message: message.id(), origin: message.origin, receipt, refused };
        if let Some(crossing) = &mut self.crossing {
            crossing.legs.push(leg.clone());
        }
        leg
    }

    /// The next message as a transaction, if it runs something and is not turned away. The coins that it brings are then
    /// where the transaction takes them from.
    pub(crate) fn stage(&mut self, message: &CrossMessage) -> Result<Staged, ExecutionError> {
        Ok(match &message.body {
            MessageBody::Call(call) => match self.refusal(message, call)? {
                Some(refusal) => Staged::Refused(refusal),
                None => Staged::Run(Box::new(self.call_tx(message, call)?)),
            },
            MessageBody::Result(result) => match self.result_tx(message, result)? {
                Some(tx) => Staged::Run(Box::new(tx)),
                None => Staged::Refused(Refusal::Unasked(message.source)),
            },
            MessageBody::Credit { .. } | MessageBody::Route { .. } => Staged::Settled,
        })
    }

    /// The transaction as which a call runs. spec: Domains D12, D22
    fn call_tx(&mut self, message: &CrossMessage, call: &CrossCall) -> Result<TxEnv, ExecutionError> {
        let base_fee = u128::from(self.evm.context().block.basefee);
        let price = match call.payment {
            GasPayment::Prepaid { max_fee, max_tip } => max_fee.min(base_fee.saturating_add(max_tip)),
            GasPayment::Allowance => 0,
        };
        let gas_limit = self.weight(message).saturating_sub(call.intake_gas());
        let tx = match call.form {
            CallForm::Direct => {
                self.evm.context_mut().journaled_state.database.lend(call.sender, call.value);
                self.arrival_tx(call.sender, call.recipient, gas_limit, price, &call.data)
            }
            // The words of its envelope are written here, from a sender whom this domain believes: no other domain can put
            // them into the gateway's mouth.
            CallForm::Gateway { id } => {
                let envelope = IERC7786Recipient::receiveMessageCall {
                    receiveId: id,
                    sender: interoperable(self.evm.context().cfg.chain_id, call.sender),
                    payload: Bytes::copy_from_slice(&call.data),
                };
                self.move_coins(GATEWAY, |balance| balance.saturating_add(call.value))?;
                self.arrival_tx(GATEWAY, call.recipient, gas_limit, price, &envelope.abi_encode())
            }
        };
        Ok(TxEnv { value: call.value, ..tx })
    }

    /// Runs a call that was not turned away, and settles its gas. spec: Domains D12, D13
    fn run_call(&mut self, message: &CrossMessage, call: &CrossCall) -> Result<Run, ExecutionError> {
        let base_fee = u128::from(self.evm.context().block.basefee);
        let tx = self.call_tx(message, call)?;
        let (price, gas_limit) = (tx.gas_price, tx.gas_limit);
        let through_gateway = matches!(call.form, CallForm::Gateway { .. });
        // The standard's way of saying that this was a recipient of such messages, and took it.
        let taken = |output: &Bytes| {
            let selector = IERC7786Recipient::receiveMessageCall::SELECTOR;
            !through_gateway || (output.len() == 32 && output.starts_with(&selector))
        };
        let (result, mut left, watch) = self.run_arrival(tx, taken)?;
        if through_gateway && !result.is_success() && !call.value.is_zero() {
            self.move_coins(GATEWAY, |balance| balance.saturating_sub(call.value))?;
            let back = left.foreign.entry(call.sender).or_insert((message.source, U256::ZERO));
            back.1 = back.1.saturating_add(call.value);
        }
        let gas_used = result.tx_gas_used().min(gas_limit);

        let paid = U256::from(gas_used).saturating_mul(U256::from(price));
        let burned = if price == 0 { U256::ZERO } else { U256::from(gas_used) * U256::from(base_fee) };
        self.burned += burned;
        let beneficiary = self.evm.context().block.beneficiary;
        self.tip(beneficiary, paid.saturating_sub(burned))?;
        let unused = call.prepaid().saturating_sub(paid);
        if !unused.is_zero() {
            let back = left.foreign.entry(call.sender).or_insert((message.source, U256::ZERO));
            back.1 = back.1.saturating_add(unused);
        }
        self.dispatch(message.origin, watch, left);
        Ok(Run::of(result, gas_used))
    }

    /// A call as the transaction that it runs as; it carries no value.
    fn arrival_tx(&self, caller: Address, to: Address, gas_limit: u64, price: u128, data: &[u8]) -> TxEnv {
        TxEnv {
            caller,
            gas_limit,
            gas_price: price,
            kind: TxKind::Call(to),
            data: Bytes::copy_from_slice(data),
            chain_id: Some(self.evm.context().cfg.chain_id),
            ..TxEnv::default()
        }
    }

    fn move_coins(
        &mut self,
        account: Address,
        change: impl FnOnce(U256) -> U256,
    ) -> Result<(), ExecutionError> {
        let database = &mut self.evm.context_mut().journaled_state.database;
        Ok(database.edit(account, |info| info.balance = change(info.balance))?)
    }

    /// Tells the sender of a call what came of it, if he waits for that, and from there. spec: Domains D19, D20
    fn arrive_result(&mut self, message: &CrossMessage, result: &CallResult) -> Result<Leg, ExecutionError> {
        let Some(tx) = self.result_tx(message, result)? else {
            let refusal = Refusal::Unasked(message.source);
            return Ok(self.conclude(message, result.intake_gas(), Run::turned_away(refusal), Some(refusal)));
        };
        let gas_limit = tx.gas_limit;
        let (outcome, left, watch) = self.run_arrival(tx, |_| true)?;
        self.dispatch(message.origin, watch, left);
        let gas_used = outcome.tx_gas_used().min(gas_limit);
        Ok(self.conclude(message, result.intake_gas(), Run::of(outcome, gas_used), None))
    }

    /// The transaction that tells a result; `None` if nobody waits for it, or not from there. Nobody waits any more then.
    fn result_tx(
        &mut self,
        message: &CrossMessage,
        result: &CallResult,
    ) -> Result<Option<TxEnv>, ExecutionError> {
        let ResultRequest { id, gas_limit } = result.request;
        let database = &mut self.evm.context_mut().journaled_state.database;
        let pending = Pending::of_word(database.slot(&CROSS_DOMAIN, id.into())?)
            .filter(|pending| pending.domain == message.source && pending.gas_limit == gas_limit);
        let Some(pending) = pending else { return Ok(None) };
        database.set_slot(CROSS_DOMAIN, id.into(), U256::ZERO)?;
        let told = IResultReceiver::onCrossDomainResultCall {
            id,
            success: result.success,
            data: Bytes::copy_from_slice(&result.data),
        };
        let gas_limit = self.weight(message).saturating_sub(result.intake_gas());
        Ok(Some(self.arrival_tx(CROSS_DOMAIN, pending.sender, gas_limit, 0, &told.abi_encode())))
    }

    /// Pays a tip to a proposer, or keeps it for the end of the block if he lives elsewhere.
    fn tip(&mut self, beneficiary: Address, tip: U256) -> Result<(), ExecutionError> {
        if !tip.is_zero()
            && let Residence::At(_) = self.residence(&beneficiary)?
            && let Some(crossing) = &mut self.crossing
        {
            crossing.tips += tip;
            return Ok(());
        }
        self.pay(B256::ZERO, beneficiary, tip)
    }

    /// Notes that an account lives at the message's source, if that is where its creator lives. spec: Domains D15
    fn arrive_route(
        &mut self,
        message: &CrossMessage,
        derivation: &Derivation,
    ) -> Result<(), ExecutionError> {
        let (address, domain) = (derivation.address(), message.source);
        if self.residence(&derivation.creator())? != Residence::At(domain) {
            return Ok(());
        }
        let database = &mut self.evm.context_mut().journaled_state.database;
        let account = database.account(&address)?.unwrap_or_default();
        let unused = account.code_hash == KECCAK256_EMPTY || account.code_hash.is_zero();
        if account.nonce > 0 || !unused {
            return Ok(());
        }
        let code = route_code(domain);
        database.edit(address, |info| {
            info.balance = U256::ZERO;
            info.nonce = 1;
            info.code_hash = keccak256(&code);
            info.code = Some(Bytecode::new_legacy(code.clone()));
        })?;
        if let Some(crossing) = &mut self.crossing {
            crossing.credit(domain, message.origin, address, account.balance);
        }
        Ok(())
    }
}
