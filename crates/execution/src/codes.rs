//! Analysed contract code, kept from one block to the next.

use std::sync::{Arc, Mutex, PoisonError};

use alloy_primitives::B256;
use alloy_primitives::map::B256Map;
use revm::bytecode::Bytecode;

/// Bytes of code that one generation may hold; two generations are kept.
const GENERATION_BYTES_MAX: usize = 32 * 1024 * 1024;

/// A bounded cache of analysed code, by code hash. Clones share it.
///
/// Code is immutable, so what the cache holds changes how fast a block runs, never what it computes.
#[derive(Clone, Debug, Default)]
pub struct CodeCache(Arc<Mutex<Generations>>);

#[derive(Debug, Default)]
struct Generations {
    young: B256Map<Bytecode>,
    old: B256Map<Bytecode>,
    young_bytes: usize,
}

impl CodeCache {
    /// The analysed code, if it was met lately.
    pub(crate) fn get(&self, hash: &B256) -> Option<Bytecode> {
        let mut cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(code) = cache.young.get(hash) {
            return Some(code.clone());
        }
        let code = cache.old.remove(hash)?;
        cache.insert(*hash, code.clone());
        Some(code)
    }

    /// Keeps analysed code; what was not met for a whole generation goes.
    pub(crate) fn insert(&self, hash: B256, code: Bytecode) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(hash, code);
    }
}

impl Generations {
    fn insert(&mut self, hash: B256, code: Bytecode) {
        let bytes = code.len();
        if self.young_bytes.saturating_add(bytes) > GENERATION_BYTES_MAX {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        if self.young.insert(hash, code).is_none() {
            self.young_bytes = self.young_bytes.saturating_add(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_survives_and_what_is_not_goes() {
        let cache = CodeCache::default();
        let code = Bytecode::new_legacy(vec![0; GENERATION_BYTES_MAX / 4].into());
        let hash = |n: u8| B256::repeat_byte(n);
        cache.insert(hash(0), code.clone());
        for n in 1..40 {
            cache.insert(hash(n), code.clone());
            assert!(cache.get(&hash(0)).is_some(), "used after {n}");
        }
        assert!(cache.get(&hash(1)).is_none());
        assert!(cache.get(&hash(39)).is_some());
    }
}
