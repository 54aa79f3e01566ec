// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {CrossDomainCaller} from "../CrossDomainCaller.sol";

/// Two of these, wherever each lives, play: one pings, the other counts and answers, the first learns the count.
contract PingPong is CrossDomainCaller {
    /// Pings that have come here.
    uint256 public pings;
    /// What each partner said last.
    mapping(address partner => uint256) public pongs;
    /// Pings that came to nothing.
    uint256 public missed;

    event Pinged(address indexed by, uint256 count);
    event Ponged(address indexed partner, bool success, uint256 count);

    error NoPing();

    /// Pings a partner. Coins for the gas come with it; what is not used stays here.
    function ping(address partner, bool fails) external payable {
        bytes memory data = fails ? abi.encodeCall(this.miss, ()) : abi.encodeCall(this.pong, ());
        _callAnywhere(partner, 0, 100_000, data, abi.encode(partner));
    }

    /// Called by the partner.
    function pong() external returns (uint256 count) {
        count = ++pings;
        emit Pinged(msg.sender, count);
    }

    /// Always fails.
    function miss() external pure {
        revert NoPing();
    }

    function _onResult(bytes memory context, bool success, bytes memory data) internal override {
        address partner = abi.decode(context, (address));
        uint256 count = success ? abi.decode(data, (uint256)) : 0;
        if (success) pongs[partner] = count;
        else missed++;
        emit Ponged(partner, success, count);
    }
}
