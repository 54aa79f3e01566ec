// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// Fails in each of the ways that tools have to explain.
contract Faulty {
    error TooMuch(uint256 asked, uint256 most);

    function text() external pure {
        revert("the reason in words");
    }

    function custom(uint256 asked) external pure {
        revert TooMuch(asked, 7);
    }

    function panic(uint256 by) external pure returns (uint256) {
        return 1 / by;
    }

    function nested() external view {
        this.text();
    }
}
