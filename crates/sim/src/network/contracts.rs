//! Contracts of the bank: a call may bring a small program, whose runs pay, call on, fail, and ask what came of a call.
//!
//! It keeps to the rules for contracts that call across: coins go with the call or come back, a result is owed to whoever
//! asked and taken from nobody but whom he asked.
//!
//! spec: Domains D13, D16, D18–D20, D23

use alloy_primitives::{Address, B256, U256, keccak256};
use anfs_primitives::crossing::{CallForm, CallResult, CrossCall, GasPayment, ResultRequest};
use anfs_primitives::{BoundedVec, DomainId, MessageBody, Slot, decode, encode};
use borsh::{BorshDeserialize, BorshSerialize};

use super::bank::{ACCOUNTS, Bank, Outcome, address, place};
use crate::rng::Rng;

/// First byte of a call's data that a program follows.
const RUNS: u8 = 2;
/// Bytes of an encoded program at most.
const PROGRAM_BYTES_MAX: usize = 4096;
/// Calls within calls of a drawn program at most.
const DEPTH_MAX: u32 = 3;
/// Price of gas that a call offers, in wei.
const MAX_FEE: u128 = 3;
/// Gas that taking note of a result may use.
pub(super) const CALLBACK_GAS: u64 = 20_000;

/// What a call does where it arrives.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) struct Program {
    /// Undoes it all in the end.
    pub(super) fails: bool,
    pub(super) steps: Vec<Step>,
}

/// One thing that a program does, with so many 256ths of the coins that came with the call.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) enum Step {
    /// Pays an account, here or elsewhere.
    Pay { to: Address, share: u8 },
    /// Calls an account elsewhere.
    Call { share: u8, call: Request },
}

/// A call that is to be sent.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) struct Request {
    pub(super) to: Address,
    pub(super) gas: u64,
    /// Whether its sender wants to know what comes of it.
    pub(super) asks: bool,
    pub(super) program: Program,
}

/// A result that an account waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub(super) struct Waiting {
    sender: u16,
    from: DomainId,
    gas: u64,
}

/// The identifier of a domain's call. spec: Domains D23
pub(super) fn call_id(domain: DomainId, number: u64) -> B256 {
    keccak256(encode(&(domain, number)))
}

impl Program {
    /// The program that a call's data hold; `None` for a plain call.
    pub(super) fn of(data: &[u8]) -> Option<Self> {
        let (mark, bytes) = data.split_first()?;
        // Only a captured shard sends what is none: that is a call like any other.
        if *mark == RUNS { decode(bytes, PROGRAM_BYTES_MAX).ok() } else { None }
    }

    fn data(&self) -> Vec<u8> {
        [vec![RUNS], encode(self)].concat()
    }

    fn draw(rng: &mut Rng, shards: u32, here: DomainId, depth: u32) -> Self {
        let steps = (0..rng.below(4)).map(|_| {
            let share = u8::try_from(rng.between(20, 120)).expect("below 256");
            if depth > 1 && rng.chance(600) {
                Step::Call { share, call: Request::draw(rng, shards, here, depth - 1) }
            } else {
                let shard = DomainId(u32::try_from(rng.below(u64::from(shards) + 1)).expect("few shards"));
                Step::Pay { to: address(shard, account(rng)), share }
            }
        });
        Self { steps: steps.collect(), fails: rng.chance(200) }
    }
}

impl Request {
    /// A call from one domain to another, which may call on.
    pub(super) fn draw(rng: &mut Rng, shards: u32, from: DomainId, depth: u32) -> Self {
        let others: Vec<DomainId> = (0..=shards).map(DomainId).filter(|other| *other != from).collect();
        let domain = *rng.pick(&others);
        Self {
            to: address(domain, account(rng)),
            gas: rng.between(0, 30_000),
            asks: rng.chance(600),
            program: Program::draw(rng, shards, domain, depth),
        }
    }

    /// One as deep as they come.
    pub(super) fn draw_deep(rng: &mut Rng, shards: u32, from: DomainId) -> Self {
        Self::draw(rng, shards, from, DEPTH_MAX)
    }
}

fn account(rng: &mut Rng) -> u16 {
    u16::try_from(rng.below(u64::from(ACCOUNTS))).expect("few accounts")
}

impl Bank {
    /// Sends a call of an account with so many coins, prepaid gas included; nothing if they do not reach for the gas.
    pub(super) fn request(&mut self, from: u16, coins: U256, request: &Request, out: &mut Outcome) {
        let prepaid = U256::from(request.gas) * U256::from(MAX_FEE);
        let (destination, _) = place(&request.to);
        let Some(value) = coins.checked_sub(prepaid) else { return };
        if !self.pay(from, coins) {
            return;
        }
        let id = call_id(self.domain, self.calls);
        self.calls += 1;
        let result = request.asks.then_some(ResultRequest { id, gas_limit: CALLBACK_GAS });
        if let Some(request) = &result {
            let gas = request.gas_limit;
            self.waiting.insert(id, Waiting { sender: from % ACCOUNTS, from: destination, gas });
        }
        let call = CrossCall {
            sender: address(self.domain, from % ACCOUNTS),
            recipient: request.to,
            value,
            gas_limit: request.gas,
            payment: GasPayment::Prepaid { max_fee: MAX_FEE, max_tip: 0 },
            deadline: Slot(u64::MAX),
            data: BoundedVec::try_from(request.program.data()).expect("drawn programs are small"),
            form: CallForm::Direct,
            result,
        };
        out.calls += 1;
        self.send(destination, MessageBody::Call(call), out);
    }

    /// What the account that was called does with the coins that came.
    pub(super) fn run(&mut self, account: u16, coins: U256, program: &Program, out: &mut Outcome) {
        for step in &program.steps {
            let part = |share: &u8| coins * U256::from(*share) / U256::from(256);
            match step {
                Step::Pay { to, share } => {
                    let value = part(share);
                    if self.pay(account, value) {
                        self.credit(to, value, out);
                    }
                }
                Step::Call { share, call } => self.request(account, part(share), call, out),
            }
        }
    }

    /// Tells whoever asked what came of a call. spec: Domains D19
    pub(super) fn answer(&mut self, to: DomainId, call: &CrossCall, success: bool, out: &mut Outcome) {
        let Some(request) = call.result else { return };
        let result = CallResult { request, success, data: BoundedVec::new() };
        self.send(to, MessageBody::Result(result), out);
    }

    /// Takes a result from whom it was asked of, once; any other does nothing. spec: Domains D20, D21
    pub(super) fn take(&mut self, from: DomainId, result: &CallResult, out: &mut Outcome) {
        let ResultRequest { id, gas_limit } = result.request;
        let waits = self.waiting.get(&id).filter(|word| word.from == from && word.gas == gas_limit);
        let Some(Waiting { sender, .. }) = waits.copied() else {
            out.unasked += 1;
            return;
        };
        self.waiting.remove(&id);
        out.answered.push((id, from));
        // The callback sets something aside if all went well, so that a lost or doubled one shows in the state.
        let aside = U256::from(id[0]) + U256::ONE;
        if result.success && self.pay(sender, aside) {
            *self.account(u16::from(id[1])) += aside;
        }
    }
}
