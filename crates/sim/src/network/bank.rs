//! What runs in place of the EVM: a bank whose accounts pay each other within a shard and across.
//!
//! It keeps to what the network's rules are about: coins, lanes, cursors, calls that fail and bounce.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, U256, keccak256};
use anfs_primitives::crossing::{CallForm, CrossCall, GasPayment};
use anfs_primitives::{BoundedVec, CrossMessage, DomainId, MessageBody, NetworkId, Slot, encode};
use borsh::{BorshDeserialize, BorshSerialize};

use super::contracts::{Program, Request, Waiting};
use super::lies::Lie;

/// Accounts of a shard.
pub(super) const ACCOUNTS: u16 = 12;
/// Data of a call that fails where it arrives.
const FAILS: u8 = 1;

/// The address of a shard's account.
pub(super) fn address(domain: DomainId, index: u16) -> Address {
    let mut bytes = [0; 20];
    bytes[..4].copy_from_slice(&domain.0.to_be_bytes());
    bytes[18..].copy_from_slice(&index.to_be_bytes());
    Address::from(bytes)
}

/// The account of an address.
pub(super) fn place(address: &Address) -> (DomainId, u16) {
    let [a, b, c, d, .., high, low] = address.0.0;
    (DomainId(u32::from_be_bytes([a, b, c, d])), u16::from_be_bytes([high, low]))
}

/// What one transaction does.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub(super) enum Kind {
    /// Pays an account of the same shard.
    Transfer {
        to: u16,
    },
    /// Pays an account of another shard, by way of `via`: its shard, or one that must pass the coins on.
    Credit {
        to: Address,
        via: DomainId,
    },
    /// Calls an account of another shard, with coins for gas.
    Call {
        to: Address,
        fails: bool,
        gas: u64,
    },
    Burn,
    /// A captured shard breaks the rules: nobody honest takes this in.
    Lie(Lie),
    /// Calls an account of another shard with a program.
    Program(Request),
}

/// One transaction.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub(super) struct Operation {
    pub(super) from: u16,
    pub(super) value: U256,
    pub(super) kind: Kind,
}

/// A shard's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bank {
    pub(super) network: NetworkId,
    pub(super) domain: DomainId,
    pub(super) accounts: Vec<U256>,
    /// Messages and coins sent, by destination.
    pub(super) lanes: BTreeMap<DomainId, (u64, U256)>,
    /// Messages consumed, by source.
    pub(super) cursors: BTreeMap<DomainId, u64>,
    /// Calls with programs that were sent.
    pub(super) calls: u64,
    /// Results that accounts wait for, by their calls.
    pub(super) waiting: BTreeMap<B256, Waiting>,
}

/// What a block does beside changing the state.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome {
    pub(super) sent: Vec<CrossMessage>,
    pub(super) consumed: Vec<CrossMessage>,
    pub(super) value_in: U256,
    pub(super) value_out: U256,
    pub(super) burned: U256,
    pub(super) gas: u64,
    /// Transactions that crossed.
    pub(super) crossings: u64,
    /// Calls that bounced.
    pub(super) bounces: u64,
    /// Calls with programs that were sent.
    pub(super) calls: u64,
    /// Results that were taken: of which call, from whom.
    pub(super) answered: Vec<(B256, DomainId)>,
    /// Results that nobody here waits for.
    pub(super) unasked: u64,
    pub(super) lie: Option<Lie>,
}

impl Bank {
    pub(super) fn new(network: NetworkId, domain: DomainId, coins: U256) -> Self {
        let mut accounts = vec![coins / U256::from(ACCOUNTS); usize::from(ACCOUNTS)];
        accounts[0] += coins % U256::from(ACCOUNTS);
        let (lanes, cursors, waiting) = Default::default();
        Self { network, domain, accounts, lanes, cursors, calls: 0, waiting }
    }

    /// Coins of all accounts.
    pub(super) fn total(&self) -> U256 {
        self.accounts.iter().sum()
    }

    /// What a header commits to.
    pub(super) fn root(&self) -> B256 {
        let mut bytes: Vec<u8> = self.accounts.iter().flat_map(U256::to_be_bytes::<32>).collect();
        if self.calls > 0 {
            bytes.extend(encode(&(self.calls, &self.waiting)));
        }
        keccak256(bytes)
    }

    pub(super) fn account(&mut self, index: u16) -> &mut U256 {
        &mut self.accounts[usize::from(index % ACCOUNTS)]
    }

    pub(super) fn pay(&mut self, from: u16, value: U256) -> bool {
        let account = self.account(from);
        let enough = account.checked_sub(value);
        *account = enough.unwrap_or(*account);
        enough.is_some()
    }

