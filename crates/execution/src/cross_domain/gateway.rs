//! The ERC-7786 gateway: another way to the same messages, with another way of being called at the other end.

use alloy_primitives::{Address, B256, Bytes, Log, U256};
use alloy_sol_types::abi::token::{DynSeqToken, PackedSeqToken};
use alloy_sol_types::{SolCall as _, SolEvent as _, abi};
use anfs_state::StateRead;
use revm::context_interface::{Block as _, ContextTr, JournalTr};

use super::abi::ICrossDomain::WrongPayment;
use super::abi::ICrossDomainGateway::{
    InvalidAttribute, InvalidRecipient, gasLimitCall, maxFeePerGasCall, resultGasLimitCall,
};
use super::abi::IERC7786GatewaySource::{
    MessageSent, UnsupportedAttribute, sendMessageCall, supportsAttributeCall,
};
use super::precompile::{Fault, Frame, Letter, refuse};
use super::{CROSS_DOMAIN, GATEWAY};

/// Gas of a message that says nothing of it.
const DEFAULT_GAS_LIMIT: u64 = 200_000;
/// Wei that its highest fee is above twice the base fee here.
const FEE_MARGIN: u64 = 1_000_000_000;
/// More attributes than there are kinds of them make no sense.
const ATTRIBUTES_MAX: usize = 8;
/// Bytes of each: the selector of its name, and a number.
const ATTRIBUTE_BYTES: usize = 36;
/// What the standard's log costs beside the one of `CrossDomain`, and each byte of the payload in it.
const LOG_GAS: u64 = 5_000;
const LOG_BYTE_GAS: u64 = 8;
/// ERC-7930: version 1, chain type eip155.
const EVM_V1: [u8; 4] = [0, 1, 0, 0];

type Arguments<'a> = (PackedSeqToken<'a>, PackedSeqToken<'a>, DynSeqToken<PackedSeqToken<'a>>);

/// What the attributes of a message ask for.
struct Wishes {
    gas_limit: u64,
    max_fee: U256,
    result_gas: u64,
}

impl<S: StateRead> Frame<'_, S> {
    pub(super) fn gateway(&mut self, input: &[u8]) -> Result<Bytes, Fault> {
        let unreadable = || Fault::Revert(Bytes::new());
        let (selector, arguments) = input.split_first_chunk::<4>().ok_or_else(unreadable)?;
        match *selector {
            supportsAttributeCall::SELECTOR => {
                self.expect_no_coins()?;
                let call = supportsAttributeCall::abi_decode(input).map_err(|_| unreadable())?;
                Ok(supportsAttributeCall::abi_encode_returns(&is_supported(call.selector.0)).into())
            }
            sendMessageCall::SELECTOR => {
                // Borrowed until their lengths are known: offsets may all point to the same bytes.
                let tokens: Arguments<'_> = abi::decode_params(arguments).map_err(|_| unreadable())?;
                self.send_message(&tokens)
            }
            _ => Err(unreadable()),
        }
    }

    fn send_message(&mut self, (recipient, payload, attributes): &Arguments<'_>) -> Result<Bytes, Fault> {
        let network = self.context.cfg.chain_id;
        let bytes = |token: &PackedSeqToken<'_>| Bytes::copy_from_slice(token.as_slice());
        self.charge(LOG_GAS.saturating_add(LOG_BYTE_GAS.saturating_mul(payload.as_slice().len() as u64)))?;
        let to = address_of(network, recipient.as_slice()).ok_or_else(|| refuse(&InvalidRecipient {}))?;
        let wishes = self.wishes(attributes.0.iter().map(|attribute| attribute.as_slice()))?;
        let paid = self.inputs.value.get();
        let prepaid = U256::from(wishes.gas_limit).saturating_mul(wishes.max_fee);
        let value =
            paid.checked_sub(prepaid).ok_or_else(|| refuse(&WrongPayment { sent: paid, needed: prepaid }))?;
        let Wishes { gas_limit, max_fee, result_gas } = wishes;
        let data = bytes(payload);
        let letter =
            Letter { to, value, gas_limit, max_fee, data: data.clone(), result_gas, via_gateway: true };
        self.send(&letter)?;
        let sender = interoperable(network, self.inputs.caller);
        let journal = self.context.journal_mut();
        if journal.transfer(GATEWAY, CROSS_DOMAIN, paid)?.is_some() {
            return Err(Fault::Revert(Bytes::new()));
        }
        // The message is on its way and asks for nothing more to be done, which the standard says with a zero.
        let sent = MessageSent {
            sendId: B256::ZERO,
            sender,
            recipient: bytes(recipient),
            payload: data,
            value,
            attributes: attributes.0.iter().map(bytes).collect(),
        };
        journal.log(Log { address: GATEWAY, data: sent.encode_log_data() });
        Ok(sendMessageCall::abi_encode_returns(&B256::ZERO).into())
    }

    fn wishes<'b>(&self, attributes: impl ExactSizeIterator<Item = &'b [u8]>) -> Result<Wishes, Fault> {
        // What the other domain asks is not known here and may be far more; unused gas goes back.
        let max_fee = U256::from(self.context.block.basefee()) * U256::from(2) + U256::from(FEE_MARGIN);
        let mut wishes = Wishes { gas_limit: DEFAULT_GAS_LIMIT, max_fee, result_gas: 0 };
        if attributes.len() > ATTRIBUTES_MAX {
            return Err(refuse(&InvalidAttribute { attribute: Bytes::new() }));
        }
        for attribute in attributes {
            let invalid = || {
                let cut = attribute.len().min(ATTRIBUTE_BYTES);
                refuse(&InvalidAttribute { attribute: Bytes::copy_from_slice(&attribute[..cut]) })
            };
            let (selector, arguments) = attribute.split_first_chunk::<4>().ok_or_else(invalid)?;
            if !is_supported(*selector) {
                return Err(refuse(&UnsupportedAttribute { selector: (*selector).into() }));
            }
            let word: [u8; 32] = arguments.try_into().map_err(|_| invalid())?;
            let number = U256::from_be_bytes(word);
            match *selector {
                maxFeePerGasCall::SELECTOR => wishes.max_fee = number,
                gasLimitCall::SELECTOR => wishes.gas_limit = number.try_into().map_err(|_| invalid())?,
                _ => wishes.result_gas = number.try_into().map_err(|_| invalid())?,
            }
        }
        Ok(wishes)
    }
}

