// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// Who sits where: the seats of every shard, with the keys that they sign with and the stake that they vote with.
///
/// Lives in the root (domain 0) at 0x0000000000000000000000000000000000000a00. The protocol alone assigns seats.
contract Seats {
    /// The holder of a seat.
    struct Seat {
        /// Consensus key: BLS12-381, a compressed point of G2 (96 bytes).
        bytes32[3] key;
        /// Account that earns the seat's rewards.
        address account;
        /// Stake in wei.
        uint256 stake;
    }

    /// The protocol itself.
    address private constant SYSTEM = 0xffffFFFfFFffffffffffffffFfFFFfffFFFfFFfE;

    /// Stake of all seats together, in wei.
    uint256 public totalStake;
    /// Seats that are taken.
    uint256 public count;

    mapping(uint256 place => Seat) private seats;

    /// Only the protocol may call this.
    error NotSystem(address caller);
    /// Nobody sits there.
    error Vacant(uint32 domain, uint16 seat);
    /// The seat is taken.
    error Taken(uint32 domain, uint16 seat);

    /// Gives a vacant seat to its first holder.
    function assign(uint32 domain, uint16 seat, bytes32[3] calldata key, address account, uint256 stake) external {
        if (msg.sender != SYSTEM) revert NotSystem(msg.sender);
        Seat storage place = seats[_place(domain, seat)];
        if (_isTaken(place)) revert Taken(domain, seat);
        place.key = key;
        place.account = account;
        place.stake = stake;
        totalStake += stake;
        count += 1;
    }

    /// The holder of a seat. Seat 0 of a shard is its sequence generator.
    function seatOf(uint32 domain, uint16 seat) external view returns (Seat memory) {
        return _taken(domain, seat);
    }

    /// What the seat's rewards follow from: who earns them, and the stake that counts.
    function shareOf(uint32 domain, uint16 seat) external view returns (address account, uint256 stake) {
        Seat storage place = _taken(domain, seat);
        return (place.account, place.stake);
    }

    function _taken(uint32 domain, uint16 seat) private view returns (Seat storage place) {
        place = seats[_place(domain, seat)];
        if (!_isTaken(place)) revert Vacant(domain, seat);
    }

    /// A compressed point of the curve never begins with a zero.
    function _isTaken(Seat storage place) private view returns (bool) {
        return place.key[0] != 0;
    }

    function _place(uint32 domain, uint16 seat) private pure returns (uint256) {
        return (uint256(domain) << 16) | seat;
    }
}
