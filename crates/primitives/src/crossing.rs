//! Where accounts live, and the messages that cross between domains.
//!
//! ```text
//!   source domain                                          destination domain
//!   transaction ─▶ CrossMessage ─▶ outbox root ─▶ final ─▶ consumed in lane order ─▶ credit, call, route
//! ```
//!
//! spec: PROTOCOL §8, §9; Domains D1–D9

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use borsh::{BorshDeserialize, BorshSerialize};

use crate::codec::{BoundedVec, encode};
use crate::ids::{DomainId, NetworkId, Slot};
use crate::receipt::Receipt;
use crate::transaction::TRANSACTION_BYTES_MAX;

/// Hard cap of an encoded message: a call with all the data that a transaction can hold, and its frame.
pub const MESSAGE_BYTES_MAX: usize = TRANSACTION_BYTES_MAX + 1024;

/// Gas that a transfer from a contract to a foreign account may use where it arrives. The contract has paid 25,000 for
/// opening an account that it has not opened.
pub const TRANSFER_ALLOWANCE: u64 = 10_000;
/// What taking in a call weighs in a block, beside its data and the gas that it may use.
pub const CALL_GAS: u64 = 21_000;
/// What a byte of a call's data weighs in a block.
pub const CALL_BYTE_GAS: u64 = 16;
/// What a credit weighs in a block.
pub const CREDIT_GAS: u64 = 21_000;
/// Bytes of a call's output at most that go back with its result.
pub const RESULT_DATA_MAX: usize = 1024;
/// What a route weighs in a block: it may create an account with code.
pub const ROUTE_GAS: u64 = 53_000;

const MESSAGE_TAG: &[u8] = b"anfs/cross-message/v2";

/// The shards of a network, and which of them is home to an address. spec: Domains D1
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DomainMap {
    shards: u32,
}

impl DomainMap {
    /// The map of a network with this many shards, which must not be 0.
    ///
    /// # Panics
    /// When `shards` is 0: a chain spec has at least one.
    #[must_use]
    pub fn new(shards: u32) -> Self {
        assert!(shards > 0, "a network has at least one shard");
        Self { shards }
    }

    /// How many shards there are.
    #[must_use]
    pub fn shards(self) -> u32 {
        self.shards
    }

    /// The shard whose range of hash prefixes holds the address; the root, if there is one, for the addresses of its own
    /// contracts.
    #[must_use]
    pub fn home(self, address: &Address) -> DomainId {
        if self.shards > 1 && is_root_contract(address) {
            return DomainId::ROOT;
        }
        self.home_of_hash(&keccak256(address))
    }

    /// The shard that is home to the address with this keccak256, if it is none of a contract of the root.
    #[must_use]
    pub fn home_of_hash(self, hashed_address: &B256) -> DomainId {
        let prefix = u64::from_be_bytes(hashed_address[..8].try_into().expect("a hash has 32 bytes"));
        let index = (u128::from(self.shards) * u128::from(prefix)) >> 64;
        DomainId(1 + u32::try_from(index).expect("below the number of shards"))
    }
}

/// The address of one of the root's system contracts: `0x…0a00` and the 255 above. spec: Domains D3
#[must_use]
pub const fn root_contract(number: u8) -> Address {
    let mut address = [0; 20];
    address[18] = ROOT_CONTRACTS;
    address[19] = number;
    Address::new(address)
}

/// Whether an address is set aside for a system contract of the root.
#[must_use]
pub fn is_root_contract(address: &Address) -> bool {
    *address == root_contract(address[19])
}

/// The last byte but one of the addresses of the root's contracts; all bytes before are zero.
const ROOT_CONTRACTS: u8 = 0x0a;

/// The first bytes of the code that marks an account as living elsewhere. Code of contracts cannot begin with `0xef`
/// (EIP-3541), and EIP-7702 uses another second byte.
const ROUTE_PREFIX: [u8; 2] = [0xef, 0x02];

/// The code of an account that lives in `domain`. spec: Domains D4
#[must_use]
pub fn route_code(domain: DomainId) -> Bytes {
    [ROUTE_PREFIX.as_slice(), &domain.0.to_be_bytes()].concat().into()
}

/// The domain that an account's code points to, if it is a route.
#[must_use]
pub fn route_target(code: &[u8]) -> Option<DomainId> {
    let domain = code.strip_prefix(&ROUTE_PREFIX)?;
    Some(DomainId(u32::from_be_bytes(domain.try_into().ok()?)))
}

/// How an address follows from its creator.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Derivation {
    /// By CREATE, or by a transaction without recipient.
    Create {
        /// Creator.
        creator: Address,
        /// Its nonce.
        nonce: u64,
    },
    /// By CREATE2.
    Create2 {
        /// Creator.
        creator: Address,
        /// Salt.
        salt: B256,
        /// Hash of the initialisation code.
        init_code_hash: B256,
    },
}

