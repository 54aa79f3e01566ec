// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// A token whose whole supply goes to its deployer.
contract Token is ERC20 {
    constructor(uint256 supply) ERC20("Suite Token", "SUITE") {
        _mint(msg.sender, supply);
    }
}
