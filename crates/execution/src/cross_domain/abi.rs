//! The interfaces in `contracts/src/interfaces`, as Rust sees them.

use alloy_sol_types::sol;

sol! {
    #[derive(Debug)]
    interface ICrossDomain {
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

        error LivesHere(address to);
        error LivesElsewhere(address sender, uint32 domain);
        error WrongPayment(uint256 sent, uint256 needed);
        error FeeTooHigh(uint256 maxFeePerGas);
        error DataTooLong(uint256 length, uint256 most);
        error NotPermitted();

        function send(address to, uint256 value, uint64 gasLimit, uint256 maxFeePerGas, bytes calldata data)
            external payable returns (bytes32 id);
        function sendWithResult(
            address to,
            uint256 value,
            uint64 gasLimit,
            uint256 maxFeePerGas,
            bytes calldata data,
            uint64 resultGasLimit
        ) external payable returns (bytes32 id);
        function domain() external view returns (uint32);
        function domainOf(address account) external view returns (uint32);
    }

    interface IResultReceiver {
        function onCrossDomainResult(bytes32 id, bool success, bytes calldata data) external;
    }

    #[derive(Debug)]
    interface IERC7786GatewaySource {
        event MessageSent(
            bytes32 indexed sendId,
            bytes sender,
            bytes recipient,
            bytes payload,
            uint256 value,
            bytes[] attributes
        );

        error UnsupportedAttribute(bytes4 selector);

        function supportsAttribute(bytes4 selector) external view returns (bool);
        function sendMessage(bytes calldata recipient, bytes calldata payload, bytes[] calldata attributes)
            external payable returns (bytes32 sendId);
    }

    interface IERC7786Recipient {
        function receiveMessage(bytes32 receiveId, bytes calldata sender, bytes calldata payload)
            external payable returns (bytes4);
    }

    #[derive(Debug)]
    interface ICrossDomainGateway {
        error InvalidRecipient();
        error InvalidAttribute(bytes attribute);

        function gasLimit(uint64 gas) external;
        function maxFeePerGas(uint256 fee) external;
        function resultGasLimit(uint64 gas) external;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use alloy_primitives::keccak256;
    use alloy_sol_types::{SolCall as _, SolError as _};
    use serde_json::Value;

    use super::*;

    /// First four bytes of the hash of each signature in an artifact.
    fn selectors(artifact: &str) -> BTreeSet<[u8; 4]> {
        let artifact: Value = serde_json::from_str(artifact).unwrap();
        let text = |item: &Value| item.as_str().unwrap().to_owned();
        let signature = |item: &Value| {
            let inputs = item["inputs"].as_array().unwrap().iter().map(|input| text(&input["type"]));
            format!("{}({})", text(&item["name"]), inputs.collect::<Vec<_>>().join(","))
        };
        let items = artifact["abi"].as_array().unwrap().iter();
        items.map(|item| keccak256(signature(item))[..4].try_into().unwrap()).collect()
    }

    fn topic<T: alloy_sol_types::SolEvent>() -> [u8; 4] {
        T::SIGNATURE_HASH[..4].try_into().unwrap()
    }

    #[test]
    fn the_interfaces_are_those_that_contracts_compile_against() {
        use ICrossDomain as D;
        let here = BTreeSet::from([
            topic::<D::MessageSent>(),
            D::LivesHere::SELECTOR,
            D::LivesElsewhere::SELECTOR,
            D::WrongPayment::SELECTOR,
            D::FeeTooHigh::SELECTOR,
            D::DataTooLong::SELECTOR,
            D::NotPermitted::SELECTOR,
            D::sendCall::SELECTOR,
            D::sendWithResultCall::SELECTOR,
            D::domainCall::SELECTOR,
            D::domainOfCall::SELECTOR,
        ]);
        assert_eq!(selectors(include_str!("../../../../contracts/artifacts/ICrossDomain.json")), here);
        let here = BTreeSet::from([IResultReceiver::onCrossDomainResultCall::SELECTOR]);
        let theirs = include_str!("../../../../contracts/artifacts/ICrossDomainResultReceiver.json");
        assert_eq!(selectors(theirs), here);
        use ICrossDomainGateway as A;
        use IERC7786GatewaySource as G;
        let here = BTreeSet::from([
            topic::<G::MessageSent>(),
            G::UnsupportedAttribute::SELECTOR,
            G::supportsAttributeCall::SELECTOR,
            G::sendMessageCall::SELECTOR,
            A::InvalidRecipient::SELECTOR,
            A::InvalidAttribute::SELECTOR,
            A::gasLimitCall::SELECTOR,
            A::maxFeePerGasCall::SELECTOR,
            A::resultGasLimitCall::SELECTOR,
        ]);
        assert_eq!(selectors(include_str!("../../../../contracts/artifacts/ICrossDomainGateway.json")), here);
    }
}
