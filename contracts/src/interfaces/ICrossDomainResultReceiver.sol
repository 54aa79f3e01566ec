// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// What a contract that asks for results must understand.
interface ICrossDomainResultReceiver {
    /// Called by the `CrossDomain` predeploy, and to be refused to anybody else.
    /// @param id What `sendWithResult` returned.
    /// @param success Whether the call ran and did not fail. If it did not, its value has been credited already.
    /// @param data What it returned or reverted with, its first 1024 bytes.
    function onCrossDomainResult(bytes32 id, bool success, bytes calldata data) external;
}
