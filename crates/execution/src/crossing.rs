//! The two ends of a message: what leaves a block, and what a message does where it arrives.
//!
//! ```text
//!   execute(transaction) ─┐                              ┌─ call ── runs, then what is left goes back
//!                         ├─▶ outbox ─▶ … ─▶ arrive(m) ──┼─ credit ─ adds up, or goes on
//!   arrive(message) ──────┘                              └─ route ── marks the home of a guest
//! ```
//!
//! No coin is made or lost on the way: what leaves a foreign account's books is in a message, what a message
//! holds is credited, burned as base fee, paid as tip, or sent on. spec: PROTOCOL §9; Domains D6–D15

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, keccak256};
use anfs_primitives::crossing::{BLOCK_MESSAGES_MAX, TRANSFER_ALLOWANCE, route_code};
use anfs_primitives::{
    Arrival, CrossCall, CrossMessage, Derivation, DomainId, GasPayment, InboxCursor, LaneCount, MessageBody,
    Receipt, ReceiptKind, Slot,
};
use anfs_state::StateRead;
use revm::bytecode::Bytecode;
use revm::context::TxEnv;
use revm::primitives::TxKind;

use crate::domain::{DomainEnv, Place, Residence};
use crate::error::ExecutionError;
use crate::executor::BlockExecutor;
use crate::handler::Watch;
use crate::overlay::Leftovers;

/// What a message did on arrival.
#[derive(Clone, Debug)]
pub enum ArrivalOutcome {
    /// The call ran, or was turned away.
    Call(Leg),
    /// Coins were credited or went on, or a route was taken note of.
    Settled,
}

/// What is to be done with a message that arrives.
#[derive(Debug)]
pub(crate) enum Staged {
    /// It is run as this transaction.
    Call(Box<TxEnv>),
    /// It is turned away.
    Refused(Refusal),
    /// It is no call.
    Settled,
}

/// What came of a call that had crossed.
#[derive(Clone, Debug)]
pub struct Leg {
    /// The message.
    pub message: B256,
    /// The transaction that it belongs to.
    pub origin: B256,
    /// Its receipt.
    pub receipt: Receipt,
    /// Why it was turned away unrun, if it was.
    pub refused: Option<Refusal>,
}

/// Why a call that arrived was not run. spec: Domains D13
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Its time is over.
    #[error("the call arrived after its deadline, slot {0}")]
    Late(Slot),
    /// It offers less than the base fee.
    #[error("the call offers {offered} wei a gas; the base fee is {base_fee}")]
    Underpriced {
        /// Its maximum fee.
        offered: u128,
        /// The base fee of the block.
        base_fee: u64,
    },
    /// The source cannot speak for the sender.
    #[error("domain {source_domain} cannot speak for {sender}, who does not live there")]
    Unbelieved {
        /// Who is said to call.
        sender: Address,
        /// Where the message came from.
        source_domain: DomainId,
    },
    /// The recipient lives in another domain.
    #[error("{recipient} does not live here but in domain {domain}")]
    Elsewhere {
        /// Whom it calls.
        recipient: Address,
        /// Where he lives.
        domain: DomainId,
    },
}

/// What a block has consumed, sent and burned so far.
#[derive(Debug)]
pub(crate) struct Crossing {
    env: DomainEnv,
    sent: BTreeMap<DomainId, LaneCount>,
    consumed: BTreeMap<DomainId, u64>,
    messages: Vec<CrossMessage>,
    pub(crate) legs: Vec<Leg>,
    value_in: U256,
    value_out: U256,
    /// Tips of a proposer who lives elsewhere; sent on at the end of the block.
    tips: U256,
}

/// A block's dealings with other domains.
#[derive(Clone, Debug, Default)]
pub struct CrossingOutcome {
    /// Messages that it sends, lane by lane in the order of their numbers.
    pub messages: Vec<CrossMessage>,
    /// Messages sent since genesis, by destination, ascending.
    pub sent: Vec<LaneCount>,
    /// Messages consumed since genesis, by source, ascending.
    pub consumed: Vec<InboxCursor>,
    /// The calls among the messages that it consumed.
    pub legs: Vec<Leg>,
    /// Coins that came with messages, in wei.
    pub value_in: U256,
    /// Coins that left with messages, in wei.
    pub value_out: U256,
}

impl Crossing {
    pub(crate) fn new(env: DomainEnv) -> Self {
        Self {
            sent: env.sent.iter().map(|lane| (lane.destination, *lane)).collect(),
            consumed: env.consumed.iter().map(|lane| (lane.source, lane.consumed)).collect(),
            env,
            messages: Vec::new(),
            legs: Vec::new(),
            value_in: U256::ZERO,
            value_out: U256::ZERO,
            tips: U256::ZERO,
        }
    }

