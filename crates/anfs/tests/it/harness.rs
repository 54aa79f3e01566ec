//! Starts the program, talks to it, and makes sure that nothing outlives a test.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, hex};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A devnet in a process of its own; killed when dropped.
#[derive(Debug)]
pub(crate) struct Devnet {
    child: Child,
    /// What it wrote to standard error.
    log: Arc<Mutex<String>>,
    pub(crate) description: Value,
    pub(crate) rpc: Rpc,
    /// Where it puts a folder that it would remove itself at its end: one that is killed has none.
    _temporary: TempDir,
}

/// Pause between two questions for the same thing.
const ASK_AGAIN: Duration = Duration::from_millis(2);
/// Questions for the same thing.
const ASKS: usize = 20_000;

/// The program.
pub(crate) fn anfs() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_anfs"));
    command.env_remove("ANFS_LOG").env_remove("ANFS_DATA_DIR").env_remove("ANFS_PORT").stdin(Stdio::null());
    command
}

/// A pipe that nobody reads from.
pub(crate) fn closed_pipe() -> Stdio {
    let (_, writer) = std::io::pipe().expect("pipes can be made");
    writer.into()
}

impl Devnet {
    /// Starts a devnet on a port of its own and waits until it serves.
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::start_by(anfs(), Stdio::piped(), args)
    }

    /// A devnet that logs what it does to a reader that is gone.
    pub(crate) fn unheard(args: &[&str]) -> Self {
        let mut program = anfs();
        program.env("ANFS_LOG", "info");
        Self::start_by(program, closed_pipe(), args)
    }

    /// A devnet that logs what it does.
    pub(crate) fn logged(args: &[&str]) -> Self {
        let mut program = anfs();
        program.env("ANFS_LOG", "warn,anfs_node=info");
        Self::start_by(program, Stdio::piped(), args)
    }

    fn start_by(mut program: Command, stderr: Stdio, args: &[&str]) -> Self {
        let temporary = TempDir::new().expect("the system's temporary folder can be written to");
        let mut child = program
            .env("TMPDIR", temporary.path())
            .args(["devnet", "--json", "--port", "0"])
            .args(args)
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .expect("the program was built with this test");
        let log: Arc<Mutex<String>> = Arc::default();
        let (stderr, kept) = (child.stderr.take(), Arc::clone(&log));
        // Reads to the end, so that the devnet never waits for its log.
        let reader = thread::spawn(move || {
            for line in stderr.into_iter().flat_map(|it| BufReader::new(it).lines()).map_while(Result::ok) {
                let mut log = kept.lock().unwrap_or_else(PoisonError::into_inner);
                log.extend([line.as_str(), "\n"]);
            }
        });
        let mut line = String::new();
        let stdout = child.stdout.take().expect("standard output is piped");
        BufReader::new(stdout).read_line(&mut line).expect("standard output can be read");
        if line.is_empty() {
            reader.join().expect("reading does not panic");
            panic!("the devnet did not start: {}", log.lock().unwrap_or_else(PoisonError::into_inner));
        }
        let description: Value = serde_json::from_str(&line).expect("--json prints one JSON line");
        let url = description["rpc_url"].as_str().expect("the line names the URL").to_owned();
        Self { child, log, rpc: Rpc::new(url), description, _temporary: temporary }
    }

    /// A devnet that keeps its folder.
    pub(crate) fn in_folder(dir: &Path, args: &[&str]) -> Self {
        let dir = dir.to_str().expect("temporary folders have plain names");
        Self::start(&[&["--data-dir", dir], args].concat())
    }

    /// What it has written to standard error so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The wallet of an account.
    pub(crate) fn wallet(&self, index: usize) -> PrivateKeySigner {
        let key = self.description["accounts"][index]["private_key"].as_str().expect("the line has the keys");
        key.parse().expect("a key is 32 bytes of hex")
    }

    /// Kills it as a power cut would, as far as a process can tell.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it is running");
        self.child.wait().expect("it was started here");
    }

    /// Asks it to stop, as Ctrl-C does, and waits for its end.
    pub(crate) fn interrupt(mut self) -> ExitStatus {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-INT", &pid]).status().expect("kill is part of every Unix");
        assert!(sent.success());
        self.child.wait().expect("it was started here")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Devnet {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            let _ = self.child.wait();
        }
    }
}

/// Lets time pass: between two questions of a client that has no other way to learn of an event, or between two blows.
#[expect(clippy::disallowed_methods, reason = "no event to wait for; whoever pauses in a loop bounds it")]
pub(crate) fn pause(time: Duration) {
    thread::sleep(time);
}

