//! A hash of each wire type's encoding. When one changes, so does the wire format: nodes of both versions no
//! longer understand each other and stored blocks no longer open. Then bump the version in the tags
//! concerned, and only then change the pin.

use alloy_primitives::{B256, keccak256};
use anfs_primitives::{DomainId, Fault, VoteKind, encode};

use crate::samples;

/// Compares all pins before failing, so that one run shows every change.
fn check(found: &[(String, B256)], pins: &[(&str, &str)]) {
    let found: Vec<(&str, String)> =
        found.iter().map(|(name, hash)| (name.as_str(), hash.to_string())).collect();
    let pins: Vec<(&str, String)> = pins.iter().map(|(name, hash)| (*name, format!("0x{hash}"))).collect();
    for (found, pin) in found.iter().zip(&pins).filter(|(found, pin)| found != pin) {
        eprintln!("pinned {pin:?}\n found {found:?}");
    }
    assert_eq!(found, pins);
}

fn hash_of<T: borsh::BorshSerialize>(value: &T) -> B256 {
    keccak256(encode(value))
}

#[test]
fn bodies_and_headers() {
    let found = [
        ("entry".to_owned(), hash_of(&samples::entry())),
        ("tick".to_owned(), hash_of(&samples::tick())),
        ("fragment".to_owned(), hash_of(&samples::fragment())),
        ("header".to_owned(), hash_of(&samples::header())),
        ("proposal".to_owned(), hash_of(&samples::proposal())),
        ("block".to_owned(), hash_of(&samples::block())),
        ("certified block".to_owned(), hash_of(&samples::certified_block())),
        ("receipt".to_owned(), hash_of(&samples::receipt())),
    ];
    let pins = [
        ("entry", "e8c6448944ae94b4920bb2a59f63394ec30593f0eb8719a8dfda5b4d20940bc5"),
        ("tick", "b1147e7c38990f33a3da61331488273c1422079f6b8596359956a07c2e351ee1"),
        ("fragment", "1edaa00ff43174019600b1717b412bf33201a3a1fa6ad3ab7ece93b4bcef478c"),
        ("header", "a56760a98b993420371cf8ae97fb396c13ba7846b32642b6f4a4ed3ca74e4977"),
        ("proposal", "d82a1770b1fcfc693a7655989c9e7b10c467c57e7f0a6dbc3e5456ecb88d91df"),
        ("block", "05d145e6b721122c28e61d37cc3adb337ebeab86eb683c4a0c9a5390e70e6258"),
        ("certified block", "4aa0369d291cc4f13115b6dfe384d83821ee9728b5a91d6f04fe11f853bfb6bd"),
        ("receipt", "1f34db9b8aa49755bef7fe81efd75da6a46f572fda31b548d33438fe44554733"),
    ];
    check(&found, &pins);
}

#[test]
fn votes() {
    let mut found: Vec<(String, B256)> = samples::VOTE_KINDS
        .iter()
        .map(|&kind| (format!("{kind:?}"), hash_of(&samples::vote(kind, None))))
        .collect();
    let faults = [
        Fault::Clock { entry: 1 },
        Fault::Shape,
        Fault::Signature { transaction: 1 },
        Fault::Transaction { transaction: 1 },
    ];
    let fields = samples::EXECUTION_FIELDS.iter().copied().map(Fault::Execution);
    for fault in faults.into_iter().chain(fields) {
        found.push((format!("{fault:?}"), hash_of(&samples::vote(VoteKind::InvalidFull, Some(fault)))));
    }
    let pins = [
        ("ValidSliced", "96e2b59c7f1caae6363f2278d8b597517dd70003c13c6074fb171b6d72a385f6"),
        ("ValidFull", "055f830048c9e850cf26d4e8b255a1b31edf792f51f8fc351ceb54ec1ba23b94"),
        ("InvalidSliced", "e3c1962d54128ceaf449ce3486f010814f341228b015618df438e42d9ba4c448"),
        ("InvalidFull", "7e63c4c56f4aafd91627c251015322b8331b9e1491e1016fe4365f27db227ab3"),
        ("Commit", "7988be70f92011db8c47c33e1960d4236c10bed44cfef3fc328e06d7a4f6960b"),
        ("Clock { entry: 1 }", "182565f3341560c7352ad6253fba51f38b5ea5c89b762fcc26897f9442fc501f"),
        ("Shape", "60552f4ba147b840f8bee2e78bcaa77501cc7ed187df8bfcf8673accc19f796f"),
        ("Signature { transaction: 1 }", "41f5554f897f79ff7a4cb872cff3d88ed4a537b55300c65f3f2e5c3990553428"),
        (
            "Transaction { transaction: 1 }",
            "5f601f02f695a98e87ca1646271cbd563781bfcf8f914e9d1320b2b62228ff9d",
        ),
        ("Execution(StateRoot)", "3a2a2d1112e03f74ceca7af5faa670377b34708c39085d23a0a1bc665248ef8f"),
        ("Execution(TransactionsRoot)", "ff9002f85424ec95fa83913892413ee1ced150068040c595bbf9cf155b0768e1"),
        ("Execution(ReceiptsRoot)", "4de5c4644f4e792d93ecfae3d6b071f28a518d59e7ab75d8cb9412dbf6992561"),
        ("Execution(LogsBloom)", "6bdf7da5c45a300fd907b0c301b9dc6463337362639335185258928db94decc2"),
        ("Execution(GasUsed)", "1ee6c67a6703ad019cb61ab1b03e9efb8777707162954f5b08f6a2e54efcfa97"),
        ("Execution(EntriesRoot)", "86b92be21b88d1d8d2134f0559d16e71cd4487ada8b20b4c96919b520105bb11"),
        ("Execution(BaseFee)", "2cb792318bcbdf138d5be5656413c99d80d55b39d126b75b8fdf3d4da2c459b4"),
        ("Execution(Messages)", "0baadb06d74be91c3799c45e5916d09430aa999595f05320bec17aacea769112"),
        ("Execution(Beneficiary)", "28e309ad404b4e4dc8755bd296dc4139582bf280c16af486a31700ebe9f9e897"),
        ("Execution(Burned)", "09f0185b0a35872963a88f1ef2e9d28b3213c85022645267301f0e9f87e3b7ca"),
    ];
    check(&found, &pins);
}

