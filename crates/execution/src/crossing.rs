//! The two ends of a message: what leaves a block, and what a message does where it arrives.
//!
//! ```text
//!   execute(transaction) ─┐                              ┌─ call ── runs, then what is left goes back
//!                         ├─▶ outbox ─▶ … ─▶ arrive(m) ──┼─ result ─ is told to who waits for it
//!   arrive(message) ──────┘                              ├─ credit ─ adds up, or goes on
//!                                                        └─ route ── marks the home of a guest
//! ```
//!
//! No coin is made or lost on the way: what leaves a foreign account's books is in a message, what a message
//! holds is credited, burned as base fee, paid as tip, or sent on. spec: PROTOCOL §9; Domains D6–D23

mod arrival;

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, U256};
use anfs_primitives::crossing::TRANSFER_ALLOWANCE;
use anfs_primitives::{
    CallForm, CrossCall, CrossMessage, Derivation, DomainId, GasPayment, InboxCursor, LaneCount, MessageBody,
    Receipt, Slot,
};
use anfs_state::StateRead;
use revm::context::TxEnv;
use revm::primitives::TxKind;

use crate::cross_domain::Sent;
use crate::domain::{DomainEnv, Place, Residence};
use crate::error::ExecutionError;
use crate::executor::BlockExecutor;
use crate::handler::Watch;
use crate::overlay::Leftovers;

/// What a message did on arrival.
#[derive(Clone, Debug)]
pub enum ArrivalOutcome {
    /// The call ran, or the result was told; or either was turned away.
    Run(Leg),
    /// Coins were credited or went on, or a route was taken note of.
    Settled,
}

/// What is to be done with a message that arrives.
#[derive(Debug)]
pub(crate) enum Staged {
    /// It is run as this transaction.
    Run(Box<TxEnv>),
    /// It is turned away.
    Refused(Refusal),
    /// It runs nothing.
    Settled,
}

/// What came of a call that had crossed, or of telling its result.
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

/// Why a call that arrived was not run, or a result not told. spec: Domains D13, D19
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
    /// Nobody here waits for this result, or not for one from there.
    #[error("nobody waits for a result of this call from domain {0}")]
    Unasked(DomainId),
    /// The recipient lives in another domain.
    #[error("{recipient} does not live here but in domain {domain}")]
    Elsewhere {
        /// Whom it calls.
        recipient: Address,
        /// Where he lives.
        domain: DomainId,
    },
}

impl Refusal {
    /// The word for it that goes back with a result: contracts read it, so it is part of the protocol. spec: Domains D19
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Late(_) => "late",
            Self::Underpriced { .. } => "underpriced",
            Self::Unbelieved { .. } => "not believed",
            Self::Unasked(_) => "not asked",
            Self::Elsewhere { .. } => "elsewhere",
        }
    }
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
    /// The calls and results among the messages that it consumed.
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
                form: CallForm::Direct,
                result: None,
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

    /// Sends the calls that contracts have asked for, in their order (D16).
    fn send(&mut self, origin: B256, sent: Vec<Sent>) {
        let deadline = self.deadline();
        for Sent { destination, call } in sent {
            self.post(destination, origin, MessageBody::Call(CrossCall { deadline, ..call }));
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
            form: CallForm::Direct,
            result: None,
        };
        crossing.post(destination, origin, MessageBody::Call(call));
    }

    /// Sends away what a transaction did to foreign accounts.
    pub(crate) fn dispatch(&mut self, origin: B256, watch: Watch, mut left: Leftovers) {
        let beneficiary = self.evm.context().block.beneficiary;
        let Some(crossing) = &mut self.crossing else { return };
        // First, so that what a new account has sent finds its sender known.
        if !left.guests.is_empty() {
            crossing.announce(origin, &watch.creations, &left.guests);
        }
        crossing.sweep(origin, &watch, &mut left, beneficiary);
        crossing.send(origin, watch.sent);
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