/// A JSON-RPC client.
#[derive(Debug, Clone)]
pub(crate) struct Rpc {
    agent: ureq::Agent,
    pub(crate) url: String,
}

impl Rpc {
    pub(crate) fn new(url: String) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(30)))
            .http_status_as_error(false)
            .build();
        Self { agent: config.into(), url }
    }

    /// Posts a body; the HTTP status and the answer's bytes, or `None` when the server is gone.
    pub(crate) fn post(&self, body: &[u8]) -> Option<(u16, Vec<u8>)> {
        let request = self.agent.post(&self.url).header("content-type", "application/json");
        let mut response = request.send(body).ok()?;
        let bytes = response.body_mut().with_config().limit(1 << 30).read_to_vec().ok()?;
        Some((response.status().as_u16(), bytes))
    }

    /// Gets a page of the server; its status and text.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let mut response = self.agent.get(format!("{}{path}", self.url)).call().expect("the server answers");
        let text = response.body_mut().read_to_string().expect("text");
        (response.status().as_u16(), text)
    }

    /// Calls a method; `None` when the server is gone, else the result or the error.
    #[expect(clippy::needless_pass_by_value, reason = "parameters are made on the spot by json!")]
    pub(crate) fn try_call(&self, method: &str, params: Value) -> Option<Result<Value, Value>> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let (_, bytes) = self.post(body.to_string().as_bytes())?;
        let answer: Value = serde_json::from_slice(&bytes).ok()?;
        Some(match answer.get("error") {
            Some(error) => Err(error.clone()),
            None => Ok(answer["result"].clone()),
        })
    }

    /// Calls a method that must succeed.
    pub(crate) fn call(&self, method: &str, params: Value) -> Value {
        match self.try_call(method, params) {
            Some(Ok(result)) => result,
            Some(Err(error)) => panic!("{method}: {error}"),
            None => panic!("{method}: the server is gone"),
        }
    }

    /// Calls a method that must fail.
    pub(crate) fn error(&self, method: &str, params: Value) -> Value {
        match self.try_call(method, params) {
            Some(Err(error)) => error,
            Some(Ok(result)) => panic!("{method} should fail, but gives {result}"),
            None => panic!("{method}: the server is gone"),
        }
    }

    pub(crate) fn quantity(&self, method: &str, params: Value) -> u64 {
        parse_quantity(&self.call(method, params))
    }

    /// Waits for a receipt by asking again and again; the number of asks is bounded.
    pub(crate) fn receipt(&self, hash: &str) -> Value {
        for _ in 0..ASKS {
            let receipt = self.call("eth_getTransactionReceipt", json!([hash]));
            if !receipt.is_null() {
                return receipt;
            }
            pause(ASK_AGAIN);
        }
        let known = self.try_call("eth_getTransactionByHash", json!([hash]));
        let (pool, view) =
            (self.try_call("txpool_content", json!([])), self.try_call("anfs_view", json!([])));
        panic!("no receipt for {hash}; it is known as {known:?}; pool: {pool:?}; view: {view:?}");
    }
}

pub(crate) fn parse_quantity(value: &Value) -> u64 {
    let text = value.as_str().expect("a quantity is a string");
    u64::from_str_radix(text.trim_start_matches("0x"), 16).expect("a quantity is hex")
}

/// What a test transaction may differ in.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub(crate) chain_id: u64,
    pub(crate) nonce: u64,
    pub(crate) to: Address,
    pub(crate) gas_limit: u64,
    pub(crate) max_fee: u128,
    pub(crate) tip: u128,
    pub(crate) value: u128,
    pub(crate) input: Bytes,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            chain_id: 31337,
            nonce: 0,
            to: Address::repeat_byte(0x77),
            gas_limit: 21_000,
            max_fee: 10_000_000_000,
            tip: 1_000_000_000,
            value: 1,
            input: Bytes::new(),
        }
    }
}

/// Signs a transfer; its hash and encoding.
pub(crate) fn sign(wallet: &PrivateKeySigner, draft: &Draft) -> (B256, String) {
    let tx = TxEip1559 {
        chain_id: draft.chain_id,
        nonce: draft.nonce,
        gas_limit: draft.gas_limit,
        max_fee_per_gas: draft.max_fee,
        max_priority_fee_per_gas: draft.tip,
        to: TxKind::Call(draft.to),
        value: U256::from(draft.value),
        access_list: alloy_eips::eip2930::AccessList::default(),
        input: draft.input.clone(),
    };
    let signature = wallet.sign_hash_sync(&tx.signature_hash()).expect("a local key signs");
    let envelope = TxEnvelope::from(tx.into_signed(signature));
    (*envelope.tx_hash(), hex::encode_prefixed(envelope.encoded_2718()))
}
