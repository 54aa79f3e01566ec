//! `anfs light`: asks a node, and believes only what is proven by the stake of the network's seats.

use std::fs;
use std::path::PathBuf;

use alloy_primitives::{Address, B256, Bytes};
use anfs_light::{
    AddressProof, ArrivalProof, FinalRoot, Light, LightError, ProofError, ProvenMessage, ReceiptProof,
    Resident, SentProof, decode_proof,
};
use anfs_primitives::header::DOMAINS_MAX;
use anfs_primitives::{ChainSpec, DomainId, Height, MessageBody, RootCertificate, SealedRootHeader, decode};
use anfs_rpc::network::LightProof;
use borsh::BorshDeserialize;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::amount::amount_text;
use crate::cli::{LightArgs, LightCommand};
use crate::client::Client;
use crate::exit::CommandError;
use crate::folders;
use crate::output::Output;
use crate::sheet::{Sheet, grouped, short, time};
use crate::terminal::Style;

/// An encoded root header or certificate at most: a row for each domain, and what is beside them.
const ROOT_BYTES_MAX: usize = DOMAINS_MAX * 64 + 4096;

/// `anfs_getRootHeader`, of which only what is encoded counts.
#[derive(Debug, Deserialize)]
struct RootHeaderAnswer {
    encoded: Bytes,
    certificate: Option<Bytes>,
}

/// A node that is asked, and what is known whatever it says.
struct Session {
    url: String,
    client: Client,
    light: Light,
    root: FinalRoot,
}

pub(crate) fn run(args: &LightArgs, out: Output) -> Result<(), CommandError> {
    let session = Session::open(args)?;
    match &args.command {
        LightCommand::Status => session.status(out),
        LightCommand::Balance { address } => session.balance(address, out),
        LightCommand::Receipt { hash } => session.receipt(hash, out),
        LightCommand::Message { id } => session.message(id, out),
        LightCommand::Route { address } => session.route(address, out),
    }
}

fn read_spec(given: Option<&PathBuf>) -> Result<ChainSpec, CommandError> {
    let path = match given {
        Some(path) => path.clone(),
        None => folders::user_data("devnet", "give --spec FILE")?.join("chain-spec.json"),
    };
    let usage = |why: String| {
        let path = path.display();
        CommandError::Usage(format!("{path}: {why}; give the network's chain spec by --spec FILE"))
    };
    let text = fs::read_to_string(&path).map_err(|error| usage(error.to_string()))?;
    ChainSpec::from_json(&text).map_err(|error| usage(error.to_string()))
}

impl Session {
    /// Takes up at genesis or the checkpoint, which the node must know, and goes on to its newest root block.
    fn open(args: &LightArgs) -> Result<Self, CommandError> {
        let spec = read_spec(args.spec.as_ref())?;
        let from = match args.checkpoint {
            Some(checkpoint) => checkpoint,
            None => anfs_node::genesis::root_block(&spec)?.reference(),
        };
        let light = Light::new(&spec, from).map_err(|error| CommandError::Usage(error.to_string()))?;
        let (client, url) = (Client::new(args.url())?, args.url().to_owned());
        let (header, _) = fetch(&client, &url, &quantity(from.height))?;
        let root = light.confirm(header).map_err(|error| distrust(&url, &error))?;
        let mut session = Self { url, client, light, root };
        let (header, certificate) = session.fetch("latest")?;
        if header.reference() != from {
            let certificate = certificate.ok_or_else(|| session.lie("a root block without certificate"))?;
            let light = &mut session.light;
            session.root =
                light.advance(header, &certificate).map_err(|error| distrust(&session.url, &error))?;
        }
        Ok(session)
    }

    fn fetch(&self, number: &str) -> Result<(SealedRootHeader, Option<RootCertificate>), CommandError> {
        fetch(&self.client, &self.url, number)
    }

    /// The root block at a height, held against its own certificate.
    fn root_at(&self, height: Height) -> Result<FinalRoot, CommandError> {
        if height == self.root.height {
            return Ok(self.root.clone());
        }
        let (header, certificate) = self.fetch(&quantity(height))?;
        if header.height != height {
            return Err(self.lie(&format!("root block {} instead of {height}", header.height)));
        }
        let certificate = certificate.ok_or_else(|| self.lie("a root block without certificate"))?;
        self.light.check(header, &certificate).map_err(|error| distrust(&self.url, &error))
    }

