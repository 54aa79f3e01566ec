//! Keys of a development network's accounts, so that `eth_sendTransaction` works as tools expect.

use std::collections::HashMap;

use alloy_primitives::{Address, B256, Signature};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;

/// Accounts whose keys the node holds. For development networks only: whoever reaches the port can spend.
#[derive(Debug)]
pub struct UnlockedAccounts {
    order: Vec<Address>,
    wallets: HashMap<Address, PrivateKeySigner>,
}

impl UnlockedAccounts {
    /// Holds these wallets.
    #[must_use]
    pub fn new(wallets: Vec<PrivateKeySigner>) -> Self {
        let order = wallets.iter().map(PrivateKeySigner::address).collect();
        Self { order, wallets: wallets.into_iter().map(|wallet| (wallet.address(), wallet)).collect() }
    }
}

impl anfs_rpc::Signer for UnlockedAccounts {
    fn accounts(&self) -> Vec<Address> {
        self.order.clone()
    }

    fn sign(&self, account: &Address, digest: &B256) -> Option<Signature> {
        self.wallets.get(account)?.sign_hash_sync(digest).ok()
    }
}
