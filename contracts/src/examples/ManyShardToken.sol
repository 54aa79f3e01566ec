// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {CrossDomainCaller} from "../CrossDomainCaller.sol";

/// One token that lives on many shards: each has a contract like this one, and they are each other's branches. What goes from
/// one to another is burned here and minted there; if it cannot be minted there, it is minted here again.
contract ManyShardToken is ERC20, CrossDomainCaller {
    address public immutable owner = msg.sender;
    /// Whether an account is a branch of this token: what it says it has burned is minted here.
    mapping(address branch => bool) public isBranch;

    event SentAcross(address indexed from, address indexed branch, address indexed to, uint256 amount);
    event Returned(address indexed to, uint256 amount);

    error NotOwner();
    error NotABranch(address account);
    error TooFewCoins(uint256 sent, uint256 needed);

    constructor(string memory name, string memory symbol, uint256 supply) ERC20(name, symbol) {
        _mint(msg.sender, supply);
    }

    /// Makes another contract of this kind a branch. It mints without asking, so the owner had better know its code.
    function addBranch(address branch) external {
        if (msg.sender != owner) revert NotOwner();
        isBranch[branch] = true;
    }

    /// Coins that `transferAcross` to this branch needs now.
    function priceOf(address branch) public view returns (uint256) {
        return _coinsFor(branch, 0, 100_000);
    }

    /// Sends tokens of the caller to an owner at another branch.
    function transferAcross(address branch, address to, uint256 amount) external payable {
        if (!isBranch[branch]) revert NotABranch(branch);
        uint256 price = priceOf(branch);
        if (msg.value < price) revert TooFewCoins(msg.value, price);
        _burn(msg.sender, amount);
        emit SentAcross(msg.sender, branch, to, amount);
        _callAnywhere(
            branch, 0, 100_000, abi.encodeCall(this.receiveAcross, (to, amount)), abi.encode(msg.sender, amount)
        );
    }

    /// Called by a branch that has burned as much.
    function receiveAcross(address to, uint256 amount) external {
        if (!isBranch[msg.sender]) revert NotABranch(msg.sender);
        _mint(to, amount);
    }

    function _onResult(bytes memory context, bool success, bytes memory) internal override {
        if (success) return;
        (address from, uint256 amount) = abi.decode(context, (address, uint256));
        _mint(from, amount);
        emit Returned(from, amount);
    }
}
