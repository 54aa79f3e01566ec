use anfs_execution::system::{REWARDS, SEATS};
use anfs_primitives::{
    CallForm, CrossCall, CrossMessage, GasPayment, InboundBatch, MessageBody, RootHeader, SeatIndex, Slot,
    StretchProof, Supply, decode,
};
use anfs_state::StateRead;

use super::super::genesis_root;
use super::*;
use crate::genesis::{DEFAULT_CHAIN_ID, DEFAULT_MNEMONIC, GenesisChoices, devnet_spec};

const GENESIS_MS: u64 = 1_700_000_000_000;

fn spec() -> Arc<ChainSpec> {
    let choices = GenesisChoices {
        chain_id: DEFAULT_CHAIN_ID,
        shards: 2,
        verifiers: 1,
        slot_ms: 250,
        mnemonic: DEFAULT_MNEMONIC.into(),
        accounts: 1,
        balance: 10,
        block_gas_limit: 200_000_000,
        genesis_time_ms: GENESIS_MS,
    };
    Arc::new(devnet_spec(&choices).unwrap())
}

fn machine() -> RootMachine {
    let spec = spec();
    let genesis = genesis_root(&spec).unwrap().header;
    RootMachine::genesis(&spec, &genesis).unwrap()
}

/// The next block, so many issues after genesis.
fn block(machine: &RootMachine, issues: u64, messages: Vec<CrossMessage>) -> RootBlock {
    let head = machine.head();
    let header = RootHeader {
        network: machine.spec.network,
        height: head.height().next(),
        parent: head.block.header.root_reference.hash,
        epoch: head.block.header.epoch,
        view: head.block.header.view,
        proposer: RootSeat { domain: DomainId(2), seat: SeatIndex(1) },
        timestamp_ms: GENESIS_MS + machine.spec.issuance.interval_ms * issues + head.height().0,
        references_root: B256::ZERO,
        tips: Default::default(),
        inbound_root: B256::ZERO,
        parent_commit: B256::ZERO,
        execution: head.execution.clone(),
        supply: Supply::default(),
    };
    let proof = StretchProof { beside: Default::default(), lanes: 1, index: 0, siblings: Default::default() };
    let batches = (!messages.is_empty()).then(|| InboundBatch {
        source: DomainId(1),
        height: Height(1),
        messages: messages.try_into().unwrap(),
        proof,
    });
    RootBlock {
        header: header.seal(),
        references: Default::default(),
        inbound: batches.into_iter().collect::<Vec<_>>().try_into().unwrap(),
        parent_commit: None,
    }
}

/// A call from shard 1 that the root has to turn away or run.
fn call(recipient: Address, sequence: u64) -> CrossMessage {
    let sender = (0u64..).map(|n| Address::left_padding_from(&(n + 0x1000).to_be_bytes()));
    let body = CrossCall {
        sender: { sender }.find(|it| DomainMap::new(2).home(it) == DomainId(1)).unwrap(),
        recipient,
        value: U256::ZERO,
        gas_limit: 100_000,
        payment: GasPayment::Prepaid { max_fee: 3_000_000_000, max_tip: 1_000 },
        deadline: Slot(u64::MAX),
        data: Default::default(),
        form: CallForm::Direct,
        result: None,
    };
    CrossMessage {
        network: spec().network,
        source: DomainId(1),
        destination: DomainId::ROOT,
        sequence,
        origin: B256::repeat_byte(7),
        body: MessageBody::Call(body),
    }
}

#[test]
fn what_a_block_comes_to_is_what_its_issue_and_its_messages_do() {
    let mut machine = machine();
    let first = block(&machine, 0, vec![]);
    let nothing = machine.execute(&first).unwrap().execution.clone();
    assert_eq!((nothing.issued, nothing.gas_used), (U256::ZERO, 0));
    let second = block(&machine, 3, vec![call(SEATS, 0)]);
    let executed = machine.execute(&second).unwrap();
    let told = &executed.execution;
    let issued = machine.spec.issuance().issued_at(second.header.timestamp_ms);
    assert!(!issued.is_zero());
    assert_eq!(told.issued, issued);
    assert_eq!(executed.state.account(&REWARDS).unwrap().unwrap().balance, issued);
    assert_eq!(told.consumed[0].consumed, 1);
    assert_eq!(told.value_in, call(SEATS, 0).value());
    assert_eq!(told.value_in, told.value_out + told.burned, "the root keeps nothing of what came");
    assert!(!told.burned.is_zero(), "the call has run, and failed");
    assert!(!executed.block.crossing.arrivals[0].receipt.as_ref().unwrap().success);
    // What is left of its gas goes back, and the tip to the proposer's account.
    assert_eq!(executed.block.crossing.sent.len(), 2);
    assert_eq!(told.outbox_root, outbox_root(&executed.block.crossing.sent));
    assert_eq!(
        (executed.block.header.gas_used, executed.block.prev_randao),
        (told.gas_used, second.header.hash())
    );
    let third = block(&machine, 3, vec![]);
    assert_eq!(machine.execute(&third).unwrap().execution.issued, issued, "an issue is minted once");
}

#[test]
fn what_was_saved_goes_on_as_if_nothing_had_happened() {
    let mut machine = machine();
    for height in 1..=300 {
        let next = block(&machine, height, vec![]);
        machine.execute(&next).unwrap();
    }
    let mut twin = machine;
    for round in 0..3 {
        let saved = encode(&twin.save().unwrap());
        let saved: SavedAccounts = decode(&saved, 1 << 24).unwrap();
        assert_eq!(saved.height(), Height(300 + round));
        let mut restored = RootMachine::restore(&twin.spec, saved.clone()).unwrap();
        assert_eq!(restored.save().unwrap(), saved, "whole, though little of it was read");
        let next = block(&twin, 301 + round, vec![call(SEATS, round)]);
        let (one, other) = (twin.execute(&next).unwrap(), restored.execute(&next).unwrap());
        assert_eq!(one.execution, other.execution);
        assert_eq!((&one.block.header, one.block.timestamp), (&other.block.header, other.block.timestamp));
        let kept = encode(&ExecutionRecord::of(&one));
        let kept: ExecutionRecord = decode(&kept, 1 << 20).unwrap();
        let read = kept.into_block();
        assert_eq!((&read.header, &read.crossing), (&one.block.header, &one.block.crossing));
        // The next round goes on from what was read.
        twin = restored;
    }
}
