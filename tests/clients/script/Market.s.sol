// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Exchange} from "../contracts/Exchange.sol";
import {Token} from "../contracts/Token.sol";

/// The part of Foundry's cheat codes that the script needs.
interface Vm {
    function startBroadcast() external;
    function stopBroadcast() external;
}

/// Deploys two tokens and an exchange that calls them, funds it, swaps, and gives each of some customers tokens to swap.
contract Market {
    bool public constant IS_SCRIPT = true;
    Vm private constant VM = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    function run(address[] calldata customers) external returns (Token left, Token right, Exchange exchange) {
        VM.startBroadcast();
        left = new Token(2_000_000);
        right = new Token(2_000_000);
        exchange = new Exchange(left, right);
        left.approve(address(exchange), type(uint256).max);
        right.approve(address(exchange), type(uint256).max);
        exchange.fund(1_000_000, 1_000_000);
        exchange.swap(left, 1000, 990);
        for (uint256 i = 0; i < customers.length; i++) {
            require(left.transfer(customers[i], 1000));
        }
        VM.stopBroadcast();
    }
}