    pub(super) fn send(&mut self, to: DomainId, body: MessageBody, out: &mut Outcome) {
        let lane = self.lanes.entry(to).or_default();
        let message = CrossMessage {
            network: self.network,
            source: self.domain,
            destination: to,
            sequence: lane.0,
            origin: B256::ZERO,
            body,
        };
        let value = message.value();
        *lane = (lane.0 + 1, lane.1 + value);
        out.value_out += value;
        out.sent.push(message);
    }

    /// Consumes what fits. spec: Domains D10
    pub(super) fn consume<'a>(
        &mut self,
        due: impl IntoIterator<Item = &'a CrossMessage>,
        inbox_gas: u64,
        out: &mut Outcome,
    ) {
        for message in due {
            let gas = message.gas().min(inbox_gas);
            if out.gas + gas > inbox_gas {
                return;
            }
            out.gas += gas;
            out.value_in += message.value();
            *self.cursors.entry(message.source).or_default() += 1;
            match &message.body {
                MessageBody::Credit { recipient, value } => self.credit(recipient, *value, out),
                MessageBody::Call(call) => self.call(message.source, call, out),
                MessageBody::Result(result) => self.take(message.source, result, out),
                // Nobody in this bank creates contracts.
                MessageBody::Route { .. } => {}
            }
            out.consumed.push(message.clone());
        }
    }

    /// Coins that have come, or that stay here: to the account, or on to where it lives. spec: Domains D14
    pub(super) fn credit(&mut self, recipient: &Address, value: U256, out: &mut Outcome) {
        let (domain, index) = place(recipient);
        if domain == self.domain {
            *self.account(index) += value;
        } else {
            self.send(domain, MessageBody::Credit { recipient: *recipient, value }, out);
        }
    }

    /// Half of what was prepaid is used and burned; what is left goes back, with the value if the call fails. A program
    /// runs unless it fails, and whoever asked is told of it.
    fn call(&mut self, source: DomainId, call: &CrossCall, out: &mut Outcome) {
        let prepaid = call.prepaid();
        let fee = prepaid / U256::from(2);
        out.burned += fee;
        let mut back = prepaid - fee;
        let program = Program::of(&call.data);
        let (here, index) = place(&call.recipient);
        let fails = call.data.first() == Some(&FAILS) || program.as_ref().is_some_and(|it| it.fails);
        let success = !fails && here == self.domain;
        if success {
            self.credit(&call.recipient, call.value, out);
            if let Some(program) = &program {
                self.run(index % ACCOUNTS, call.value, program, out);
            }
        } else {
            back += call.value;
            out.bounces += 1;
        }
        if !back.is_zero() {
            self.credit(&call.sender, back, out);
        }
        self.answer(source, call, success, out);
    }

    /// Runs a transaction; one that cannot pay does nothing.
    pub(super) fn operate(&mut self, operation: &Operation, out: &mut Outcome) {
        let Operation { from, value, kind } = operation;
        match kind {
            Kind::Transfer { to } => {
                if self.pay(*from, *value) {
                    *self.account(*to) += *value;
                }
            }
            Kind::Burn => {
                if self.pay(*from, *value) {
                    out.burned += *value;
                }
            }
            Kind::Credit { to, via } => {
                if self.pay(*from, *value) {
                    out.crossings += 1;
                    self.send(*via, MessageBody::Credit { recipient: *to, value: *value }, out);
                }
            }
            Kind::Call { to, fails, gas } => {
                let call = CrossCall {
                    sender: address(self.domain, *from % ACCOUNTS),
                    recipient: *to,
                    value: *value,
                    gas_limit: *gas,
                    payment: GasPayment::Prepaid { max_fee: 3, max_tip: 0 },
                    deadline: Slot(u64::MAX),
                    data: BoundedVec::try_from(vec![if *fails { FAILS } else { 0 }]).expect("one byte"),
                    form: CallForm::Direct,
                    result: None,
                };
                if self.pay(*from, *value + call.prepaid()) {
                    out.crossings += 1;
                    self.send(place(to).0, MessageBody::Call(call), out);
                }
            }
            Kind::Program(request) => {
                out.crossings += 1;
                self.request(*from, *value, request, out);
            }
            Kind::Lie(lie) => {
                out.lie = Some(*lie);
                lie.act(self, out);
            }
        }
    }

    /// What a transaction's encoding is.
    pub(super) fn encode(operation: &Operation) -> Vec<u8> {
        encode(operation)
    }
}
