//! What a transaction has sent, read off its logs.

use alloy_primitives::{B256, U256, keccak256};
use alloy_sol_types::SolEvent as _;
use anfs_primitives::{CallForm, CrossCall, DomainId, GasPayment, ResultRequest, Slot};
use revm::context::result::ExecutionResult;
use revm::state::EvmState;

use super::abi::ICrossDomain::MessageSent;
use super::{CODE_HASH, CROSS_DOMAIN};

/// A call that a contract has sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    /// Where the recipient lives.
    pub(crate) destination: DomainId,
    /// The call; its deadline is not set yet.
    pub(crate) call: CrossCall,
}

impl Sent {
    fn new(event: &MessageSent) -> Option<Self> {
        let request = ResultRequest { id: event.id, gas_limit: event.resultGasLimit };
        let call = CrossCall {
            sender: event.sender,
            recipient: event.to,
            value: event.value,
            gas_limit: event.gasLimit,
            // Its turn comes by force: there is nobody to tip.
            payment: GasPayment::Prepaid { max_fee: u128::try_from(event.maxFeePerGas).ok()?, max_tip: 0 },
            deadline: Slot::ZERO,
            data: event.data.to_vec().try_into().ok()?,
            form: if event.viaGateway { CallForm::Gateway { id: event.id } } else { CallForm::Direct },
            result: (event.resultGasLimit > 0).then_some(request),
        };
        Some(Self { destination: DomainId(event.domain), call })
    }

    fn coins(&self) -> U256 {
        self.call.value.saturating_add(self.call.prepaid())
    }
}

/// What a transaction has sent; the coins that go with it are taken out of the predeploy's account.
pub(crate) fn withdraw(result: &ExecutionResult, state: &mut EvmState) -> Vec<Sent> {
    let ExecutionResult::Success { logs, .. } = result else { return Vec::new() };
    let Some(account) = state.get_mut(&CROSS_DOMAIN) else { return Vec::new() };
    if account.info.code_hash != CODE_HASH {
        // A chain spec that has put other code here: its logs mean nothing.
        return Vec::new();
    }
    let logs = logs.iter().filter(|log| log.address == CROSS_DOMAIN);
    let sent: Vec<Sent> = logs
        .map(|log| {
            let event = MessageSent::decode_log_data(&log.data).ok().and_then(|event| Sent::new(&event));
            event.expect("the precompile alone logs here, and it checked what it wrote")
        })
        .collect();
    let coins = sent.iter().fold(U256::ZERO, |sum, one| sum.saturating_add(one.coins()));
    account.info.balance =
        account.info.balance.checked_sub(coins).expect("the precompile was paid what each call takes along");
    sent
}

/// The hash that names a call: of the network, the domain, and how many that domain has sent before.
pub(super) fn call_id(network: u64, domain: DomainId, count: U256) -> B256 {
    const TAG: &[u8] = b"anfs/cross-domain-call/v1";
    let parts = [TAG, &network.to_be_bytes(), &domain.0.to_be_bytes(), &count.to_be_bytes::<32>()];
    keccak256(parts.concat())
}
