//! A random bank over several domains: whatever crosses, in whatever order, no coin is made or lost.

use std::collections::BTreeMap;

use alloy_primitives::{Address, Bytes, TxKind, U256};
use alloy_sol_types::SolCall as _;
use anfs_execution::system::CROSS_DOMAIN;
use anfs_primitives::{
    CallResult, CrossCall, DomainId, DomainMap, GenesisAccount, MessageBody, ResultRequest,
};
use anfs_state::StateRead as _;
use proptest::prelude::*;

use crate::cross_domain::{Courier, MOODS, courier};
use crate::domains::{Net, everywhere, resident};
use crate::support::*;

const SHARDS: u32 = 4;
const USERS: u64 = 12;
/// As many of them as couriers go to.
const CUSTOMERS: usize = 12;

/// Contracts of the bank, each at home in some domain.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// Pays all that it is sent to the address in its call data: `CALL(gas, data[0..32], callvalue)`.
    Payer,
    /// As the payer, but hands the call data's second word on, which nobody elsewhere can read.
    Talker,
    /// Destroys itself in favour of whom it is told, as far as Ethereum lets it: its coins move.
    Quitter,
    /// Creates a contract with its own coins.
    Factory,
    /// Takes nothing.
    Grumpy,
    /// A token in which every user has a million.
    Token,
}

const PLACES: [Place; 6] =
    [Place::Payer, Place::Talker, Place::Quitter, Place::Factory, Place::Grumpy, Place::Token];

impl Place {
    fn address(self) -> Address {
        user(1000 + self as u64)
    }

    fn account(self) -> GenesisAccount {
        let code: Vec<u8> = match self {
            Self::Payer => vec![0x5f, 0x5f, 0x5f, 0x5f, 0x34, 0x5f, 0x35, 0x5a, 0xf1, 0x00],
            Self::Talker => {
                // mem[0] = data[32..64]; CALL(gas, data[0..32], callvalue, 0, 32); revert if it failed.
                vec![
                    0x60, 0x20, 0x35, 0x5f, 0x52, 0x5f, 0x5f, 0x60, 0x20, 0x5f, 0x34, 0x5f, 0x35, 0x5a, 0xf1,
                    0x60, 0x16, 0x57, 0x5f, 0x5f, 0xfd, 0x00, 0x5b, 0x00,
                ]
            }
            Self::Quitter => vec![0x5f, 0x35, 0xff],
            // CREATE(callvalue, mem[0..4]) with the code 0x60015ff3: one that returns one zero byte.
            Self::Factory => {
                vec![0x63, 0x60, 0x01, 0x5f, 0xf3, 0x5f, 0x52, 0x60, 0x04, 0x60, 0x1c, 0x34, 0xf0, 0x00]
            }
            Self::Grumpy => vec![0x5f, 0x5f, 0xfd],
            Self::Token => {
                let storage = (0..USERS)
                    .map(|n| (token_slot(user(n)), U256::from(1_000_000).into()))
                    .collect::<BTreeMap<_, _>>();
                return GenesisAccount { storage, ..contract(token_code()) };
            }
        };
        contract(code)
    }
}

#[derive(Clone, Debug)]
enum Act {
    Pay {
        from: u64,
        to: u64,
        wei: u64,
        gas: u64,
    },
    Call {
        from: u64,
        place: usize,
        to: u64,
        wei: u64,
        gas: u64,
    },
    Create {
        from: u64,
        wei: u64,
    },
    /// A domain takes so many of the messages that wait for it.
    Deliver {
        domain: u32,
        take: usize,
    },
    /// A user has a courier send something to another courier, a user or a contract.
    Send(Errand),
    /// A courier takes results so from now on.
    Mood {
        courier: usize,
        mood: u8,
    },
    /// A domain answers for another one, or in another way than was asked.
    Lie {
        liar: u32,
        more_gas: u64,
    },
    /// Fees rise or fall for everybody.
    Fee {
        percent: u64,
    },
}

/// What a courier is told.
#[derive(Clone, Copy, Debug)]
struct Errand {
    from: u64,
    courier: usize,
    /// A courier, or beyond them a user, or beyond these a place.
    to: usize,
    way: Way,
    /// What the recipient is to do.
    mood: u8,
    wei: u64,
    gas: u64,
    /// Times the base fee that all begin with.
    fee: u64,
    result_gas: u64,
}

