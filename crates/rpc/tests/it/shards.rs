//! A network of several shards behind one port: paths, the domain parameter, and the network's own methods.

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, U64, U256};
use anfs_primitives::{
    DomainId, Epoch, Height, NetworkId, Receipt, RecoveredTransaction, RootHeader, RootSeat, SeatIndex, View,
};
use anfs_rpc::network::{
    BlockPlace, DomainReport, DomainsReport, FinalityReport, LegKind, LegReport, LegsReport, LightProof,
    LightQuery, MessageReport, RootHeaderReport, RouteReport,
};
use anfs_rpc::{
    At, Backend, BackendError, BlockSummary, ChainReader, NetworkInfo, RpcBlock, RpcServer, ShownBlock,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

use crate::chain::{TestChain, transfer};
use crate::client::{Fixture, config};

/// Two shards; the network shows the first one's blocks as blocks of its own.
#[derive(Debug)]
struct Network {
    shards: Vec<Backend>,
}

/// A block of the network: another block's transactions, at a price of its own.
#[derive(Debug)]
struct Whole(Arc<dyn ShownBlock>);

impl ShownBlock for Whole {
    fn summary(&self) -> BlockSummary {
        BlockSummary { hash: self.hash(), ..self.0.summary() }
    }
    fn height(&self) -> Height {
        self.0.height()
    }
    fn hash(&self) -> B256 {
        B256::repeat_byte(0x40)
    }
    fn transactions(&self) -> &[RecoveredTransaction] {
        self.0.transactions()
    }
    fn receipts(&self) -> &[Receipt] {
        self.0.receipts()
    }
    fn gas_price(&self, _index: usize) -> u128 {
        1234
    }
    fn shard(&self) -> Option<&RpcBlock> {
        None
    }
}

/// The first shard's chain, seen as the network's.
#[derive(Debug)]
struct WholeChain(Arc<dyn ChainReader>);

impl ChainReader for WholeChain {
    fn chain_id(&self) -> u64 {
        self.0.chain_id()
    }
    fn head(&self) -> Arc<dyn ShownBlock> {
        Arc::new(Whole(self.0.head()))
    }
    fn block(&self, height: Height) -> Result<Option<Arc<dyn ShownBlock>>, BackendError> {
        Ok(self.0.block(height)?.map(|block| Arc::new(Whole(block)) as _))
    }
    fn height_of(&self, hash: &B256) -> Result<Option<Height>, BackendError> {
        self.0.height_of(hash)
    }
    fn transaction(&self, hash: &B256) -> Result<Option<(Height, u32)>, BackendError> {
        self.0.transaction(hash)
    }
    fn next_base_fee(&self) -> u64 {
        self.0.next_base_fee()
    }
    fn next_timestamp(&self) -> u64 {
        self.0.next_timestamp()
    }
    fn syncing(&self) -> Option<alloy_rpc_types_eth::SyncInfo> {
        None
    }
}

fn place(domain: u32) -> BlockPlace {
    BlockPlace { domain: DomainId(domain), height: Height(5), root_height: Height(7) }
}

impl NetworkInfo for Network {
    fn shards(&self) -> &[Backend] {
        &self.shards
    }
    fn domains(&self) -> Result<DomainsReport, BackendError> {
        let report = DomainReport {
            domain: DomainId(1),
            certified_height: Height(9),
            final_height: Height(8),
            final_hash: B256::ZERO,
            base_fee: 7,
            held: U256::from(1),
        };
        Ok(DomainsReport {
            root_height: Height(3),
            root_hash: B256::ZERO,
            supply: Default::default(),
            in_flight: U64::from(2),
            root: DomainReport { domain: DomainId(0), held: U256::from(2), ..report.clone() },
            domains: vec![report],
        })
    }
    fn route(&self, at: At, address: &Address) -> Result<RouteReport, BackendError> {
        assert_eq!(at, At::Block(Height(1)));
        Ok(RouteReport { address: *address, home: DomainId(1), domain: DomainId(2), routed: true })
    }
    fn message(&self, id: &B256) -> Result<Option<MessageReport>, BackendError> {
        Ok((!id.is_zero()).then(|| MessageReport {
            id: *id,
            kind: LegKind::Credit,
            source: DomainId(1),
            destination: DomainId(2),
            sequence: U64::from(4),
            origin: B256::ZERO,
            value: U256::from(16),
            sent: Some(place(1)),
            consumed: None,
            success: None,
        }))
    }
    fn legs(&self, transaction: &B256) -> Result<Option<LegsReport>, BackendError> {
        let leg = LegReport {
            kind: LegKind::Call,
            place: place(2),
            message: None,
            success: Some(false),
            gas_used: U64::from(255),
            logs: U64::ZERO,
            sent: Vec::new(),
        };
        Ok((!transaction.is_zero()).then(|| LegsReport {
            transaction: *transaction,
            block_number: None,
            transaction_index: None,
            outstanding: U64::from(1),
            legs: vec![leg],
        }))
    }
    fn root_header(&self, height: Height) -> Result<Option<RootHeaderReport>, BackendError> {
        let header = RootHeader {
            network: NetworkId(1),
            height,
            parent: B256::ZERO,
            epoch: Epoch::ZERO,
            view: View::ZERO,
            proposer: RootSeat { domain: DomainId(1), seat: SeatIndex::GENERATOR },
            timestamp_ms: 5,
            references_root: B256::ZERO,
            tips: Default::default(),
            inbound_root: B256::ZERO,
            parent_commit: B256::ZERO,
            execution: Default::default(),
            supply: Default::default(),
        };
        Ok((height < Height(9)).then(|| RootHeaderReport { header: header.seal(), certificate: None }))
    }
    fn finality(&self, domain: DomainId, height: Height) -> Result<Option<FinalityReport>, BackendError> {
        let Some(block) = self.shard(domain).map(|shard| shard.chain.block(height)).transpose()? else {
            return Ok(None);
        };
        Ok(block.as_ref().and_then(|block| block.shard()).map(|block| FinalityReport {
            root_height: Height(3),
            index: 1,
            count: 2,
            siblings: vec![B256::ZERO],
            header: block.header.header().clone(),
            proof: Bytes::from_static(&[7]),
        }))
    }
    fn light_proof(&self, height: Height, query: &LightQuery) -> Result<Option<LightProof>, BackendError> {
        let proof = Bytes::from(format!("{query:?}").into_bytes());
        Ok(Some(LightProof { root_height: height, proof }))
    }
}

/// Shards at heights 1 and 2, and the network in front of them.
async fn network() -> Fixture {
    let (one, two) = (TestChain::new(), TestChain::new());
    one.decide(&[transfer(1)]);
    two.decide(&[]);
    two.decide(&[transfer(2)]);
    let main = one.backend();
    let network = Arc::new(Network { shards: vec![one.backend(), two.backend()] });
    let chain = Arc::new(WholeChain(main.chain.clone()));
    let backend = Backend { chain, network: Some(network), ..main };
    let server = RpcServer::start(config(), backend).await.unwrap();
    Fixture { chain: one, server }
}

/// Posts a call to a path; gives status and body.
async fn post(fixture: &Fixture, path: &str, method: &str, params: Value) -> (u16, String) {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut stream: TcpStream = fixture.connect().await;
    stream.write_all((head + &body).as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    (crate::client::status(&answer), crate::client::body_of(&answer).to_owned())
}

async fn result(fixture: &Fixture, path: &str, method: &str, params: Value) -> Value {
    let (status, body) = post(fixture, path, method, params).await;
    assert_eq!(status, 200, "{body}");
    let answer: Value = serde_json::from_str(&body).unwrap();
    assert!(answer["error"].is_null(), "{answer}");
    answer["result"].clone()
}

#[tokio::test]
async fn each_path_has_its_own_chain() {
    let fixture = network().await;
    for (path, head) in [("/", "0x1"), ("/ws", "0x1"), ("/shard/1", "0x1"), ("/shard/2", "0x2")] {
        assert_eq!(result(&fixture, path, "eth_blockNumber", json!([])).await, head, "{path}");
    }
    let address = fixture.server.address();
    let (mut socket, _) = connect_async(format!("ws://{address}/shard/2")).await.unwrap();
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_blockNumber", "params": []});
    futures::SinkExt::send(&mut socket, Message::text(call.to_string())).await.unwrap();
    let answer = futures::StreamExt::next(&mut socket).await.unwrap().unwrap();
    assert!(answer.to_text().unwrap().contains("\"0x2\""));
}

#[tokio::test]
async fn what_is_not_there_is_said_so() {
    let fixture = network().await;
    for (path, words) in [
        ("/shard/3", "/shard/1 to /shard/2"),
        ("/shard/0", "/shard/1 to /shard/2"),
        ("/shard/x", "/shard/1 to /shard/2"),
        ("/shard", "nothing is served here"),
        ("/elsewhere", "nothing is served here"),
    ] {
        let (status, body) = post(&fixture, path, "eth_chainId", json!([])).await;
        assert_eq!(status, 404, "{path}");
        assert!(body.contains(words), "{path}: {body}");
    }
    let alone = Fixture::new().await;
    let (status, body) = post(&alone, "/shard/1", "eth_chainId", json!([])).await;
    assert_eq!((status, body.contains("one shard")), (404, true), "{body}");
}

#[tokio::test]
async fn methods_about_one_shard_take_its_number() {
    let fixture = network().await;
    let height =
        async |params: Value| result(&fixture, "/", "anfs_getShardHeader", params).await["height"].clone();
    assert_eq!(height(json!([])).await, 1);
    assert_eq!(height(json!(["latest", "0x2"])).await, 2);
    assert_eq!(height(json!(["0x1", "0x2"])).await, 1);
    assert_eq!(result(&fixture, "/", "anfs_status", json!(["0x2"])).await["certifiedHeight"], 2);
    assert_eq!(result(&fixture, "/", "anfs_status", json!([])).await["certifiedHeight"], 1);
    assert_eq!(result(&fixture, "/", "anfs_view", json!(["0x2"])).await["view"], 1);
    let slices = result(&fixture, "/", "anfs_getSlices", json!(["latest", "0x2"])).await;
    assert_eq!(slices.as_array().unwrap().len(), 4);
    let entries = result(&fixture, "/", "anfs_getSequence", json!(["latest", null, null, "0x2"])).await;
    assert_eq!(entries["height"], 2);
    assert!(
        fixture.err("anfs_status", json!(["0x3"])).await["message"].as_str().unwrap().contains("no shard 3")
    );
    let (_, refusal) = post(&fixture, "/shard/1", "anfs_status", json!(["0x1"])).await;
    assert!(refusal.contains("leave the domain out"), "{refusal}");
}

#[tokio::test]
async fn the_network_tells_of_itself() {
    let fixture = network().await;
    let domains = fixture.ok("anfs_domains", json!([])).await;
    assert_eq!((&domains["rootHeight"], &domains["inFlight"]), (&json!(3), &json!("0x2")));
    assert_eq!(domains["domains"][0]["finalHeight"], 8);
    assert_eq!(domains["domains"][0]["held"], "0x1");
    assert_eq!((&domains["root"]["domain"], &domains["root"]["held"]), (&json!(0), &json!("0x2")));
    let address = Address::repeat_byte(7);
    let route = fixture.ok("anfs_getRoute", json!([address])).await;
    assert_eq!((&route["home"], &route["domain"], &route["routed"]), (&json!(1), &json!(2), &json!(true)));
    let message = fixture.ok("anfs_getMessage", json!([B256::repeat_byte(1)])).await;
    assert_eq!((&message["kind"], &message["sent"]["rootHeight"]), (&json!("credit"), &json!(7)));
    assert_eq!(message["consumed"], Value::Null);
    assert_eq!(fixture.ok("anfs_getMessage", json!([B256::ZERO])).await, Value::Null);
    let legs = fixture.ok("anfs_getTransactionLegs", json!([B256::repeat_byte(1)])).await;
    let leg = &legs["legs"][0];
    assert_eq!((&leg["kind"], &leg["domain"], &leg["gasUsed"]), (&json!("call"), &json!(2), &json!("0xff")));
    assert_eq!((&leg["success"], &legs["outstanding"]), (&json!(false), &json!("0x1")));

    let alone = Fixture::new().await;
    for (method, params) in [("anfs_domains", json!([])), ("anfs_getRoute", json!([address]))] {
        let error = alone.err(method, params).await;
        assert_eq!(error["code"], -32601);
        assert!(error["message"].as_str().unwrap().contains("several shards"), "{error}");
    }
}

#[tokio::test]
async fn a_block_of_the_network_has_the_shape_of_any_other() {
    let fixture = network().await;
    let block = fixture.ok("eth_getBlockByNumber", json!(["finalized", true])).await;
    let hash = json!(B256::repeat_byte(0x40));
    assert_eq!((&block["hash"], &block["transactions"][0]["blockHash"]), (&hash, &hash));
    assert_eq!(block["transactions"][0]["gasPrice"], "0x4d2");
    let receipt = fixture.ok("eth_getTransactionReceipt", json!([transfer(1).hash()])).await;
    assert_eq!((&receipt["blockHash"], &receipt["effectiveGasPrice"]), (&hash, &json!("0x4d2")));
    assert_eq!(receipt["logs"][0]["blockHash"], hash);
    let own = result(&fixture, "/shard/1", "eth_getTransactionReceipt", json!([transfer(1).hash()])).await;
    assert_ne!(own["blockHash"], hash);
    let (mut theirs, mut ours) = (own.as_object().unwrap().keys(), receipt.as_object().unwrap().keys());
    assert!(theirs.by_ref().eq(ours.by_ref()));
}

#[tokio::test]
async fn light_clients_are_given_headers_and_proofs() {
    let fixture = network().await;
    let root = result(&fixture, "/", "anfs_getRootHeader", json!(["0x1"])).await;
    assert_eq!(
        (&root["height"], &root["timestampMs"], &root["certificate"]),
        (&json!(1), &json!(5), &Value::Null)
    );
    assert!(root["encoded"].as_str().is_some_and(|text| text.len() > 200), "{root}");
    assert!(result(&fixture, "/", "anfs_getRootHeader", json!(["0x9"])).await.is_null());

    let shown = result(&fixture, "/", "anfs_getFinality", json!(["0x2", "0x2"])).await;
    let header = result(&fixture, "/shard/2", "anfs_getShardHeader", json!(["0x2"])).await;
    assert_eq!((&shown["rootHeight"], &shown["proof"]), (&json!(3), &json!("0x07")));
    assert_eq!(shown["encoded"], header["encoded"]);
    assert!(result(&fixture, "/", "anfs_getFinality", json!(["0x2", "0x9"])).await.is_null());

    let zero = B256::ZERO;
    for (query, read) in [
        (json!({"account": {"address": Address::ZERO}}), "slots: []"),
        (json!({"receipt": {"transaction": zero}}), "Receipt"),
        (json!({"message": {"id": zero}}), "Message"),
        (json!({"arrival": {"domain": "0x2"}}), "domain: 2"),
    ] {
        let proof = result(&fixture, "/", "anfs_getLightProof", json!([query])).await;
        let bytes: Bytes = proof["proof"].as_str().unwrap().parse().unwrap();
        assert!(String::from_utf8_lossy(&bytes).contains(read), "{proof}");
        assert_eq!(proof["rootHeight"], 1);
    }
    for (method, params, code) in [
        (
            "anfs_getLightProof",
            json!([{"account": {"address": Address::ZERO, "slots": vec![zero; 257]}}]),
            -32602,
        ),
        ("anfs_getLightProof", json!([{"everything": {}}]), -32602),
        ("anfs_getLightProof", json!([{"message": {"id": zero}}, "0x2"]), -32000),
        ("anfs_getRootHeader", json!(["newest"]), -32602),
    ] {
        let (_, body) = post(&fixture, "/", method, params).await;
        let answer: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(answer["error"]["code"], code, "{method}: {answer}");
    }
}