    /// Asks for a proof; gives it with the height of the root block that it belongs to.
    fn proof<T: BorshDeserialize>(&self, query: &Value) -> Result<Option<(Height, T)>, CommandError> {
        let params = json!([query, quantity(self.root.height)]);
        let answer: Option<LightProof> = self.client.call("anfs_getLightProof", params)?;
        let Some(answer) = answer else { return Ok(None) };
        let proof = decode_proof(&answer.proof).map_err(|error| self.unproven(&error))?;
        Ok(Some((answer.root_height, proof)))
    }

    fn lie(&self, what: &str) -> CommandError {
        CommandError::failed(format!("{} sends {what}: not believed", self.url))
    }

    fn unproven(&self, error: &ProofError) -> CommandError {
        CommandError::failed(format!("{} proves nothing: {error}", self.url))
    }

    fn status(&self, out: Output) -> Result<(), CommandError> {
        let root = &self.root;
        let value = json!({
            "rootHeight": root.height,
            "rootHash": root.hash(),
            "timestampMs": root.timestamp_ms,
            "tips": root.tips.iter().collect::<Vec<_>>(),
            "supply": root.supply,
        });
        out.print(&value, || {
            let mut sheet = self.sheet("Final root block");
            sheet.field("time", time(root.timestamp_ms / 1000));
            sheet.field("checkpoint", format!("{}:{}", root.height, root.hash()));
            sheet.field("in accounts", amount_text(root.supply.held));
            sheet.field("in messages", amount_text(root.supply.in_flight));
            sheet.field("burned", amount_text(root.supply.burned));
            sheet.field("issued", amount_text(root.supply.issued));
            let rows = (1..).zip(&root.tips);
            let rows: Vec<Vec<String>> = rows
                .map(|(shard, tip)| vec![i32::to_string(&shard), grouped(tip.height.0), short(&tip.hash)])
                .collect();
            sheet.table(&["shard", "final block", "hash"], &rows);
            sheet.finish()
        })
    }

    fn resident(&self, address: &Address) -> Result<Resident, CommandError> {
        let proof: Option<(Height, AddressProof)> =
            self.proof(&json!({ "account": { "address": address } }))?;
        let (_, proof) = proof.ok_or_else(|| self.lie("no proof of an account"))?;
        proof.verify(&self.root, address, &[]).map_err(|error| self.unproven(&error))
    }

    fn balance(&self, address: &Address, out: Output) -> Result<(), CommandError> {
        let resident = self.resident(address)?;
        let info = resident.account.map(|account| account.info);
        let balance = info.map_or_else(Default::default, |info| info.balance);
        let nonce = info.map_or(0, |info| info.nonce);
        let value = json!({
            "address": address.to_checksum(None),
            "exists": info.is_some(),
            "wei": balance.to_string(),
            "text": amount_text(balance),
            "nonce": nonce,
            "domain": resident.domain,
            "domainHeight": resident.height,
            "rootHeight": self.root.height,
            "rootHash": self.root.hash(),
        });
        out.print(&value, || {
            let mut sheet = self.sheet("Proven");
            sheet.field("address", address.to_checksum(None));
            sheet.field("balance", amount_text(balance));
            sheet.field("nonce", grouped(nonce));
            sheet.field("lives in", place(resident.domain));
            sheet.field("after block", format!("{} of {}", resident.height, place(resident.domain)));
            sheet.finish()
        })
    }

    fn route(&self, address: &Address, out: Output) -> Result<(), CommandError> {
        let resident = self.resident(address)?;
        let (home, domain) = (resident.home, resident.domain);
        let value = json!({
            "address": address.to_checksum(None),
            "home": home,
            "domain": domain,
            "routed": resident.routed,
            "exists": resident.account.is_some(),
            "rootHeight": self.root.height,
            "rootHash": self.root.hash(),
        });
        out.print(&value, || {
            let mut sheet = self.sheet("Proven");
            sheet.field("address", address.to_checksum(None));
            sheet.field("home", place(home));
            let why = if resident.routed { "its home has a route" } else { "its home" };
            sheet.field("lives in", format!("{} ({why})", place(domain)));
            sheet.finish()
        })
    }

