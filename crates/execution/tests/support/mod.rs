//! States, transactions and contracts for tests and benches.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_consensus::{EthereumTxEnvelope, SignableTransaction, TxEip1559, TxEip4844};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, b256, keccak256};
use anfs_execution::BlockEnv;
use anfs_primitives::spec::EvmFork;
use anfs_primitives::{GenesisAccount, RecoveredTransaction};

pub(crate) const CHAIN_ID: u64 = 1337;
pub(crate) const BASE_FEE: u64 = 1_000_000_000;
pub(crate) const TIP: u128 = 100;
pub(crate) const BENEFICIARY: Address = Address::repeat_byte(0xbe);
pub(crate) const TRANSFER_TOPIC: B256 =
    b256!("ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef");

/// A coin, in wei.
pub(crate) fn coins(n: u64) -> U256 {
    U256::from(n) * U256::from(10).pow(U256::from(18))
}

/// The `n`-th account without code.
pub(crate) fn user(n: u64) -> Address {
    Address::from_word(keccak256(n.to_be_bytes()))
}

pub(crate) fn env() -> BlockEnv {
    BlockEnv {
        chain_id: CHAIN_ID,
        fork: EvmFork::Prague,
        number: 7,
        timestamp: 1_700_000_000,
        beneficiary: BENEFICIARY,
        gas_limit: 1 << 40,
        base_fee: BASE_FEE,
        prevrandao: B256::repeat_byte(7),
        ancestors: Arc::new(BTreeMap::from([(6, B256::repeat_byte(6))])),
    }
}

pub(crate) fn funded(balance: U256) -> GenesisAccount {
    GenesisAccount { balance, ..GenesisAccount::default() }
}

pub(crate) fn contract(code: impl Into<Bytes>) -> GenesisAccount {
    GenesisAccount { nonce: 1, code: code.into(), ..GenesisAccount::default() }
}

/// A transaction with its claimed sender. Execution never looks at the signature.
pub(crate) fn signed<T: SignableTransaction<Signature>>(tx: T, sender: Address) -> RecoveredTransaction
where
    EthereumTxEnvelope<TxEip4844>: From<alloy_consensus::Signed<T>>,
{
    let signature = Signature::new(U256::from(1), U256::from(1), false);
    let envelope = EthereumTxEnvelope::<TxEip4844>::from(tx.into_signed(signature));
    RecoveredTransaction::decode_claimed(&envelope.encoded_2718().into(), sender).expect("well-formed")
}

/// An EIP-1559 transaction that pays the base fee and [`TIP`].
pub(crate) fn dynamic(
    nonce: u64,
    to: TxKind,
    value: U256,
    input: impl Into<Bytes>,
    gas_limit: u64,
) -> TxEip1559 {
    TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit,
        max_fee_per_gas: u128::from(BASE_FEE) * 2,
        max_priority_fee_per_gas: TIP,
        to,
        value,
        access_list: Default::default(),
        input: input.into(),
    }
}

pub(crate) fn transfer(from: Address, nonce: u64, to: Address, value: U256) -> RecoveredTransaction {
    signed(dynamic(nonce, to.into(), value, Bytes::new(), 21_000), from)
}

/// Runtime code of a token: `transfer(to, amount)` for any selector, balances at `keccak(owner, 0)`, a
/// `Transfer` log, `true` as output; reverts without data when the sender has too little.
pub(crate) fn token_code() -> Bytes {
    let mut code = vec![
        0x33, 0x5f, 0x52, // mem[0] = caller
        0x5f, 0x60, 0x20, 0x52, // mem[32] = 0
        0x60, 0x40, 0x5f, 0x20, 0x80, 0x54, // slot of the caller, its balance
        0x60, 0x24, 0x35, 0x80, 0x82, 0x10, 0x60, 0, 0x57, // balance < amount: jump to the end
        0x90, 0x03, 0x90, 0x55, // store balance - amount
        0x60, 0x04, 0x35, 0x5f, 0x52, 0x60, 0x40, 0x5f, 0x20, 0x80,
        0x54, // slot and balance of the receiver
        0x60, 0x24, 0x35, 0x01, 0x90, 0x55, // store balance + amount
        0x60, 0x24, 0x35, 0x5f, 0x52, 0x60, 0x04, 0x35, 0x33, 0x7f,
    ];
    let jump = 20;
    code.extend_from_slice(TRANSFER_TOPIC.as_slice());
    code.extend_from_slice(&[0x60, 0x20, 0x5f, 0xa3, 0x60, 1, 0x5f, 0x52, 0x60, 0x20, 0x5f, 0xf3]);
    code[jump] = u8::try_from(code.len()).expect("short code");
    code.extend_from_slice(&[0x5b, 0x5f, 0x5f, 0xfd]);
    code.into()
}

/// The slot that holds an owner's tokens.
pub(crate) fn token_slot(owner: Address) -> B256 {
    keccak256([owner.into_word().0, [0; 32]].concat())
}

/// A token in which the first `owners` users hold a million each.
pub(crate) fn token(owners: u64) -> GenesisAccount {
    let word = B256::from(U256::from(1_000_000));
    let storage = (0..owners).map(|n| (token_slot(user(n)), word)).collect();
    GenesisAccount { storage, ..contract(token_code()) }
}

/// Call data of the token's `transfer`.
pub(crate) fn token_input(to: Address, amount: u64) -> Bytes {
    [&[0xa9, 0x05, 0x9c, 0xbb], to.into_word().as_slice(), &U256::from(amount).to_be_bytes::<32>()]
        .concat()
        .into()
}