impl Derivation {
    /// Who created it.
    #[must_use]
    pub fn creator(&self) -> Address {
        match self {
            Self::Create { creator, .. } | Self::Create2 { creator, .. } => *creator,
        }
    }

    /// The address that follows.
    #[must_use]
    pub fn address(&self) -> Address {
        match self {
            Self::Create { creator, nonce } => creator.create(*nonce),
            Self::Create2 { creator, salt, init_code_hash } => creator.create2(*salt, *init_code_hash),
        }
    }
}

/// Who pays for the gas of a call that has crossed, all amounts in wei for a unit of gas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum GasPayment {
    /// The sender, from what has crossed with the call: the gas limit at `max_fee`.
    Prepaid {
        /// At most this, the tip included.
        max_fee: u128,
        /// At most this for the proposer.
        max_tip: u128,
    },
    /// Nobody any more: the source has charged for it.
    Allowance,
}

/// How a call's data are to be taken where it arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum CallForm {
    /// As call data of the sender's own.
    Direct,
    /// As the payload of an ERC-7786 message, which the gateway hands over in its own name. spec: Domains D22
    Gateway {
        /// The message's identifier, as its sender knows it.
        id: B256,
    },
}

/// What a sender who wants to know the outcome of a call has asked for. spec: Domains D18
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ResultRequest {
    /// What the sender knows the call by.
    pub id: B256,
    /// Gas that taking note of the outcome may use. The source has charged for it.
    pub gas_limit: u64,
}

/// The outcome of a call, on its way back. spec: Domains D19
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct CallResult {
    /// What was asked for.
    pub request: ResultRequest,
    /// Whether the call ran and did not fail.
    pub success: bool,
    /// What it returned or reverted with, cut off after [`RESULT_DATA_MAX`] bytes.
    pub data: BoundedVec<u8, RESULT_DATA_MAX>,
}

/// A call that crosses.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct CrossCall {
    /// Who calls.
    pub sender: Address,
    /// Whom.
    pub recipient: Address,
    /// Value that goes with it, in wei.
    pub value: U256,
    /// Gas that it may use.
    pub gas_limit: u64,
    /// Who pays for that.
    pub payment: GasPayment,
    /// Last slot of the destination in which it may run.
    pub deadline: Slot,
    /// Call data, or payload.
    pub data: BoundedVec<u8, TRANSACTION_BYTES_MAX>,
    /// What the data are.
    pub form: CallForm,
    /// Who wants to know what came of it, if anybody does.
    pub result: Option<ResultRequest>,
}

impl CrossCall {
    /// Gas that it may use: what was paid for. Nothing vouches for an allowance above the one that every source grants.
    #[must_use]
    pub fn gas(&self) -> u64 {
        match self.payment {
            GasPayment::Prepaid { .. } => self.gas_limit,
            GasPayment::Allowance => self.gas_limit.min(TRANSFER_ALLOWANCE),
        }
    }

    /// What taking it in weighs in a block, before it runs.
    #[must_use]
    pub fn intake_gas(&self) -> u64 {
        CALL_GAS + CALL_BYTE_GAS * self.data.len() as u64
    }

    /// Coins set aside for its gas, in wei.
    #[must_use]
    pub fn prepaid(&self) -> U256 {
        match self.payment {
            GasPayment::Prepaid { max_fee, .. } => {
                U256::from(self.gas_limit).saturating_mul(U256::from(max_fee))
            }
            GasPayment::Allowance => U256::ZERO,
        }
    }
}

impl CallResult {
    /// What taking it in weighs in a block, before anybody is told.
    #[must_use]
    pub fn intake_gas(&self) -> u64 {
        CALL_GAS + CALL_BYTE_GAS * self.data.len() as u64
    }
}

/// What a message brings.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum MessageBody {
    /// A call. spec: Domains D12
    Call(CrossCall),
    /// What came of a call. spec: Domains D19
    Result(CallResult),
    /// Coins, which run no code. spec: Domains D14
    Credit {
        /// Whose they are.
        recipient: Address,
        /// How many, in wei.
        value: U256,
    },
    /// The news that an account was created in the source, away from its home. spec: Domains D8, D15
    Route {
        /// How its address came about.
        derivation: Derivation,
    },
}

/// A message from one domain to another. spec: PROTOCOL §9
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct CrossMessage {
    /// Network.
    pub network: NetworkId,
    /// Domain that sent it.
    pub source: DomainId,
    /// Domain that consumes it.
    pub destination: DomainId,
    /// Its number in the lane from source to destination, from 0.
    pub sequence: u64,
    /// Hash of the transaction that it belongs to; zero for what a block did on its own.
    pub origin: B256,
    /// What it brings.
    pub body: MessageBody,
}