    fn receipt(&self, hash: &B256, out: Output) -> Result<(), CommandError> {
        let proof: Option<(Height, ReceiptProof)> =
            self.proof(&json!({ "receipt": { "transaction": hash } }))?;
        let Some((height, proof)) = proof else {
            let words = format!("{} has no final transaction {hash}; its absence is not proven", self.url);
            return Err(CommandError::failed(words));
        };
        let root = self.root_at(height)?;
        let receipt = proof.verify(&root, hash).map_err(|error| self.unproven(&error))?;
        let block = &receipt.block;
        let value = json!({
            "transaction": hash,
            "success": receipt.success,
            "domain": block.domain,
            "shardHeight": block.height,
            "index": receipt.index,
            "cumulativeGasUsed": receipt.cumulative_gas_used,
            "logs": receipt.logs,
            "rootHeight": height,
            "rootHash": root.hash(),
        });
        out.print(&value, || {
            let mut sheet = self.sheet_at("Proven", &root);
            sheet.field("transaction", hash.to_string());
            sheet.field("status", if receipt.success { "succeeded" } else { "failed" });
            let place = format!("{} of block {} of shard {}", receipt.index, block.height, block.domain);
            sheet.field("index", place);
            sheet.field("logs", grouped(receipt.logs.len() as u64));
            sheet.line("  This is of the sender's home; a call that left it is proven as a message.");
            sheet.finish()
        })
    }

    fn message(&self, id: &B256, out: Output) -> Result<(), CommandError> {
        let proof: Option<(Height, SentProof)> = self.proof(&json!({ "message": { "id": id } }))?;
        let Some((height, proof)) = proof else {
            let words = format!("{} has no message {id} of late; its absence is not proven", self.url);
            return Err(CommandError::failed(words));
        };
        let root = self.root_at(height)?;
        let sent = proof.verify(&root, id).map_err(|error| self.unproven(&error))?;
        let consumed = self.consumed(&sent)?;
        let message = &sent.message;
        let kind = match &message.body {
            MessageBody::Call(_) => "call",
            MessageBody::Result(_) => "result",
            MessageBody::Credit { .. } => "credit",
            MessageBody::Route { .. } => "route",
        };
        let value = json!({
            "id": id,
            "kind": kind,
            "source": message.source,
            "destination": message.destination,
            "sequence": message.sequence,
            "origin": message.origin,
            "value": message.value().to_string(),
            "sentHeight": sent.height,
            "sentRootHeight": height,
            "consumed": consumed,
            "rootHeight": self.root.height,
            "rootHash": self.root.hash(),
        });
        out.print(&value, || {
            let mut sheet = self.sheet("Proven");
            sheet.field("message", id.to_string());
            sheet.field("kind", kind);
            sheet.field("way", format!("{} to {}", place(message.source), place(message.destination)));
            sheet.field("value", amount_text(message.value()));
            sheet.field("transaction", message.origin.to_string());
            sheet.field("sent in", format!("block {}, final by root block {height}", sent.height));
            sheet.field("consumed", if consumed { "yes" } else { "not yet" });
            sheet.finish()
        })
    }

    fn consumed(&self, sent: &ProvenMessage) -> Result<bool, CommandError> {
        if sent.message.destination == DomainId::ROOT {
            return Ok(self.root.has_consumed(&sent.message));
        }
        let domain = format!("{:#x}", sent.message.destination.0);
        let proof: Option<(Height, ArrivalProof)> =
            self.proof(&json!({ "arrival": { "domain": domain } }))?;
        let (_, proof) = proof.ok_or_else(|| self.lie("no header of the destination"))?;
        proof.verify(&self.root, &sent.message).map_err(|error| self.unproven(&error))
    }

    fn sheet(&self, title: &str) -> Sheet {
        self.sheet_at(title, &self.root)
    }

    fn sheet_at(&self, title: &str, root: &FinalRoot) -> Sheet {
        let mut sheet = Sheet::new(Style::stdout());
        sheet.heading(title);
        sheet.field("root block", format!("{} {}", root.height, short(&root.hash())));
        sheet
    }
}

fn place(domain: DomainId) -> String {
    if domain == DomainId::ROOT { "the root".to_owned() } else { format!("shard {domain}") }
}

fn quantity(height: Height) -> String {
    format!("{:#x}", height.0)
}

fn distrust(url: &str, error: &LightError) -> CommandError {
    CommandError::failed(format!("{url} is not believed: {error}"))
}

fn fetch(
    client: &Client,
    url: &str,
    number: &str,
) -> Result<(SealedRootHeader, Option<RootCertificate>), CommandError> {
    let answer: Option<RootHeaderAnswer> = client.call("anfs_getRootHeader", json!([number]))?;
    let absent = || CommandError::failed(format!("{url} has no root block {number}"));
    let answer = answer.ok_or_else(absent)?;
    let unread = |error| CommandError::failed(format!("{url} sends no root header: {error}"));
    let header = decode(&answer.encoded, ROOT_BYTES_MAX).map_err(unread)?;
    let certificate = answer.certificate.map(|bytes| decode(&bytes, ROOT_BYTES_MAX)).transpose();
    Ok((header, certificate.map_err(unread)?))
}
