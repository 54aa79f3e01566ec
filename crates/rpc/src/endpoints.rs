//! What is served on which path of the one port.
//!
//! ```text
//!  /            a shard alone, or the network of several shards
//!  /shard/<i>   one shard's own chain, on a network of several
//! ```

use std::sync::Arc;

use crate::api::{Api, Turns};
use crate::backend::Backend;
use crate::config::RpcConfig;
use crate::dispatch::Dispatcher;

/// The endpoints of one server. They share its limits on long calls; each has filters of its own.
#[derive(Debug)]
pub(crate) struct Endpoints {
    main: Arc<Dispatcher>,
    /// Domain 1's first; empty unless the main one is a network of several.
    shards: Vec<Arc<Dispatcher>>,
}

impl Endpoints {
    pub(crate) fn new(backend: Backend, config: &RpcConfig) -> Self {
        let shards: Vec<Backend> =
            backend.network.as_ref().map(|network| network.shards().to_vec()).unwrap_or_default();
        let turns = Turns::new(config);
        let main = Dispatcher::new(Arc::new(Api::new(backend, config.clone(), turns.clone())));
        let of_shard = |shard| {
            let api = Api::new(shard, config.clone(), turns.clone());
            Arc::new(main.beside(Arc::new(api)))
        };
        Self { shards: shards.into_iter().map(of_shard).collect(), main: Arc::new(main) }
    }

    /// What answers at `/`.
    pub(crate) fn main(&self) -> &Arc<Dispatcher> {
        &self.main
    }

    /// What answers at `/shard/<domain>`; why nothing does.
    pub(crate) fn shard(&self, domain: &str) -> Result<&Arc<Dispatcher>, String> {
        let shards = self.shards.len();
        if shards == 0 {
            return Err("this network has one shard: send requests to /\n".to_owned());
        }
        let place = domain.parse::<usize>().ok().and_then(|domain| domain.checked_sub(1));
        let found = place.and_then(|place| self.shards.get(place));
        found.ok_or_else(|| format!("there is no such shard: the paths are /shard/1 to /shard/{shards}\n"))
    }
}
