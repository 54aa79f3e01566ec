// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// Calls to accounts that live in another domain. Every domain has one, at 0x00000000000000000000000000000000000001c0.
interface ICrossDomain {
    /// A call is on its way.
    event MessageSent(
        bytes32 indexed id,
        address indexed sender,
        address indexed to,
        uint32 domain,
        uint256 value,
        uint64 gasLimit,
        uint256 maxFeePerGas,
        uint64 resultGasLimit,
        bool viaGateway,
        bytes data
    );

    /// The recipient lives in this domain: call it directly.
    error LivesHere(address to);
    /// Only accounts that live in this domain send from it.
    error LivesElsewhere(address sender, uint32 domain);
    /// `msg.value` must be `value + gasLimit * maxFeePerGas`, and it was not.
    error WrongPayment(uint256 sent, uint256 needed);
    /// The fee is beyond 128 bits.
    error FeeTooHigh(uint256 maxFeePerGas);
    /// More call data than a message holds.
    error DataTooLong(uint256 length, uint256 most);
    /// A static call cannot send, and a library call cannot at all.
    error NotPermitted();

    /// Sends a call. It runs in the domain of `to` with this caller as `msg.sender`, pays that domain's base fee and no tip, and
    /// what it does not use, or its value if it fails, is credited to this caller (without running code).
    /// Taking the message in over there is charged here, as gas.
    /// @param value Coins for the recipient; `msg.value` must be `value + gasLimit * maxFeePerGas`.
    /// @return id Names the message in this domain's events and callbacks.
    function send(address to, uint256 value, uint64 gasLimit, uint256 maxFeePerGas, bytes calldata data)
        external
        payable
        returns (bytes32 id);

    /// As `send`, and calls `onCrossDomainResult` of this caller when the outcome is known.
    /// @param resultGasLimit Gas for that, charged here and now: the callback costs nothing when it runs.
    function sendWithResult(
        address to,
        uint256 value,
        uint64 gasLimit,
        uint256 maxFeePerGas,
        bytes calldata data,
        uint64 resultGasLimit
    ) external payable returns (bytes32 id);

    /// The domain that this is.
    function domain() external view returns (uint32);

    /// The domain where an account lives, as far as this one knows.
    function domainOf(address account) external view returns (uint32);
}
