// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

/// Swaps two tokens: the product of what it holds of both never falls.
contract Exchange {
    using SafeERC20 for IERC20;

    IERC20 public immutable LEFT;
    IERC20 public immutable RIGHT;

    event Swapped(address indexed who, IERC20 indexed sold, uint256 paid, uint256 got);

    error TooLittle(uint256 got, uint256 wanted);
    error NotTraded(IERC20 token);

    constructor(IERC20 left, IERC20 right) {
        (LEFT, RIGHT) = (left, right);
    }

    /// Takes both tokens from the caller, to be swapped by others.
    function fund(uint256 left, uint256 right) external {
        LEFT.safeTransferFrom(msg.sender, address(this), left);
        RIGHT.safeTransferFrom(msg.sender, address(this), right);
    }

    /// What `paid` of one token would bring of the other.
    function quote(IERC20 sold, uint256 paid) public view returns (uint256) {
        (uint256 ours, uint256 theirs) =
            (sold.balanceOf(address(this)), other(sold).balanceOf(address(this)));
        return theirs * paid / (ours + paid);
    }

    /// Swaps `paid` of one token for at least `least` of the other.
    function swap(IERC20 sold, uint256 paid, uint256 least) external returns (uint256 got) {
        got = quote(sold, paid);
        if (got < least) revert TooLittle(got, least);
        sold.safeTransferFrom(msg.sender, address(this), paid);
        other(sold).safeTransfer(msg.sender, got);
        emit Swapped(msg.sender, sold, paid, got);
    }

    function other(IERC20 token) private view returns (IERC20) {
        if (token == LEFT) return RIGHT;
        if (token == RIGHT) return LEFT;
        revert NotTraded(token);
    }
}
