// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IERC7786GatewaySource} from "@openzeppelin/contracts/interfaces/draft-IERC7786.sol";

/// The ERC-7786 gateway that every domain has at 0x00000000000000000000000000000000000001c1, for messages to the other domains
/// of this chain. Accounts are written as in ERC-7930, with this chain's id or none.
///
/// `msg.value` is the gas of the message at its highest fee, and above that coins for the recipient. What the message does not
/// use is credited to its sender, and so is its value if it fails. The recipient is called with this address as `msg.sender`.
interface ICrossDomainGateway is IERC7786GatewaySource {
    /// No account of this chain, as ERC-7930 writes one.
    error InvalidRecipient();
    /// Not the selector of its name and one number, or more attributes than there are.
    error InvalidAttribute(bytes attribute);

    /// Attribute: gas that `receiveMessage` may use, 200,000 unless said.
    function gasLimit(uint64 gas) external;

    /// Attribute: the highest fee for it, twice this domain's base fee and a gwei unless said.
    function maxFeePerGas(uint256 fee) external;

    /// Attribute: tell the sender what came of it, by `onCrossDomainResult` with this much gas, charged here and now.
    function resultGasLimit(uint64 gas) external;
}