/// How a courier goes about it.
#[derive(Clone, Copy, Debug)]
enum Way {
    Send,
    Revert,
    UndoOne,
}

/// Couriers, wherever their addresses put them.
const COURIERS: usize = 6;

fn courier_at(index: usize) -> Address {
    user(2000 + index as u64)
}

impl Errand {
    fn recipient(&self) -> Address {
        match self.to.checked_sub(COURIERS) {
            None => courier_at(self.to),
            Some(n) if n < CUSTOMERS => user(n as u64),
            Some(n) => PLACES[(n - CUSTOMERS) % PLACES.len()].address(),
        }
    }

    fn input(&self) -> Bytes {
        let to = self.recipient();
        let next = courier_at((self.to + 1) % COURIERS);
        let data = Courier::visitCall { how: self.mood, next }.abi_encode().into();
        let (gas, fee, result) = (self.gas, U256::from(self.fee * BASE_FEE), self.result_gas);
        match self.way {
            Way::Send => {
                Courier::sendCall { to, gasLimit: gas, fee, data, resultGas: result }.abi_encode().into()
            }
            Way::Revert => Courier::sendAndRevertCall { to, gasLimit: gas, fee, data, resultGas: result }
                .abi_encode()
                .into(),
            Way::UndoOne => Courier::sendTwiceUndoOneCall { to, gasLimit: gas, fee, data, resultGas: result }
                .abi_encode()
                .into(),
        }
    }

    fn coins(&self) -> U256 {
        let one = U256::from(self.wei) + U256::from(self.gas) * U256::from(self.fee * BASE_FEE);
        if matches!(self.way, Way::UndoOne) { one * U256::from(2) } else { one }
    }
}

fn errand() -> impl Strategy<Value = Errand> {
    let gas = prop_oneof![Just(0u64), Just(30_000), Just(200_000)];
    let result_gas = prop_oneof![Just(0u64), Just(20_000), Just(150_000)];
    let way = prop_oneof![4 => Just(Way::Send), 1 => Just(Way::Revert), 1 => Just(Way::UndoOne)];
    let who = (0..USERS, 0..COURIERS, 0..2 * COURIERS + CUSTOMERS + PLACES.len());
    (who, way, 0..MOODS, any::<u64>(), gas, 0u64..3, result_gas).prop_map(
        |((from, courier, to), way, mood, wei, gas, fee, result_gas)| {
            // Couriers are called as often as all others together.
            let to = to.checked_sub(COURIERS).unwrap_or(to);
            Errand { from, courier, to, way, mood, wei, gas, fee, result_gas }
        },
    )
}

fn act() -> impl Strategy<Value = Act> {
    let gas = prop_oneof![Just(21_000u64), Just(30_000), Just(120_000)];
    prop_oneof![
        3 => (0..USERS, 0..USERS + 3, any::<u64>(), gas.clone()).prop_map(|(from, to, wei, gas)| Act::Pay { from, to, wei, gas }),
        4 => (0..USERS, 0..PLACES.len(), 0..USERS + 3, any::<u64>(), gas)
            .prop_map(|(from, place, to, wei, gas)| Act::Call { from, place, to, wei, gas: gas.max(25_000) }),
        1 => (0..USERS, any::<u64>()).prop_map(|(from, wei)| Act::Create { from, wei }),
        4 => (1..=SHARDS, 0usize..6).prop_map(|(domain, take)| Act::Deliver { domain, take }),
        4 => errand().prop_map(Act::Send),
        1 => (0..COURIERS, 0..MOODS).prop_map(|(courier, mood)| Act::Mood { courier, mood }),
        1 => (1..=SHARDS, 0u64..2).prop_map(|(liar, more_gas)| Act::Lie { liar, more_gas }),
        1 => (50u64..250).prop_map(|percent| Act::Fee { percent }),
    ]
}

