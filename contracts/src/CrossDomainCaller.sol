// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ICrossDomain} from "./interfaces/ICrossDomain.sol";
import {ICrossDomainResultReceiver} from "./interfaces/ICrossDomainResultReceiver.sol";

/// A contract that calls others wherever they live: at once if they live here, else by a message. Either way one function of
/// its own, `_onResult`, is told what came of the call; here before `_callAnywhere` returns, else in a later block.
///
/// Coins that a call does not use come to this contract's balance, and so does the value of a call that fails, before
/// `_onResult` runs. They are credited: no code of this contract runs for it.
abstract contract CrossDomainCaller is ICrossDomainResultReceiver {
    ICrossDomain internal constant CROSS_DOMAIN = ICrossDomain(0x00000000000000000000000000000000000001c0);

    /// Gas that `_onResult` may use, unless `_resultGas` says otherwise.
    uint64 private constant RESULT_GAS = 150_000;

    /// What the contract wants to remember of each call that is on its way.
    mapping(bytes32 id => bytes context) private _waiting;

    /// Only the predeploy tells results.
    error NotCrossDomain(address caller);

    /// What came of a call.
    /// @param context What was handed to `_callAnywhere`.
    /// @param success Whether it ran and did not fail.
    /// @param data What it returned or reverted with; from another domain its first 1024 bytes.
    function _onResult(bytes memory context, bool success, bytes memory data) internal virtual;

    /// Calls `to`, wherever it lives.
    /// @param context Handed to `_onResult`, to know the call by.
    function _callAnywhere(address to, uint256 value, uint64 gasLimit, bytes memory data, bytes memory context) internal {
        if (_isHere(to)) {
            (bool success, bytes memory answer) = to.call{value: value, gas: gasLimit}(data);
            _onResult(context, success, answer);
        } else {
            uint256 fee = _maxFeePerGas();
            bytes32 id = CROSS_DOMAIN.sendWithResult{value: value + gasLimit * fee}(
                to, value, gasLimit, fee, data, _resultGas()
            );
            _waiting[id] = context;
        }
    }

    /// Coins that `_callAnywhere` takes from this contract's balance: the value, and for a message its gas at the highest fee.
    function _coinsFor(address to, uint256 value, uint64 gasLimit) internal view returns (uint256) {
        return _isHere(to) ? value : value + gasLimit * _maxFeePerGas();
    }

    /// Whether an account lives in this contract's domain.
    function _isHere(address account) internal view returns (bool) {
        return CROSS_DOMAIN.domainOf(account) == CROSS_DOMAIN.domain();
    }

    /// The highest fee that a message offers. The other domain's base fee is not known here and may be far higher; unused coins
    /// come back. It is never zero, also where simulations hide the base fee: a call with value takes more gas than one without.
    function _maxFeePerGas() internal view virtual returns (uint256) {
        return 2 * block.basefee + 1 gwei;
    }

    /// Gas for `_onResult`, which is charged when the message is sent.
    function _resultGas() internal view virtual returns (uint64) {
        return RESULT_GAS;
    }

    /// @inheritdoc ICrossDomainResultReceiver
    function onCrossDomainResult(bytes32 id, bool success, bytes calldata data) external {
        if (msg.sender != address(CROSS_DOMAIN)) revert NotCrossDomain(msg.sender);
        bytes memory context = _waiting[id];
        delete _waiting[id];
        _onResult(context, success, data);
    }
}