impl CrossMessage {
    /// The hash that names the message. No two messages of a network share one: it binds lane and number.
    #[must_use]
    pub fn id(&self) -> B256 {
        keccak256([MESSAGE_TAG, &encode(self)].concat())
    }

    /// What it weighs in the block that consumes it, at most: the work of taking it in, and of the call. spec: Domains D10
    #[must_use]
    pub fn gas(&self) -> u64 {
        match &self.body {
            MessageBody::Call(call) => call.intake_gas().saturating_add(call.gas()),
            MessageBody::Result(result) => result.intake_gas().saturating_add(result.request.gas_limit),
            MessageBody::Credit { .. } => CREDIT_GAS,
            MessageBody::Route { .. } => ROUTE_GAS,
        }
    }

    /// Coins in flight with it, prepaid gas included, in wei.
    #[must_use]
    pub fn value(&self) -> U256 {
        match &self.body {
            MessageBody::Call(call) => call.value.saturating_add(call.prepaid()),
            MessageBody::Credit { value, .. } => *value,
            MessageBody::Result(_) | MessageBody::Route { .. } => U256::ZERO,
        }
    }
}

/// A message that a block has consumed.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Arrival {
    /// The message.
    pub message: CrossMessage,
    /// What a call came to, turned away or run, or whom a result was told; `None` for what cannot fail.
    pub receipt: Option<Receipt>,
}

/// Messages of one block at most, in either direction.
pub const BLOCK_MESSAGES_MAX: usize = 1 << 20;

/// What a block had to do with other domains.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct BlockCrossing {
    /// Messages consumed, in the order in which they were.
    pub arrivals: BoundedVec<Arrival, BLOCK_MESSAGES_MAX>,
    /// Messages sent: by destination, and of each lane in the order of their numbers.
    pub sent: BoundedVec<CrossMessage, BLOCK_MESSAGES_MAX>,
}

#[cfg(test)]
mod tests {
    use alloy_primitives::address;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_home_is_one_of_the_shards_and_stays_in_its_range_when_they_split(
            bytes in any::<[u8; 20]>(), shards in 1u32..4096,
        ) {
            let address = Address::from(bytes);
            let home = DomainMap::new(shards).home(&address);
            prop_assert!((1..=shards).contains(&home.0));
            let split = DomainMap::new(2 * shards).home(&address);
            prop_assert_eq!((split.0 - 1) / 2, home.0 - 1);
        }

        #[test]
        fn a_route_reads_back(domain in any::<u32>()) {
            prop_assert_eq!(route_target(&route_code(DomainId(domain))), Some(DomainId(domain)));
        }
    }

    #[test]
    fn the_roots_contracts_are_at_home_in_the_root_if_there_is_one() {
        for (address, is_one) in [
            (address!("0000000000000000000000000000000000000a00"), true),
            (address!("0000000000000000000000000000000000000aff"), true),
            (address!("00000000000000000000000000000000000009ff"), false),
            (address!("0000000000000000000000000000000000000b00"), false),
            (address!("0100000000000000000000000000000000000a00"), false),
        ] {
            assert_eq!(is_root_contract(&address), is_one);
            assert_eq!(DomainMap::new(2).home(&address) == DomainId::ROOT, is_one);
            assert_eq!(DomainMap::new(1).home(&address), DomainId(1));
        }
    }

    #[test]
    fn homes_spread_evenly() {
        let map = DomainMap::new(4);
        let mut residents = [0u32; 4];
        for i in 0..4000u64 {
            residents[map.home(&Address::left_padding_from(&(i << 16).to_be_bytes())).0 as usize - 1] += 1;
        }
        assert!(residents.iter().all(|count| (900..1100).contains(count)), "{residents:?}");
    }

    #[test]
    fn only_a_whole_route_is_one() {
        let code = route_code(DomainId(3));
        assert_eq!(route_target(&code[..5]), None);
        assert_eq!(route_target(&[&code[..], &[0]].concat()), None);
        assert_eq!(route_target(&[0xef, 0x01, 0, 0, 0, 3]), None, "a delegation of EIP-7702 is none");
    }

    #[test]
    fn addresses_follow_as_ethereum_derives_them() {
        // The examples of EIP-1014 and of the yellow paper's CREATE.
        let create2 = Derivation::Create2 {
            creator: address!("deadbeef00000000000000000000000000000000"),
            salt: B256::ZERO,
            init_code_hash: keccak256([0u8]),
        };
        assert_eq!(create2.address(), address!("B928f69Bb1D91Cd65274e3c79d8986362984fDA3"));
        let create =
            Derivation::Create { creator: address!("6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0"), nonce: 0 };
        assert_eq!(create.address(), address!("cd234a471b72ba2f1ccf0a70fcaba648a5eecd8d"));
    }
}