fn perform(net: &mut Net, act: &Act) {
    match *act {
        Act::Pay { from, to, wei, gas } => {
            let nonce = net.nonce(user(from));
            net.send(user(from), dynamic(nonce, user(to).into(), U256::from(wei), Bytes::new(), gas));
        }
        Act::Call { from, place, to, wei, gas } => {
            let nonce = net.nonce(user(from));
            let place = PLACES[place];
            let input = match place {
                Place::Token => token_input(user(to), wei % 2_000_000),
                _ => [user(to).into_word(), user(from).into_word()].concat().into(),
            };
            let wei = if matches!(place, Place::Token) { 0 } else { wei };
            net.send(user(from), dynamic(nonce, place.address().into(), U256::from(wei), input, gas));
        }
        Act::Create { from, wei } => {
            let nonce = net.nonce(user(from));
            let code = vec![0x60, 0x01, 0x5f, 0xf3];
            net.send(user(from), dynamic(nonce, TxKind::Create, U256::from(wei), code, 120_000));
        }
        Act::Deliver { domain, take } => {
            net.block(DomainId(domain), take, &[]);
        }
        Act::Send(errand) => {
            let nonce = net.nonce(user(errand.from));
            let courier = courier_at(errand.courier);
            let tx = dynamic(nonce, courier.into(), errand.coins(), errand.input(), 1_500_000);
            net.send(user(errand.from), tx);
        }
        Act::Mood { courier, mood } => {
            let nonce = net.nonce(user(0));
            let input = Courier::setMoodCall { to: mood }.abi_encode();
            net.send(user(0), dynamic(nonce, courier_at(courier).into(), U256::ZERO, input, 120_000));
        }
        Act::Lie { liar, more_gas } => lie(net, DomainId(liar), more_gas),
        Act::Fee { percent } => net.base_fee = BASE_FEE * percent / 150,
    }
}

/// Answers the first call in flight of which somebody wants to know the result: from a domain that was not asked, or
/// with another gas limit than was paid for.
fn lie(net: &mut Net, liar: DomainId, more_gas: u64) {
    let asked = net.lanes.values().flatten().find_map(|message| match &message.body {
        MessageBody::Call(CrossCall { result: Some(request), .. }) => {
            Some((message.source, message.destination, *request))
        }
        _ => None,
    });
    let Some((home, there, request)) = asked else { return };
    if liar == home || (liar == there && more_gas == 0) {
        return;
    }
    let request = ResultRequest { gas_limit: request.gas_limit + more_gas, ..request };
    let body = CallResult { request, success: true, data: Default::default() };
    net.send_by_force(liar, home, MessageBody::Result(body));
}

fn bank() -> Net {
    let users = (0..USERS).map(|n| (user(n), funded(coins(1_000_000))));
    let places = PLACES.map(|place| (place.address(), place.account()));
    let couriers = (0..COURIERS).map(|index| (courier_at(index), courier()));
    let mut net = Net::new(SHARDS, &users.chain(places).chain(couriers).chain(everywhere()).collect());
    // Somebody of domain 1 proposes everywhere, so that tips cross as well.
    net.beneficiary = resident(DomainMap::new(SHARDS), 1, 0);
    net
}

/// Tokens of all users, wherever the token lives.
fn tokens(net: &Net) -> U256 {
    let token = Place::Token.address();
    let state = &net.residence(token).state;
    (0..USERS + 3).map(|n| state.storage(&token, &token_slot(user(n))).unwrap()).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_coin_is_made_or_lost_and_everything_arrives(acts in prop::collection::vec(act(), 1..60)) {
        let mut net = bank();
        for act in &acts {
            perform(&mut net, act);
            net.check();
        }
        net.drain();
        net.check();
        prop_assert_eq!(tokens(&net), U256::from(USERS * 1_000_000));
        // Who asked was told, once, and nobody waits any more.
        let told: Vec<_> = net.told.keys().collect();
        prop_assert_eq!(told, net.asked.keys().collect::<Vec<_>>());
        for (id, home) in &net.asked {
            let waiting = net.domains[home].state.storage(&CROSS_DOMAIN, id).unwrap();
            prop_assert_eq!(waiting, U256::ZERO);
        }
        // Once nothing is in flight, all coins of all accounts are where their owners live.
        for domain in net.domains.values() {
            for address in domain.met.keys() {
                if domain.route(*address).is_none() && !net.balance(*address).is_zero() {
                    prop_assert_eq!(net.residence(*address).id, domain.id, "{} is split", address);
                }
            }
        }
    }
}
