// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ICrossDomain} from "../interfaces/ICrossDomain.sol";
import {ICrossDomainResultReceiver} from "../interfaces/ICrossDomainResultReceiver.sol";

/// Does what it is told, well or badly: for tests.
contract Courier is ICrossDomainResultReceiver {
    ICrossDomain private constant CROSS_DOMAIN = ICrossDomain(0x00000000000000000000000000000000000001c0);

    enum Mood {
        Works,
        Reverts,
        RunsOut,
        SendsOn,
        TalksMuch
    }

    /// How to take results.
    Mood public mood;
    /// What came, in order of counting.
    uint256 public visits;
    uint256 public results;
    uint256 public successes;
    bytes32 public lastId;
    bytes public lastData;

    error Unwilling(bytes32 why);

    receive() external payable {}

    function setMood(Mood to) external {
        mood = to;
    }

    /// Sends what it is paid, less the gas, with a result if there is gas for one.
    function send(address to, uint64 gasLimit, uint256 fee, bytes memory data, uint64 resultGas)
        public
        payable
        returns (bytes32 id)
    {
        uint256 value = msg.value - gasLimit * fee;
        id = resultGas == 0
            ? CROSS_DOMAIN.send{value: msg.value}(to, value, gasLimit, fee, data)
            : CROSS_DOMAIN.sendWithResult{value: msg.value}(to, value, gasLimit, fee, data, resultGas);
    }

    /// Sends, and undoes it all.
    function sendAndRevert(address to, uint64 gasLimit, uint256 fee, bytes memory data, uint64 resultGas)
        external
        payable
    {
        send(to, gasLimit, fee, data, resultGas);
        revert Unwilling("sent");
    }

    /// Sends within a call that it undoes, and then once more: one message goes.
    function sendTwiceUndoOne(address to, uint64 gasLimit, uint256 fee, bytes memory data, uint64 resultGas)
        external
        payable
    {
        uint256 half = msg.value / 2;
        try this.sendAndRevert{value: half}(to, gasLimit, fee, data, resultGas) {} catch {}
        this.send{value: half}(to, gasLimit, fee, data, resultGas);
    }

    /// What a visitor from elsewhere calls.
    function visit(Mood how, address next) external payable returns (bytes memory) {
        visits++;
        return _act(how, next);
    }

    function onCrossDomainResult(bytes32 id, bool success, bytes calldata data) external {
        require(msg.sender == address(CROSS_DOMAIN));
        results++;
        if (success) successes++;
        lastId = id;
        lastData = data;
        _act(mood, address(0));
    }

    function _act(Mood how, address next) private returns (bytes memory) {
        if (how == Mood.Reverts) revert Unwilling("reverts");
        if (how == Mood.RunsOut) while (true) {}
        if (how == Mood.TalksMuch) return new bytes(4000);
        if (how == Mood.SendsOn && next != address(0) && CROSS_DOMAIN.domainOf(next) != CROSS_DOMAIN.domain()) {
            CROSS_DOMAIN.send{value: msg.value}(next, msg.value, 0, 0, "");
        }
        return "";
    }

    /// Ways that the predeploy refuses.
    function forbidden(uint256 way, address to) external payable {
        bytes memory data = abi.encodeCall(CROSS_DOMAIN.send, (to, 0, 0, 0, ""));
        address predeploy = address(CROSS_DOMAIN);
        bool success;
        bytes memory answer;
        if (way == 0) (success, answer) = predeploy.staticcall(data);
        if (way == 1) (success, answer) = predeploy.delegatecall(data);
        if (way == 2) (success, answer) = predeploy.call{value: 1}(data);
        if (way == 3) (success, answer) = predeploy.call(abi.encodeCall(CROSS_DOMAIN.send, (address(this), 0, 0, 0, "")));
        if (way == 4) (success, answer) = predeploy.call(abi.encodeCall(CROSS_DOMAIN.send, (to, 0, 0, 1 << 128, "")));
        if (way == 5) {
            bytes memory long = new bytes(131_073);
            (success, answer) = predeploy.call(abi.encodeCall(CROSS_DOMAIN.send, (to, 0, 0, 0, long)));
        }
        if (way == 6) (success, answer) = predeploy.call{value: msg.value}("");
        if (way == 7) (success, answer) = predeploy.call{gas: 20_000}(data);
        if (way == 8) (success, answer) = predeploy.call(abi.encodeCall(CROSS_DOMAIN.send, (to, 1, 2, type(uint128).max, "")));
        require(!success);
        assembly {
            revert(add(answer, 32), mload(answer))
        }
    }
}