    fn post(&mut self, destination: DomainId, origin: B256, body: MessageBody) {
        let none = LaneCount { destination, sent: 0, value: U256::ZERO };
        let lane = self.sent.entry(destination).or_insert(none);
        let message = CrossMessage {
            network: self.env.network,
            source: self.env.domain,
            destination,
            sequence: lane.sent,
            origin,
            body,
        };
        lane.sent += 1;
        lane.value += message.value();
        self.value_out += message.value();
        self.messages.push(message);
    }

    fn credit(&mut self, destination: DomainId, origin: B256, recipient: Address, value: U256) {
        if !value.is_zero() {
            self.post(destination, origin, MessageBody::Credit { recipient, value });
        }
    }

    fn deadline(&self) -> Slot {
        Slot(self.env.slot.0.saturating_add(self.env.call_lifetime))
    }

    /// Sends away what a transaction left in foreign accounts: each transfer as a call of its own (D7), the rest as credits.
    fn sweep(&mut self, origin: B256, transfers: &Watch, left: &mut Leftovers, beneficiary: Address) {
        let deadline = self.deadline();
        for transfer in &transfers.transfers {
            let Some((domain, held)) = left.foreign.get_mut(&transfer.to) else { continue };
            // A proposer's tips were mixed in, and what a caller from afar holds was lent, so neither is all transfer.
            let Some(rest) = held.checked_sub(transfer.value).filter(|_| !transfer.value.is_zero()) else {
                continue;
            };
            *held = rest;
            let call = CrossCall {
                sender: transfer.from,
                recipient: transfer.to,
                value: transfer.value,
                gas_limit: TRANSFER_ALLOWANCE,
                payment: GasPayment::Allowance,
                deadline,
                data: Default::default(),
            };
            self.post(*domain, origin, MessageBody::Call(call));
        }
        for (address, (domain, value)) in &left.foreign {
            if *address == beneficiary {
                self.tips += *value;
            } else {
                self.credit(*domain, origin, *address, *value);
            }
        }
    }

    /// Tells every other shard of the accounts that were created away from home (D8).
    fn announce(&mut self, origin: B256, creations: &[Derivation], guests: &[Address]) {
        let mut unannounced: Vec<Address> = guests.to_vec();
        for derivation in creations {
            let address = derivation.address();
            let Ok(at) = unannounced.binary_search(&address) else { continue };
            unannounced.remove(at);
            let here = self.env.domain;
            for to in (1..=self.env.map.shards()).map(DomainId).filter(|to| *to != here) {
                self.post(to, origin, MessageBody::Route { derivation: derivation.clone() });
            }
        }
    }
}

impl<S: StateRead> BlockExecutor<S> {
    /// Makes this a block of one domain of several: what concerns other domains leaves as messages.
    /// To be called before anything is executed.
    #[must_use]
    pub fn in_domain(mut self, env: DomainEnv) -> Self {
        self.evm.context_mut().journaled_state.database.set_place(Place::new(env.domain, env.map));
        self.crossing = Some(Crossing::new(env));
        self
    }

    /// The domain where a transaction's recipient lives, if that is another one.
    pub(crate) fn destination(&mut self, tx: &TxEnv) -> Result<Option<DomainId>, ExecutionError> {
        let TxKind::Call(to) = tx.kind else { return Ok(None) };
        Ok(match self.residence(&to)? {
            Residence::Here => None,
            Residence::At(domain) => Some(domain),
        })
    }

    pub(crate) fn residence(&mut self, address: &Address) -> Result<Residence, ExecutionError> {
        Ok(self.evm.context_mut().journaled_state.database.residence(address)?)
    }

    /// Sends a transaction's call on its way; the gas that is left of its limit goes with it, prepaid. spec: Domains D6
    pub(crate) fn depart(
        &mut self,
        origin: B256,
        tx: &TxEnv,
        destination: DomainId,
        gas_used: u64,
        left: &mut Leftovers,
    ) {
        let TxKind::Call(recipient) = tx.kind else { return };
        let Some(crossing) = &mut self.crossing else { return };
        // A transaction to its own proposer mixes the value with the tips.
        if let Some((_, held)) = left.foreign.get_mut(&recipient) {
            *held = held.saturating_sub(tx.value);
        }
        let max_fee = tx.gas_price;
        let call = CrossCall {
            sender: tx.caller,
            recipient,
            value: tx.value,
            gas_limit: tx.gas_limit.saturating_sub(gas_used),
            payment: GasPayment::Prepaid { max_fee, max_tip: tx.gas_priority_fee.unwrap_or(max_fee) },
            deadline: crossing.deadline(),
            data: tx.data.to_vec().try_into().expect("a transaction's data is bounded by its size"),
        };
        crossing.post(destination, origin, MessageBody::Call(call));
    }

