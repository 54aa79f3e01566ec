// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Seats} from "./Seats.sol";

/// Divides what the network issues among its seats, by stake.
///
/// Lives in the root (domain 0) at 0x0000000000000000000000000000000000000a01. The protocol mints new coins to this
/// account and says how many. A seat's part waits here until somebody, anybody, has it paid out to the seat's account,
/// wherever that lives.
contract Rewards {
    Seats private constant SEATS = Seats(0x0000000000000000000000000000000000000A00);
    /// The protocol itself.
    address private constant SYSTEM = 0xffffFFFfFFffffffffffffffFfFFFfffFFFfFFfE;
    /// Parts of a wei that are counted: 2^128 to one. All coins that there may be, so divided, are far below 2^256.
    uint256 private constant FRACTIONS = 128;

    /// Wei issued to all seats since genesis.
    uint256 public issued;
    /// Wei paid out since genesis.
    uint256 public paid;
    /// Issued to each wei of stake since genesis, in 2^-128 wei.
    uint256 public perStake;

    /// What the last division left over, in 2^-128 wei.
    uint256 private rest;
    /// `perStake` when a seat was last paid.
    mapping(uint256 place => uint256) private settled;

    /// A seat was paid.
    event Claimed(uint32 indexed domain, uint16 indexed seat, address indexed account, uint256 amount);

    /// Only the protocol may call this.
    error NotSystem(address caller);
    /// The seat has earned nothing since it was last paid.
    error NothingPending(uint32 domain, uint16 seat);
    /// The seat's account does not take the coins.
    error PaymentRefused(address account);

    /// Divides newly minted coins, which are in this account already.
    function distribute(uint256 amount) external {
        if (msg.sender != SYSTEM) revert NotSystem(msg.sender);
        uint256 stake = SEATS.totalStake();
        uint256 parts = (amount << FRACTIONS) + rest;
        perStake += parts / stake;
        rest = parts % stake;
        issued += amount;
    }

    /// What a seat has earned and was not paid, in wei.
    function pending(uint32 domain, uint16 seat) external view returns (uint256) {
        (, uint256 stake) = SEATS.shareOf(domain, seat);
        return _pending(_place(domain, seat), stake);
    }

    /// Pays a seat what it has earned.
    function claim(uint32 domain, uint16 seat) external returns (uint256 amount) {
        (address account, uint256 stake) = SEATS.shareOf(domain, seat);
        uint256 place = _place(domain, seat);
        amount = _pending(place, stake);
        if (amount == 0) revert NothingPending(domain, seat);
        settled[place] = perStake;
        paid += amount;
        emit Claimed(domain, seat, account, amount);
        (bool taken,) = account.call{value: amount}("");
        if (!taken) revert PaymentRefused(account);
    }

    function _pending(uint256 place, uint256 stake) private view returns (uint256) {
        return ((perStake - settled[place]) * stake) >> FRACTIONS;
    }

    function _place(uint32 domain, uint16 seat) private pure returns (uint256) {
        return (uint256(domain) << 16) | seat;
    }
}
