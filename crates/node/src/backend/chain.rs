//! Blocks and accounts.

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes};
use alloy_rpc_types_eth::{EIP1186AccountProofResponse, EIP1186StorageProof, SyncInfo};
use alloy_rpc_types_trace::geth::GethDebugTracingOptions;
use anfs_execution::trace::ArrivalTrace;
use anfs_primitives::{BlockHash, Height};
use anfs_rpc::{AccountView, At, BackendError, ChainReader, ShownBlock, StateReader};
use anfs_state::{AccountProof, StateRead, StorageProof, WorldState};
use anfs_store::MessagePlace;

use super::{SeatBackend, Served};
use crate::error::NodeError;
use crate::network::DomainChain;

impl ChainReader for SeatBackend {
    fn chain_id(&self) -> u64 {
        let seat = self.seat();
        seat.context.spec.network.0
    }

    fn head(&self) -> Arc<dyn ShownBlock> {
        let seat = self.seat();
        seat.chain.head()
    }

    fn block(&self, height: Height) -> Result<Option<Arc<dyn ShownBlock>>, BackendError> {
        let seat = self.seat();
        Ok(seat.chain.block(height)?.map(|block| block as _))
    }

    fn height_of(&self, hash: &BlockHash) -> Result<Option<Height>, BackendError> {
        let seat = self.seat();
        Ok(seat.chain.height_of(hash)?)
    }

    fn transaction(&self, hash: &B256) -> Result<Option<(Height, u32)>, BackendError> {
        let seat = self.seat();
        Ok(seat.chain.transaction(hash)?)
    }

    fn next_base_fee(&self) -> u64 {
        let seat = self.seat();
        let head = seat.chain.head();
        seat.context.spec.next_base_fee(head.header.base_fee, head.header.gas_used)
    }

    fn next_timestamp(&self) -> u64 {
        let seat = self.seat();
        let spec = &seat.context.spec;
        let next = seat.chain.head().header.slot.next();
        spec.slot_timestamp(spec.slot_at(seat.context.clock.now_ms()).max(next))
    }

    fn syncing(&self) -> Option<SyncInfo> {
        let seat = self.seat();
        let status = seat.status.read();
        // A generator runs a few blocks ahead of certification; only a real gap is a sync.
        let lag = status.seen.0.saturating_sub(status.certified.0);
        (lag > 2 * u64::from(seat.context.spec.pipeline_depth)).then(|| SyncInfo {
            current_block: alloy_primitives::U256::from(status.certified.0),
            highest_block: alloy_primitives::U256::from(status.seen.0),
            ..SyncInfo::default()
        })
    }
}

impl Served {
    pub(super) fn state_at(&self, at: At) -> Result<WorldState, BackendError> {
        match at {
            At::Pending => Ok(self.chain.head_state().1),
            At::Block(height) => self
                .chain
                .state(height)
                .ok_or_else(|| BackendError::StatePruned { height, oldest: self.chain.oldest_state() }),
        }
    }
}

impl StateReader for SeatBackend {
    fn account(&self, at: At, address: &Address) -> Result<AccountView, BackendError> {
        let seat = self.seat();
        let account = seat.state_at(at)?.account(address).map_err(NodeError::from)?.unwrap_or_default();
        Ok(AccountView { nonce: account.nonce, balance: account.balance })
    }

    fn code(&self, at: At, address: &Address) -> Result<Bytes, BackendError> {
        let seat = self.seat();
        let state = seat.state_at(at)?;
        let Some(account) = state.account(address).map_err(NodeError::from)? else { return Ok(Bytes::new()) };
        Ok(state.code(&account.code_hash).map_err(NodeError::from)?)
    }

    fn storage(&self, at: At, address: &Address, slot: &B256) -> Result<B256, BackendError> {
        let seat = self.seat();
        let value = seat.state_at(at)?.storage(address, slot).map_err(NodeError::from)?;
        Ok(value.into())
    }

    fn proof(
        &self,
        at: At,
        address: &Address,
        slots: &[B256],
    ) -> Result<EIP1186AccountProofResponse, BackendError> {
        let seat = self.seat();
        Ok(proof_response(seat.state_at(at)?.prove(address, slots).map_err(NodeError::from)?))
    }
}

impl DomainChain for SeatBackend {
    fn state(&self, height: Height) -> Option<WorldState> {
        self.seat().chain.state(height)
    }

    fn message(&self, id: &B256) -> Result<Option<MessagePlace>, NodeError> {
        self.seat().chain.message(id)
    }

    fn trace_arrival(
        &self,
        height: Height,
        index: u32,
        options: &GethDebugTracingOptions,
    ) -> Result<ArrivalTrace, BackendError> {
        self.seat().trace_arrival(height, index, options)
    }
}

/// A proof in the shape of EIP-1186.
pub(crate) fn proof_response(proof: AccountProof) -> EIP1186AccountProofResponse {
    let account = proof.info.unwrap_or_default();
    let slot = |slot: StorageProof| EIP1186StorageProof {
        key: slot.slot.into(),
        value: slot.value,
        proof: slot.proof,
    };
    EIP1186AccountProofResponse {
        address: proof.address,
        balance: account.balance,
        code_hash: account.code_hash,
        nonce: account.nonce,
        storage_hash: proof.storage_root,
        account_proof: proof.account_proof,
        storage_proof: proof.storage.into_iter().map(slot).collect(),
    }
}