    /// Sends away what a transaction did to foreign accounts.
    pub(crate) fn dispatch(&mut self, origin: B256, watch: &Watch, mut left: Leftovers) {
        let beneficiary = self.evm.context().block.beneficiary;
        let Some(crossing) = &mut self.crossing else { return };
        crossing.sweep(origin, watch, &mut left, beneficiary);
        if !left.guests.is_empty() {
            crossing.announce(origin, &watch.creations, &left.guests);
        }
    }

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
                ArrivalOutcome::Call(leg) => Some(leg.receipt),
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
            MessageBody::Call(call) => self.arrive_call(message, call).map(ArrivalOutcome::Call),
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
    fn pay(&mut self, origin: B256, recipient: Address, value: U256) -> Result<(), ExecutionError> {
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
        let (success, gas_used, logs) = if refused.is_some() {
            self.pay(message.origin, call.sender, message.value())?;
            (false, 0, Vec::new())
        } else {
            self.run_call(message, call)?
        };
        self.gas_used = self.gas_used.saturating_add(call.intake_gas()).saturating_add(gas_used);
        let receipt = Receipt {
            kind: ReceiptKind::Legacy,
            success,
            cumulative_gas_used: self.gas_used,
            gas_used,
            contract_address: None,
            logs,
        };
        let leg = Leg { message: message.id(), origin: message.origin, receipt, refused };
        if let Some(crossing) = &mut self.crossing {
            crossing.legs.push(leg.clone());
        }
        Ok(leg)
    }

    /// The next message as a transaction, if it is a call that is not turned away; its value is lent to its sender.
    pub(crate) fn stage(&mut self, message: &CrossMessage) -> Result<Staged, ExecutionError> {
        let MessageBody::Call(call) = &message.body else { return Ok(Staged::Settled) };
        Ok(match self.refusal(message, call)? {
            Some(refusal) => Staged::Refused(refusal),
            None => Staged::Call(Box::new(self.transaction_of(message, call))),
        })
    }

    /// The transaction as which a call is run. Its value is lent to its sender.
    fn transaction_of(&mut self, message: &CrossMessage, call: &CrossCall) -> TxEnv {
        let base_fee = u128::from(self.evm.context().block.basefee);
        let price = match call.payment {
            GasPayment::Prepaid { max_fee, max_tip } => max_fee.min(base_fee.saturating_add(max_tip)),
            GasPayment::Allowance => 0,
        };
        let tx = TxEnv {
            caller: call.sender,
            gas_limit: self.weight(message).saturating_sub(call.intake_gas()),
            gas_price: price,
            kind: TxKind::Call(call.recipient),
            value: call.value,
            data: Bytes::copy_from_slice(&call.data),
            chain_id: Some(self.evm.context().cfg.chain_id),
            ..TxEnv::default()
        };
        self.evm.context_mut().journaled_state.database.lend(call.sender, call.value);
        tx
    }

    /// Runs a call that was not turned away, and settles its gas. spec: Domains D12, D13
    fn run_call(
        &mut self,
        message: &CrossMessage,
        call: &CrossCall,
    ) -> Result<(bool, u64, Vec<alloy_primitives::Log>), ExecutionError> {
        let base_fee = u128::from(self.evm.context().block.basefee);
        let tx = self.transaction_of(message, call);
        let (price, gas_limit) = (tx.gas_price, tx.gas_limit);
        let (result, mut left, watch) = self.run_arrival(tx)?;
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
        self.dispatch(message.origin, &watch, left);
        let success = result.is_success();
        Ok((success, gas_used, if success { result.into_logs() } else { Vec::new() }))
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

    /// Marks the home of an account that lives elsewhere, or passes the news on. spec: Domains D15
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

    /// Ends the block's dealings with other domains.
    pub(crate) fn finish_crossing(&mut self) -> Result<Option<CrossingOutcome>, ExecutionError> {
        let beneficiary = self.evm.context().block.beneficiary;
        let tips = self.crossing.as_mut().map_or(U256::ZERO, |crossing| std::mem::take(&mut crossing.tips));
        self.pay(B256::ZERO, beneficiary, tips)?;
        Ok(self.crossing.take().map(|crossing| {
            let mut messages = crossing.messages;
            messages.sort_by_key(|message| message.destination);
            CrossingOutcome {
                messages,
                sent: crossing.sent.into_values().collect(),
                consumed: crossing
                    .consumed
                    .into_iter()
                    .map(|(source, consumed)| InboxCursor { source, consumed })
                    .collect(),
                legs: crossing.legs,
                value_in: crossing.value_in,
                value_out: crossing.value_out,
            }
        }))
    }
}
