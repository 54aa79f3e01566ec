//! The precompiled contracts, which a simulation may move to other addresses.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::Address;
use anfs_state::StateRead;
use revm::handler::{EthPrecompiles, PrecompileProvider};
use revm::interpreter::{CallInputs, InterpreterResult};
use revm::primitives::AddressSet;
use revm::primitives::hardfork::SpecId;

use crate::cross_domain::{self, CODE_HASH, CROSS_DOMAIN, GATEWAY};
use crate::evm::EvmContext;
use crate::overlay::Overlay;

/// The precompiled contracts of a fork.
#[derive(Clone, Debug)]
pub(crate) struct Precompiles {
    inner: EthPrecompiles,
    moved: Option<Moved>,
}

#[derive(Clone, Debug)]
struct Moved {
    /// New address to the one whose code runs there.
    at: BTreeMap<Address, Address>,
    /// Addresses that are ordinary accounts now.
    vacated: BTreeSet<Address>,
    warm: AddressSet,
}

impl Precompiles {
    /// The fork's precompiles where the fork puts them.
    pub(crate) fn new(spec: SpecId) -> Self {
        Self { inner: EthPrecompiles::new(spec), moved: None }
    }

    /// Takes precompiles away, giving each a new address or none.
    pub(crate) fn with_moves(mut self, moves: &BTreeMap<Address, Option<Address>>) -> Self {
        if moves.is_empty() {
            return self;
        }
        let mut warm = self.inner.warm_addresses().clone();
        for from in moves.keys() {
            warm.remove(from);
        }
        let at: BTreeMap<_, _> = moves.iter().filter_map(|(from, to)| Some(((*to)?, *from))).collect();
        warm.extend(at.keys().copied());
        let vacated = moves.keys().copied().collect();
        self.moved = Some(Moved { at, vacated, warm });
        self
    }

    /// Whether the fork has a precompile at this address, before any move.
    pub(crate) fn is_original(&self, address: &Address) -> bool {
        self.inner.contains(address)
    }
}

impl<S: StateRead> PrecompileProvider<EvmContext<Overlay<S>>> for Precompiles {
    type Output = InterpreterResult;

    fn set_spec(&mut self, spec: SpecId) -> bool {
        PrecompileProvider::<EvmContext<Overlay<S>>>::set_spec(&mut self.inner, spec)
    }

    fn run(
        &mut self,
        context: &mut EvmContext<Overlay<S>>,
        inputs: &CallInputs,
    ) -> Result<Option<InterpreterResult>, String> {
        // Only where genesis has put their code; else these are ordinary addresses.
        if matches!(inputs.bytecode_address, CROSS_DOMAIN | GATEWAY) && inputs.known_bytecode.0 == CODE_HASH {
            return Ok(Some(cross_domain::run(context, inputs)));
        }
        let Some(moved) = &self.moved else { return self.inner.run(context, inputs) };
        if let Some(original) = moved.at.get(&inputs.bytecode_address) {
            let inputs = CallInputs { bytecode_address: *original, ..inputs.clone() };
            return self.inner.run(context, &inputs);
        }
        if moved.vacated.contains(&inputs.bytecode_address) {
            return Ok(None);
        }
        self.inner.run(context, inputs)
    }

    fn warm_addresses(&self) -> &AddressSet {
        self.moved.as_ref().map_or_else(|| self.inner.warm_addresses(), |moved| &moved.warm)
    }
}