fn is_supported(selector: [u8; 4]) -> bool {
    [gasLimitCall::SELECTOR, maxFeePerGasCall::SELECTOR, resultGasLimitCall::SELECTOR].contains(&selector)
}

/// An account of this network as ERC-7930 writes it.
pub(crate) fn interoperable(network: u64, account: Address) -> Bytes {
    let chain = U256::from(network).to_be_bytes_trimmed_vec();
    let length = u8::try_from(chain.len()).expect("at most eight bytes");
    [&EVM_V1, [length].as_slice(), &chain, &[20], account.as_slice()].concat().into()
}

/// Reads an account of this network; one that names no chain means this one.
fn address_of(network: u64, text: &[u8]) -> Option<Address> {
    let (length, rest) = text.strip_prefix(&EVM_V1)?.split_first()?;
    let (chain, rest) = rest.split_at_checked(usize::from(*length))?;
    let account = rest.strip_prefix(&[20])?;
    let here = chain.is_empty() || U256::try_from_be_slice(chain)? == U256::from(network);
    (here && account.len() == 20).then(|| Address::from_slice(account))
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{address, bytes};

    use super::*;

    #[test]
    fn accounts_are_written_as_the_standard_writes_them() {
        // The example of ERC-7930: an account of chain 1.
        let account = address!("d8dA6BF26964aF9D7eEd9e03E53415D37aA96045");
        let written = bytes!("00010000010114d8da6bf26964af9d7eed9e03e53415d37aa96045");
        assert_eq!(interoperable(1, account), written);
        assert_eq!(address_of(1, &written), Some(account));
        assert_eq!(address_of(2, &written), None, "of another chain");
        let anywhere = bytes!("000100000014d8da6bf26964af9d7eed9e03e53415d37aa96045");
        assert_eq!(address_of(2, &anywhere), Some(account));
        for cut in 0..written.len() {
            assert_eq!(address_of(1, &written[..cut]), None);
        }
        assert_eq!(address_of(1, &[&written[..], &[0]].concat()), None);
        for chain in [31337, u64::MAX] {
            assert_eq!(address_of(chain, &interoperable(chain, account)), Some(account));
        }
    }
}
