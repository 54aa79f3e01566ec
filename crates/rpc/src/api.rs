//! What every namespace shares: the backend, the limits, and the resolution of block parameters.

pub(crate) mod anfs;
pub(crate) mod blocks;
pub(crate) mod debug;
pub(crate) mod devnet;
pub(crate) mod execute;
pub(crate) mod fees;
pub(crate) mod filters;
pub(crate) mod logs;
pub(crate) mod net;
pub(crate) mod sign;
pub(crate) mod state;
pub(crate) mod txpool;

use std::sync::Arc;

use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::U32;
use anfs_primitives::{DomainId, Height};
use serde::Serialize;
use tokio::sync::Semaphore;

use crate::backend::{At, Backend, ShownBlock};
use crate::config::RpcConfig;
use crate::error::{METHOD_NOT_FOUND, RpcError};
use crate::network::NetworkInfo;
use crate::shapes::json_within;
use filters::Filters;

/// The result of a handler: JSON text or an error.
pub(crate) type Reply = Result<String, RpcError>;

/// A block and the index of a transaction in it.
type Located = (Arc<dyn ShownBlock>, usize);

/// The state of one server.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) backend: Backend,
    pub(crate) config: RpcConfig,
    pub(crate) filters: Filters,
    turns: Turns,
}

/// How many long calls there may be, whichever endpoint they came to.
#[derive(Debug, Clone)]
pub(crate) struct Turns {
    /// Those that run.
    heavy: Arc<Semaphore>,
    /// Those that run or wait.
    heavy_queue: Arc<Semaphore>,
}

impl Turns {
    pub(crate) fn new(config: &RpcConfig) -> Self {
        Self {
            heavy: Arc::new(Semaphore::new(config.heavy_calls_max)),
            heavy_queue: Arc::new(Semaphore::new(config.heavy_calls_max + config.heavy_queue_max)),
        }
    }
}

impl Api {
    pub(crate) fn new(backend: Backend, config: RpcConfig, turns: Turns) -> Self {
        let filters = Filters::new(config.filters_max, config.filter_expiry_ms, Arc::clone(&backend.clock));
        Self { backend, config, filters, turns }
    }

    /// Runs long work on the blocking pool, a bounded number of calls at once.
    pub(crate) async fn heavy<T, F>(self: &Arc<Self>, work: F) -> Result<T, RpcError>
    where
        T: Send + 'static,
        F: FnOnce(&Arc<Self>) -> Result<T, RpcError> + Send + 'static,
    {
        let busy = || RpcError::limit("the node is busy: too many executions wait already; try again later");
        let queued = Arc::clone(&self.turns.heavy_queue).try_acquire_owned().map_err(|_| busy())?;
        let running = Arc::clone(&self.turns.heavy).acquire_owned().await.map_err(|_| busy())?;
        let api = Arc::clone(self);
        let task = tokio::task::spawn_blocking(move || {
            let result = work(&api);
            drop((running, queued));
            result
        });
        task.await.map_err(|error| {
            tracing::error!(%error, "a call failed in an unforeseen way");
            RpcError::internal("the call failed in an unforeseen way; the node's log has more")
        })?
    }

    /// Serialises a result whose size the client decides.
    pub(crate) fn json<T: Serialize + ?Sized>(&self, value: &T) -> Reply {
        json_within(self.config.response_bytes_max, value)
    }

    /// As [`Backend::height`].
    pub(crate) fn height(&self, number: BlockNumberOrTag) -> Height {
        self.backend.height(number)
    }

    /// As [`Backend::block`].
    pub(crate) fn block(&self, id: BlockId) -> Result<Option<Arc<dyn ShownBlock>>, RpcError> {
        self.backend.block(id)
    }

    /// The state that a parameter names.
    pub(crate) fn at(&self, id: BlockId) -> Result<At, RpcError> {
        match id {
            BlockId::Number(BlockNumberOrTag::Pending) => Ok(At::Pending),
            BlockId::Number(number) => {
                let height = self.height(number);
                if height > self.backend.chain.head().height() {
                    return Err(RpcError::server("header not found"));
                }
                Ok(At::Block(height))
            }
            BlockId::Hash(hash) => match self.backend.chain.height_of(&hash.block_hash)? {
                Some(height) => Ok(At::Block(height)),
                None => Err(RpcError::server("header for hash not found")),
            },
        }
    }

    /// The block of a transaction and its index in it.
    pub(crate) fn locate(&self, hash: &alloy_primitives::B256) -> Result<Option<Located>, RpcError> {
        let Some((height, index)) = self.backend.chain.transaction(hash)? else { return Ok(None) };
        Ok(self.backend.chain.block(height)?.map(|block| (block, index as usize)))
    }

    /// What serves a shard's own chain: this endpoint's, or, of a network of several, the one asked for or the first.
    pub(crate) fn shard(&self, domain: Option<U32>) -> Result<&Backend, RpcError> {
        let Some(network) = &self.backend.network else {
            return match domain {
                None => Ok(&self.backend),
                Some(_) => Err(RpcError::invalid_params(
                    "this endpoint serves one shard: leave the domain out, or ask the network's endpoint",
                )),
            };
        };
        let domain = DomainId(domain.map_or(1, |domain| domain.to()));
        let unknown = || RpcError::invalid_params(format!("the network has no shard {domain}"));
        network.shard(domain).ok_or_else(unknown)
    }

    /// What only a network of several shards has.
    pub(crate) fn network(&self) -> Result<&dyn NetworkInfo, RpcError> {
        let none =
            "this endpoint serves one shard's own chain: ask the endpoint of a network of several shards";
        self.backend.network.as_deref().ok_or_else(|| RpcError::new(METHOD_NOT_FOUND, none))
    }
}

impl Backend {
    /// Height of a tag or number. `safe` and `finalized` are `latest`: what is visible is never undone.
    pub(crate) fn height(&self, number: BlockNumberOrTag) -> Height {
        match number {
            BlockNumberOrTag::Number(height) => Height(height),
            BlockNumberOrTag::Earliest => Height::ZERO,
            BlockNumberOrTag::Latest
            | BlockNumberOrTag::Safe
            | BlockNumberOrTag::Finalized
            | BlockNumberOrTag::Pending => self.chain.head().height(),
        }
    }

    /// The block that a parameter names; `None` when there is none.
    pub(crate) fn block(&self, id: BlockId) -> Result<Option<Arc<dyn ShownBlock>>, RpcError> {
        let height = match id {
            // All visible blocks are canonical, so `requireCanonical` is always satisfied.
            BlockId::Hash(hash) => match self.chain.height_of(&hash.block_hash)? {
                Some(height) => height,
                None => return Ok(None),
            },
            BlockId::Number(
                BlockNumberOrTag::Latest
                | BlockNumberOrTag::Safe
                | BlockNumberOrTag::Finalized
                | BlockNumberOrTag::Pending,
            ) => return Ok(Some(self.chain.head())),
            BlockId::Number(number) => self.height(number),
        };
        Ok(self.chain.block(height)?)
    }
}