#[test]
fn certificates() {
    let found: Vec<(String, B256)> = samples::CERTIFICATE_KINDS
        .iter()
        .map(|&kind| (format!("{kind:?}"), hash_of(&samples::certificate(kind))))
        .collect();
    let pins = [
        ("Fast", "3b0baf59483a3accb46262ca55bd8000e3d7ab972163bdbea0b8dcfc19751694"),
        ("Prepare", "5b815d1b5dc38a9e68526a26830560dc55bb49f27b55507b64b67c416b25c14e"),
        ("Commit", "e2738e4da8f5e1d565c2406da6918bb75ca46b04f95e81b4bef1d21448553b83"),
        ("Conviction", "94536c9e241e99c1e8ce16fca08119f74711cf90b0c458cc67bc412e30e73ead"),
    ];
    check(&found, &pins);
}

#[test]
fn messages() {
    let found: Vec<(String, B256)> =
        samples::messages().iter().map(|(name, message)| ((*name).to_owned(), hash_of(message))).collect();
    let pins = [
        ("fragment", "00273ded241b1cb443749ebf5a0746e1771432b35e6fe05b1f406c7015bacc97"),
        ("proposal", "8f3444e9219b03193c2191ac91a7a22aab248bbecd025e77b59ebf74f2759b46"),
        ("vote", "27242ed5e2d6de6ec2bbfeba06a3b54a0074a9a1bba976e99d1f19526e7de9be"),
        ("certificate", "4fbf5107a97f70c442d08e871fc31fac3c87225365d79078b2de4775c736bc85"),
        ("fragment request", "b62ef48de1c1bb4b5fc7ce3b7773f8ef0dd64366af780e18fa3a4e55a04a755e"),
        ("block request", "643029ed8cb96efdcf685c875e0776dd60311579d8c50823dc47e9c9a3087185"),
        ("block", "597e5c4aa5d77934bea292a8bb880fbfafa74557bafecd2ca1f3a33d512671ef"),
        ("view timeout", "8ef3afdf9edb01c49b0fc674b96f0ec15e4ebeff8fa3c95cd4334920ca4068a7"),
        ("view change", "024ff3a4dcfb30cad78a88ccabf26404a898558a64e899c9c2b02f066d8c729f"),
        ("new view", "2dbfeaecaf9d9989515638a53c7120cb673484800b66dae030752e713bbc6c89"),
        ("proposal request", "00650b376eb5fb5f947d83196fad2d7894b18b63b8d12be29dd08daa48c6aa96"),
        ("new view request", "82927452a743374d6d3d0a2d8b9f6a89f0704243d882633db61a45dc1596df58"),
    ];
    check(&found, &pins);
}

#[test]
fn hashes_that_name_things() {
    let spec = samples::chain_spec();
    spec.validate().unwrap();
    let genesis = spec.genesis_header(DomainId(1), B256::repeat_byte(1), B256::repeat_byte(2));
    let found = [
        ("chain spec".to_owned(), spec.hash()),
        ("genesis header".to_owned(), genesis.hash()),
        ("header".to_owned(), samples::header().hash()),
        ("receipt leaf".to_owned(), keccak256(samples::receipt().encoded_2718())),
    ];
    let pins = [
        ("chain spec", "48fc5df17cd819f40cf8448debae0e26f33ef74e9f298487fe768329813ab018"),
        ("genesis header", "343c4a2ac00ccd33968c83d5ac1a6a25af6607750056f34ba8c86a415627c8a9"),
        ("header", "b7c794854c21133b9a558f40d38e91dc2db83f7d5dc78ecf7c30a235620706b5"),
        ("receipt leaf", "b37094442ba45baf1d41d0fcae6269007b577cbbbe5a4fcf5139a73c95fa8351"),
    ];
    check(&found, &pins);
}
