//! A node store in memory.

use std::collections::BTreeMap;
use std::sync::Mutex;

use alloy_primitives::{B256, Bytes};
use anfs_state::{NodeKey, NodeReader, StateDiff, StateError};

#[derive(Debug, Default)]
pub(crate) struct Disk {
    pub(crate) nodes: Mutex<BTreeMap<Vec<u8>, Vec<u8>>>,
    pub(crate) codes: Mutex<BTreeMap<B256, Bytes>>,
}

impl Disk {
    pub(crate) fn write(&self, diff: StateDiff) {
        let mut nodes = self.nodes.lock().unwrap();
        for (key, record) in diff.nodes {
            match record {
                Some(encoding) => drop(nodes.insert(key.to_bytes(), encoding)),
                None => assert!(nodes.remove(&key.to_bytes()).is_some(), "{key} is removed but wasn't there"),
            }
        }
        self.codes.lock().unwrap().extend(diff.codes);
    }
}

impl NodeReader for Disk {
    fn node(&self, key: &NodeKey) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.nodes.lock().unwrap().get(&key.to_bytes()).cloned())
    }

    fn code(&self, hash: &B256) -> Result<Option<Bytes>, StateError> {
        Ok(self.codes.lock().unwrap().get(hash).cloned())
    }
}
