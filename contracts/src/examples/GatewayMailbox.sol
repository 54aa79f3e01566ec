// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ERC7786Recipient} from "@openzeppelin/contracts/crosschain/ERC7786Recipient.sol";
import {ICrossDomainGateway} from "../interfaces/ICrossDomainGateway.sol";

/// Sends and takes letters by ERC-7786, with a recipient that knows nothing of this network but the gateway's address.
contract GatewayMailbox is ERC7786Recipient {
    ICrossDomainGateway private constant GATEWAY = ICrossDomainGateway(0x00000000000000000000000000000000000001C1);

    uint256 public letters;
    bytes public lastSender;
    bytes public lastLetter;
    uint256 public lastValue;

    /// Sends a letter to a mailbox, an account in the format of ERC-7930.
    function post(bytes calldata mailbox, bytes calldata letter, uint64 gasLimit, uint256 maxFeePerGas)
        external
        payable
    {
        bytes[] memory attributes = new bytes[](2);
        attributes[0] = abi.encodeCall(GATEWAY.gasLimit, (gasLimit));
        attributes[1] = abi.encodeCall(GATEWAY.maxFeePerGas, (maxFeePerGas));
        GATEWAY.sendMessage{value: msg.value}(mailbox, letter, attributes);
    }

    function _isAuthorizedGateway(address gateway, bytes calldata) internal pure override returns (bool) {
        return gateway == address(GATEWAY);
    }

    function _processMessage(address, bytes32, bytes calldata sender, bytes calldata payload) internal override {
        letters++;
        lastSender = sender;
        lastLetter = payload;
        lastValue = msg.value;
    }
}
