// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Collectible} from "../contracts/Collectible.sol";
import {Token} from "../contracts/Token.sol";

/// The part of Foundry's cheat codes that the script needs.
interface Vm {
    function startBroadcast() external;
    function stopBroadcast() external;
}

/// Deploys both contracts and mints one collectible.
contract Deploy {
    bool public constant IS_SCRIPT = true;
    Vm private constant VM = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    function run() external returns (Token token, Collectible collectible) {
        VM.startBroadcast();
        token = new Token(1000);
        collectible = new Collectible();
        collectible.mint(msg.sender);
        VM.stopBroadcast();
    }
}
